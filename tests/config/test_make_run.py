"""`make run` as a whole, without the demo: two copies side by side, refused ports and folders, a clean end."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from config.dev.mercadopago import is_free, kept_stand_in
from config.dev.postgres import running_server
from tests.processes import UNMEASURED, wait_for

SAID = {"COMANDA_DEMO": "0", "COMANDA_ENV": "development", "WEB_WORKERS": "1"}
UNSAID = ("DATABASE_URL", "DATABASE_DIRECT_URL", "SECRET_KEY", "VAULT_KEYS", "PUBLIC_URL")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="comanda-test-") as folder:
        yield Path(folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(data_folder: Path, port: int, *, measured: bool = True) -> subprocess.Popen[str]:
    given = os.environ if measured else os.environ | UNMEASURED
    environment = {name: value for name, value in given.items() if name not in UNSAID}
    environment |= SAID | {"COMANDA_DATA": str(data_folder), "PORT": str(port)}
    command = (sys.executable, "-m", "config.dev")
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


@contextmanager
def running(data_folder: Path, port: int, *, measured: bool = True) -> Iterator[list[str]]:
    """A copy that has said it is ready; its lines up to then."""
    with start(data_folder, port, measured=measured) as process:
        try:
            yield lines_until_ready(process)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


def lines_until_ready(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if lines[-1].startswith("  API "):
            return lines
    raise AssertionError("\n".join(lines))


def refusal(data_folder: Path, port: int) -> str:
    with start(data_folder, port) as process:
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        return said


def healthy(port: int) -> bool:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/health", headers={"Host": f"localhost:{port}"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return bool(response.status == 200)


def stand_in(data_folder: Path) -> str:
    """The address of a copy's Mercado Pago, which answers."""
    kept = kept_stand_in(data_folder)
    assert kept is not None
    wait_for(lambda: not is_free(kept.port))  # It starts beside the web process, and nobody waits for it.
    with urllib.request.urlopen(f"{kept.address}/", timeout=30) as response:
        assert response.status == 200
    return kept.address


def test_two_copies_run_side_by_side_and_leave_nobody(folder: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    one, two = free_port(), free_port()
    with running(folder / "one", one) as lines, running(folder / "two", two, measured=False):
        assert f"  Data folder  {folder / 'one'}" in lines
        assert f"  Platform     http://localhost:{one}" in lines
        assert [line for line in lines if line.startswith("  Mercado Pago http://localhost:")]
        assert healthy(one)
        assert healthy(two)
        assert len({stand_in(folder / name) for name in ("one", "two")}) == 2
        taken = f"Comanda cannot start: port {one} is taken by another program."
        assert refusal(folder / "three", one).startswith(taken)
        held = f"Comanda cannot start: another copy runs on the data folder {folder / 'one'}."
        assert refusal(folder / "one", free_port()).startswith(held)
        children = set(psutil.Process().children(recursive=True)) - before
        assert len(children) > 10
    assert not psutil.wait_procs(children, timeout=5)[1]
    assert running_server(folder / "one") is None


def test_a_killed_copy_is_followed_by_a_new_one(folder: Path) -> None:
    port = free_port()
    with start(folder, port, measured=False) as process:
        lines_until_ready(process)
        process.kill()
    with running(folder, port, measured=False):
        assert healthy(port)


def test_it_stops_when_a_step_of_the_start_is_interrupted(folder: Path) -> None:
    with start(folder, free_port()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"Comanda starts. Its data is in {folder}\n"
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert said.endswith("Comanda has stopped. Its data is kept.\n")
    assert process.returncode == 0
    assert running_server(folder) is None


def test_a_failing_step_is_named(folder: Path) -> None:
    environment = {
        **os.environ,
        **SAID,
        "COMANDA_DATA": str(folder),
        "PORT": str(free_port()),
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    }
    command = (sys.executable, "-m", "config.dev")
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith("Comanda cannot start: `manage.py migrate_fleet` failed with status 1.\n")
    assert done.returncode == 1
