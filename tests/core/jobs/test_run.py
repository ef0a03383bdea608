import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.db import connection, connections
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from core.jobs import enqueue
from core.jobs.actions import cancel_job, retry_job
from core.jobs.errors import JobHasEnded, JobNotFound, JobNotRetryable
from core.jobs.models import Job, JobState, new_job_id
from core.jobs.outcomes import describe_error
from core.jobs.runner import claim_job, run_job
from tests.processes import wait_for

pytestmark = pytest.mark.usefixtures("committed_jobs")

SAMPLE = "tests.core.jobs.sample.jobs"


@pytest.fixture(autouse=True)
def quick(settings: Settings) -> None:
    settings.JOB_PROGRESS_SECONDS = 0.05


class Files(NamedTuple):
    path: str  # where a waiting job notes its start
    go: str  # what it waits for


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    """The job is let go at the end, whatever happens."""
    yield Files(path=str(tmp_path / "notes"), go=str(tmp_path / "go"))
    (tmp_path / "go").touch()


def run(job: Job) -> Job:
    run_job(str(job.pk))
    job.refresh_from_db()
    return job


def run_beside(job: Job) -> threading.Thread:
    def work() -> None:
        try:
            run_job(str(job.pk))
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def make_due(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(run_after=Now())


def test_success(tmp_path: Path) -> None:
    job = run(enqueue(f"{SAMPLE}.note", path=str(tmp_path / "notes")))
    assert (job.state, job.attempts, job.progress, job.result, job.error) == (JobState.SUCCEEDED, 1, 1, {"attempt": 1}, "")
    assert (job.lease_until, job.claim) == (None, None)
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at


def test_a_second_wake_up_runs_nothing(tmp_path: Path) -> None:
    job = enqueue(f"{SAMPLE}.note", path=str(tmp_path / "notes"))
    run(job)
    run(job)
    run_job(str(new_job_id()))
    assert (tmp_path / "notes").read_text() == "1\n"


def test_many_workers_claim_it_once() -> None:
    job = enqueue(f"{SAMPLE}.refuse")
    claims = []

    def claim() -> None:
        try:
            claims.append(claim_job(job.pk))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each is not None for each in claims) == 1
    job.refresh_from_db()
    assert job.attempts == 1


def test_the_attempt_is_counted_at_the_start(files: Files) -> None:
    job = enqueue(f"{SAMPLE}.wait_for_file", path=files.path, go=files.go)
    thread = run_beside(job)
    wait_for(Path(files.path).exists)
    job.refresh_from_db()
    assert (job.state, job.attempts, job.finished_at) == (JobState.RUNNING, 1, None)
    Path(files.go).touch()
    thread.join(60)


def test_fails_then_succeeds() -> None:
    job = run(enqueue(f"{SAMPLE}.fail_until", attempt=2))
    assert (job.state, job.attempts, job.error) == (JobState.QUEUED, 1, "RuntimeError: attempt 1 burnt")
    assert timedelta(seconds=5) < job.run_after - timezone.now() < timedelta(seconds=30)
    assert OrmQ.objects.get().lock == job.run_after
    make_due(job)
    job = run(job)
    assert (job.state, job.attempts, job.error, job.result) == (JobState.SUCCEEDED, 2, "", "baked")


def test_gives_up_after_the_last_attempt() -> None:
    job = enqueue(f"{SAMPLE}.fail_until", attempt=9, max_attempts=2)
    for _ in range(3):
        make_due(job)
        run(job)
    assert (job.state, job.attempts, job.error) == (JobState.FAILED, 2, "RuntimeError: attempt 2 burnt")
    assert job.finished_at is not None


def test_an_answer_of_ours_is_final() -> None:
    job = run(enqueue(f"{SAMPLE}.refuse"))
    assert (job.state, job.attempts, job.error) == (JobState.FAILED, 1, "OvenIsCold: The oven is cold.")


def test_an_answer_that_may_change_is_tried_again() -> None:
    job = run(enqueue(f"{SAMPLE}.refuse_for_now"))
    assert (job.state, job.attempts, job.error) == (JobState.QUEUED, 1, "BakeryIsBusy: The bakery is busy.")


def test_postponed_does_not_count() -> None:
    job = run(enqueue(f"{SAMPLE}.postpone", max_attempts=1))
    assert (job.state, job.attempts, job.error) == (JobState.QUEUED, 0, "")
    assert timedelta(minutes=4) < job.run_after - timezone.now() < timedelta(minutes=6)


def test_errors_keep_no_secrets() -> None:
    job = run(enqueue(f"{SAMPLE}.leak_secrets"))
    assert job.error == "RuntimeError: https://[redacted]@bank.test/?access_token=[redacted]&x=1 Bearer [redacted]"


def test_an_error_of_mercado_pago_keeps_no_tokens() -> None:
    first = "refused: {'refresh_token': 'TG-5a6b7c8d9e0f1a2b-241983636'} for APP_USR-1234-010203-abcdef-9"
    assert (
        describe_error(RuntimeError(f"{first}\nwith the body")) == "RuntimeError: refused: {'refresh_token': '[redacted]'} for [redacted]"
    )


def test_a_long_error_is_cut_after_its_secrets_are_gone() -> None:
    error = describe_error(RuntimeError(f"{'x' * 470} TG-5a6b7c8d9e0f1a2b-241983636"))
    assert len(error) <= 500
    assert "TG-5a" not in error


