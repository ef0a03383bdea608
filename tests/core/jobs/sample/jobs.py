"""Jobs for the tests of the queue. What they do is seen in files, which no rollback takes back."""

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

from django.db import connection, transaction
from django_q.models import OrmQ

from core.errors import AppError
from core.jobs import JobPostponed, JobRun
from core.jobs.models import Job
from core.jobs.processes import die_with_parent


class OvenIsCold(AppError):
    """The oven is cold."""

    code = "oven_is_cold"
    status = 409


class BakeryIsBusy(AppError):
    """The bakery is busy."""

    code = "bakery_is_busy"
    status = 503


def note(run: JobRun, *, path: str, line: str = "") -> dict[str, int]:
    with Path(path).open("a") as file:
        file.write(f"{line or run.attempt}\n")
    return {"attempt": run.attempt}


def wait_for_file(run: JobRun, *, path: str, go: str) -> None:
    """Notes the attempt and its process, then works until a file appears."""
    note(run, path=path, line=f"{run.attempt} {os.getpid()}")
    run.progress(0.5, "half of it")
    while not Path(go).exists():
        time.sleep(0.05)
        run.check_cancelled()


def wait_deaf(run: JobRun, *, path: str, go: str) -> None:
    """As wait_for_file, but deaf to cancellation."""
    note(run, path=path)
    while not Path(go).exists():
        time.sleep(0.05)


def start_child(run: JobRun, *, path: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], preexec_fn=die_with_parent)  # noqa: PLW1509
    note(run, path=path, line=f"{os.getpid()} {child.pid}")
    child.wait()


def fail_until(run: JobRun, *, attempt: int) -> str:
    if run.attempt < attempt:
        raise RuntimeError(f"attempt {run.attempt} burnt\nwith the customer's address")
    return "baked"


def leak_secrets(run: JobRun) -> None:
    raise RuntimeError("https://user:hunter2@bank.test/?access_token=abc123&x=1 Bearer xyz789")


def refuse(run: JobRun) -> None:
    raise OvenIsCold


def refuse_for_now(run: JobRun) -> None:
    raise BakeryIsBusy


def postpone(run: JobRun) -> None:
    raise JobPostponed(delay=timedelta(minutes=5))


def stop_if_asked(run: JobRun) -> None:
    Job.objects.filter(pk=run.job_id).update(cancel_requested=True)
    for _ in range(100):
        time.sleep(0.05)
        run.check_cancelled()


def lose_lease(run: JobRun) -> str:
    """Another worker takes over meanwhile."""
    Job.objects.filter(pk=run.job_id).update(claim="00000000-0000-7000-8000-000000000001", worker="another")
    return "too late"


def run_until_lost(run: JobRun) -> None:
    lose_lease(run)
    for _ in range(100):
        time.sleep(0.05)
        run.check_cancelled()


def return_a_set(run: JobRun) -> object:
    return {1, 2}


def leave_transaction_open(run: JobRun) -> None:
    transaction.atomic().__enter__()
    with connection.cursor() as cursor:
        cursor.execute("SET search_path = nowhere")


def break_connection(run: JobRun) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def report_from_transaction(run: JobRun, *, path: str, go: str) -> None:
    """Progress while a transaction is open that does not commit before the end."""
    with transaction.atomic():
        OrmQ.objects.create(key="nobody", payload="uncommitted", lock=None)
        run.progress(0.25, "a quarter")
        note(run, path=path)
        while not Path(go).exists():
            time.sleep(0.05)


def query_slowly(run: JobRun, *, path: str) -> None:
    note(run, path=path)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(60)")


def statement_limit(run: JobRun, *, path: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        note(run, path=path, line=str(cursor.fetchone()[0]))
