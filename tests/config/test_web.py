"""The web server's program: it says that it leaves, serves on while it drains, and ends in order."""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from config.web import serve
from tests.processes import REPOSITORY, database_url, kill_group
from tests.servers import free_port, wait_for_answer
from tests.world import World


def status(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_it_says_that_it_leaves_serves_on_and_ends_in_order(committed_world: World, tmp_path: Path) -> None:
    port, run = free_port(), tmp_path / "run"
    values = {"DATABASE_URL": database_url(), "COMANDA_DATA": str(tmp_path), "RUN_FOLDER": str(run), "PORT": str(port)}
    (run / "measurements").mkdir(parents=True)
    (run / "measurements" / "counter_1.db").write_bytes(b"of the last start")
    (run / "draining").touch()  # so is this
    with (tmp_path / "web.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "config.web"],
            cwd=REPOSITORY,
            env={**os.environ, **values, "DRAIN_SECONDS": "2", "WEB_WORKERS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for_answer(port, tmp_path / "web.log")
        assert status(port, "/health/accepting") == 200
        assert not (run / "measurements" / "counter_1.db").exists()
        process.send_signal(signal.SIGTERM)
        answers: list[tuple[int, int]] = []
        while status(port, "/health/accepting") != 503:
            time.sleep(0.05)
        while process.poll() is None and len(answers) < 20:
            answers.append((status(port, "/health/accepting"), status(port, "/health")))
        assert answers == [(503, 200)] * 20
        assert process.wait(30) == 0
    finally:
        kill_group(process)


@pytest.mark.parametrize(("code", "ended"), [("raise SystemExit(7)", 7), ("pass", 1)])
def test_a_server_that_ends_by_itself_is_a_failure(tmp_path: Path, code: str, ended: int) -> None:
    with subprocess.Popen([sys.executable, "-c", code]) as server:
        assert serve(server, threading.Event(), drain=0, mark=tmp_path / "draining") == ended
    assert not (tmp_path / "draining").exists()


def test_a_server_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.web.STOP_SECONDS", 0.5)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    told = threading.Event()
    told.set()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as server:
        assert server.stdout is not None
        server.stdout.readline()
        assert serve(server, told, drain=0, mark=tmp_path / "draining") == 1
        assert server.wait(10) == -signal.SIGKILL


def test_a_wrong_setting_is_said(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "config.web"],
        cwd=REPOSITORY,
        env={**os.environ, "PORT": "eighty", "COMANDA_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "Comanda cannot start: PORT is 'eighty'. Set it to a whole number of 1 or more.\n")
