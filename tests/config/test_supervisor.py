"""The supervisor with stand-in programs, all of them real processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import psutil
import pytest

from config.dev import locks
from config.dev.guardian import Guardian
from config.dev.supervisor import Child, Program, bury

STEADY = "import os, time; print('up', os.environ['STAND_IN'], os.getpid()); time.sleep(600)"
POLITE = """
import os, signal, sys, time
def leave(*_):
    print('leaving', os.environ['STAND_IN'])
    sys.exit()
signal.signal(signal.SIGTERM, leave)
print('up', os.environ['STAND_IN'], os.getpid())
time.sleep(600)
"""
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('up', os.environ['STAND_IN'], os.getpid())
time.sleep(600)
"""
WITH_OFFSPRING = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
print('up', os.environ['STAND_IN'], child.pid)
time.sleep(600)
"""


class Running:
    """A supervisor and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def pids(self, name: str) -> list[int]:
        return [int(line.split()[-1]) for line in list(self.lines) if f"up {name} " in line]

    def wait_for(self, *names: str, times: int = 1) -> list[psutil.Process]:
        wait_until(lambda: all(len(self.pids(name)) >= times for name in names))
        return [psutil.Process(self.pids(name)[-1]) for name in names]

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def supervised(folder: Path, *descriptions: str) -> Iterator[Running]:
    command = (sys.executable, "-m", "tests.config.supervised", str(folder), *descriptions)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Running(process)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(30)


def wait_until(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_names_each_line_and_stops_by_rank(tmp_path: Path, number: signal.Signals) -> None:
    with supervised(tmp_path, f"web={POLITE}@0", f"worker={POLITE}@1") as running:
        processes = running.wait_for("web", "worker")
        assert running.end(number) == 0
    assert not any(alive(process) for process in processes)
    assert "all started\n" in running.lines
    assert [line for line in running.lines if "leaving" in line] == ["web    | leaving web\n", "worker | leaving worker\n"]


def test_one_that_always_dies_is_started_again_however_often_it_has() -> None:
    process = subprocess.Popen(("true",), stdout=subprocess.PIPE, text=True)
    process.communicate()
    child = Child(program=Program(name="web", command=("true",)), prefix="", process=process, started=time.monotonic(), deaths=5_000)
    output = StringIO()
    with subprocess.Popen(("cat",), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as listener:
        bury(child, guardian=Guardian(listener), output=output)
    assert output.getvalue() == "ended with status 0; starting again in 30 s\n"


def test_a_dead_program_is_started_again_and_the_others_stay(tmp_path: Path) -> None:
    with supervised(tmp_path, f"web={STEADY}@0", f"worker={STEADY}@1") as running:
        web, worker = running.wait_for("web", "worker")
        web.kill()
        (again,) = running.wait_for("web", times=2)
        assert again.pid != web.pid
        assert running.pids("worker") == [worker.pid]
        assert "web    | ended with status -9; starting again in 1 s\n" in running.lines


def test_what_a_dead_program_leaves_behind_is_ended(tmp_path: Path) -> None:
    with supervised(tmp_path, f"web={WITH_OFFSPRING}@0") as running:
        (offspring,) = running.wait_for("web")
        parent = offspring.parent()
        assert parent is not None
        parent.kill()
        wait_until(lambda: not alive(offspring))


def test_a_second_interruption_kills(tmp_path: Path) -> None:
    with supervised(tmp_path, f"web={STUBBORN}@0") as running:
        (process,) = running.wait_for("web")
        running.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert alive(process)
        started = time.monotonic()
        assert running.end(signal.SIGINT) == 0
        assert time.monotonic() - started < 5
    assert not alive(process)


def test_who_does_not_stop_in_time_is_killed(tmp_path: Path) -> None:
    with supervised(tmp_path, f"web={STUBBORN}@0") as running:
        (process,) = running.wait_for("web")
        started = time.monotonic()
        assert running.end(signal.SIGTERM) == 0
        assert 3 <= time.monotonic() - started < 10
    assert not alive(process)


def test_a_killed_supervisor_leaves_nobody_and_its_lock_until_then(tmp_path: Path) -> None:
    with supervised(tmp_path, f"web={WITH_OFFSPRING}@0", f"worker={STEADY}@1") as running:
        processes = running.wait_for("web", "worker")
        running.process.kill()
        running.process.wait(30)
        with locks.opened(tmp_path / "run.lock") as lock:
            assert locks.wait_until_alone(lock, seconds=20)
        assert not any(alive(process) for process in processes)


def test_it_gives_up_when_the_programs_do_not_become_ready(tmp_path: Path) -> None:
    (tmp_path / "never").touch()
    with supervised(tmp_path, f"web={STEADY}@0") as running:
        (process,) = running.wait_for("web")
        assert running.process.wait(30) == 3
    assert "all started\n" not in running.lines
    assert not alive(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_make_alone_may_be_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    script = f"from tests.config.supervised import main\nraise SystemExit(main(Path({str(tmp_path)!r}), 'web=' + {POLITE!r} + '@0'))\n"
    (tmp_path / "run.py").write_text(f"from pathlib import Path\n{script}")
    (tmp_path / "Makefile").write_text(f"run:\n\t@{sys.executable} run.py\n")
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(
        ("env", "--default-signal=INT", "make", "run"), cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as make:
        running = Running(make)
        try:
            (process,) = running.wait_for("web")
            running.end(number)
        finally:
            make.kill()
    assert "web | leaving web\n" in running.lines
    assert not alive(process)
