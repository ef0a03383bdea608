"""The real web server, for tests of many at once and of pages in a browser."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import REPOSITORY, UNMEASURED, database_url, kill_group


@contextmanager
def running_web(data_folder: Path, *, workers: int = 2, threads: int = 1, port: int = 0, **environment: str) -> Iterator[int]:
    """granian on the test's own database, as `make run` starts it; its port. Its log is web.log in the data folder."""
    port = port or free_port()
    (data_folder / "static").mkdir(exist_ok=True)
    options = {"interface": "wsgi", "host": "127.0.0.1", "port": port, "workers": workers, "blocking-threads": threads}
    options |= {"http": "1", "backlog": 2048, "backpressure": 1024, "log-level": "warning", "working-dir": str(REPOSITORY)}
    options |= {"workers-kill-timeout": 5}  # A worker of granian's can hang while it stops; `make run` bounds it too.
    values = {"DATABASE_URL": database_url(), "COMANDA_DATA": str(data_folder), **environment}
    with (data_folder / "web.log").open("ab") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "granian",
                *(f"--{name}={value}" for name, value in options.items()),
                "--no-ws",
                "config.wsgi:application",
            ],
            cwd=REPOSITORY,
            env={**os.environ, **UNMEASURED, **values},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for_answer(port, data_folder / "web.log")
        yield port
    finally:
        process.terminate()
        try:
            process.wait(15)
        finally:
            kill_group(process)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_answer(port: int, log: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            assert time.monotonic() < deadline, f"The web server did not start:\n{log.read_text()}"
            time.sleep(0.1)
        else:
            return