@pytest.mark.parametrize(
    ("kind", "arguments", "error"),
    [
        ("tests.core.jobs.sample.jobs.gone", {}, "There is no job"),
        ("tests.nowhere.jobs.gone", {}, "There is no job"),
        ("tests.core.jobs.sample.jobs.note", {"paths": "/"}, "arguments do not fit"),
        ("tests.core.jobs.sample.jobs.die_with_parent", {}, "is no job"),
        ("tests.core.jobs.sample.jobs.return_a_set", {}, "result cannot be JSON"),
    ],
)
def test_wrong_code_fails_at_once(kind: str, arguments: dict[str, Any], error: str) -> None:
    job = run(enqueue(kind, **arguments))
    assert (job.state, job.attempts) == (JobState.FAILED, 1)
    assert error in job.error


def test_cancel_before_it_runs() -> None:
    job = enqueue(f"{SAMPLE}.refuse")
    assert cancel_job(job_id=job.pk).state == JobState.CANCELLED
    assert run(job).attempts == 0
    with pytest.raises(JobHasEnded):
        cancel_job(job_id=job.pk)
    with pytest.raises(JobNotFound):
        cancel_job(job_id=new_job_id())


def test_cancel_while_it_runs(files: Files) -> None:
    job = enqueue(f"{SAMPLE}.wait_for_file", path=files.path, go=files.go)
    thread = run_beside(job)
    wait_for(Path(files.path).exists)
    assert cancel_job(job_id=job.pk).state == JobState.RUNNING
    thread.join(60)
    job.refresh_from_db()
    assert (job.state, job.cancel_requested, job.attempts) == (JobState.CANCELLED, True, 1)
    assert job.finished_at is not None


def test_a_failed_attempt_of_a_cancelled_job_is_the_last() -> None:
    job = enqueue(f"{SAMPLE}.fail_until", attempt=9)
    Job.objects.filter(pk=job.pk).update(cancel_requested=True)
    assert run(job).state == JobState.CANCELLED


def test_retry() -> None:
    job = run(enqueue(f"{SAMPLE}.refuse"))
    again = retry_job(job_id=job.pk)
    assert (again.state, again.attempts, again.error, again.finished_at) == (JobState.QUEUED, 0, "", None)
    with pytest.raises(JobNotRetryable):
        retry_job(job_id=job.pk)
    assert run(job).attempts == 1


def test_who_lost_the_lease_writes_nothing() -> None:
    job = run(enqueue(f"{SAMPLE}.lose_lease"))
    assert (job.state, job.worker, job.result) == (JobState.RUNNING, "another", None)


def test_who_lost_the_lease_is_told() -> None:
    job = run(enqueue(f"{SAMPLE}.run_until_lost"))
    assert (job.state, job.worker) == (JobState.RUNNING, "another")


def test_an_expired_lease_may_be_taken_and_a_kept_one_may_not() -> None:
    job = enqueue(f"{SAMPLE}.refuse")
    assert claim_job(job.pk) is not None
    assert claim_job(job.pk) is None
    Job.objects.filter(pk=job.pk).update(lease_until=Now() - timedelta(seconds=1))
    second = claim_job(job.pk)
    assert second is not None
    assert second.attempt == 2


def test_progress_is_seen_while_it_runs(files: Files) -> None:
    job = enqueue(f"{SAMPLE}.report_from_transaction", path=files.path, go=files.go)
    thread = run_beside(job)

    def reported() -> bool:
        job.refresh_from_db()
        return (job.state, job.progress, job.message) == (JobState.RUNNING, 0.25, "a quarter")

    wait_for(reported)
    assert not OrmQ.objects.filter(key="nobody").exists()
    Path(files.go).touch()
    thread.join(60)
    job.refresh_from_db()
    assert (job.state, job.progress, job.message) == (JobState.SUCCEEDED, 1, "a quarter")


def test_the_heartbeat_keeps_the_lease(files: Files, settings: Settings) -> None:
    settings.JOB_LEASE_SECONDS, settings.JOB_HEARTBEAT_SECONDS = 60, 0.2
    job = enqueue(f"{SAMPLE}.wait_deaf", path=files.path, go=files.go)
    thread = run_beside(job)
    wait_for(Path(files.path).exists)
    Job.objects.filter(pk=job.pk).update(lease_until=Now() + timedelta(seconds=5))  # The first is nearly over,
    kept = Job.objects.filter(pk=job.pk, state=JobState.RUNNING, lease_until__gt=Now() + timedelta(seconds=30))
    wait_for(kept.filter(heartbeat_at__gt=F("started_at")).exists)  # and prolonged before that.
    assert claim_job(job.pk) is None
    Path(files.go).touch()
    thread.join(60)


def test_the_heartbeat_closes_its_connection(files: Files) -> None:
    job = enqueue(f"{SAMPLE}.wait_for_file", path=files.path, go=files.go)
    before = backends()
    thread = run_beside(job)
    wait_for(lambda: Job.objects.filter(pk=job.pk, progress=0.5).exists())
    assert backends() == before + 2
    Path(files.go).touch()
    thread.join(60)
    wait_for(lambda: backends() == before)


@pytest.mark.parametrize(("name", "state"), [("leave_transaction_open", JobState.SUCCEEDED), ("break_connection", JobState.QUEUED)])
def test_the_connection_is_left_in_public(name: str, state: JobState) -> None:
    job = run(enqueue(f"{SAMPLE}.{name}"))
    assert job.state == state
    assert not connection.in_atomic_block
    with connection.cursor() as cursor:
        cursor.execute("SHOW search_path")
        assert cursor.fetchone()[0] == '"$user", public'


def backends() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'")
        return int(cursor.fetchone()[0])
