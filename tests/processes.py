"""Real processes of Comanda for tests, on the test's own database."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from django.db import connection
from django_q.models import OrmQ, Schedule, Task

from core.jobs.models import ClusterBeat, Job

REPOSITORY = Path(__file__).resolve().parents[1]
# In the environment of a process whose coverage shows nothing that tests in our own process do not: it costs half as much again.
UNMEASURED = {"COVERAGE_PROCESS_CONFIG": ""}


def database_url() -> str:
    """The database that this test uses, for another process."""
    parts = connection.settings_dict
    user, password = (quote(str(parts[name]), safe="") for name in ("USER", "PASSWORD"))
    host, port = quote(str(parts["HOST"]), safe=""), f"&port={parts['PORT']}" if parts["PORT"] else ""
    return f"postgresql://{user}{f':{password}' if password else ''}@/{quote(str(parts['NAME']), safe='')}?host={host}{port}"


@contextmanager
def committed_queue() -> Iterator[None]:
    """The queue's tables, empty before and after: what a test commits there is gone without a flush of the whole database."""
    _empty_queue()
    try:
        yield
    finally:
        _empty_queue()


@contextmanager
def manage(*arguments: str, data_folder: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A manage.py command for the block, with its output in <command>.log of the data folder. Killed with its process group at the end."""
    log = data_folder / f"{'-'.join(arguments)}.log"
    values = {"DATABASE_URL": database_url(), "COMANDA_DATA": str(data_folder), **environment}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=REPOSITORY,
            env={**os.environ, **values},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def wait_for[Found](look: Callable[[], Found], *, seconds: float = 60) -> Found:
    """What `look` returns, once that is true."""
    deadline = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        assert time.monotonic() < deadline, f"Waited {seconds} seconds in vain for {look.__qualname__}."
        time.sleep(0.1)


def _empty_queue() -> None:
    for model in (Job, ClusterBeat, OrmQ, Schedule, Task):
        model.objects.all().delete()
