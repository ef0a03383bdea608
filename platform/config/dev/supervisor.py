"""Runs several programs in one terminal: names each line of theirs, starts a dead one again, stops them in order."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import IO, TextIO

from config.dev.guardian import Guardian, stop_group
from config.dev.interruption import Interruption

STOP_SECONDS = 15.0
LOOK_SECONDS = 0.05
FIRST_DELAY_SECONDS = 1.0
LAST_DELAY_SECONDS = 30.0
STEADY_SECONDS = 60.0  # Who lives this long is started again without delay.
COLOURS = ("\033[36m", "\033[35m", "\033[33m", "\033[32m", "\033[34m")
PLAIN = "\033[0m"


@dataclass(frozen=True, kw_only=True)
class Program:
    name: str  # what its lines begin with
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)  # on top of ours
    stops: int = 0  # lower numbers stop first, equal ones together


@dataclass(kw_only=True)
class Child:
    """A program and its present process, if it has one."""

    program: Program
    prefix: str
    process: subprocess.Popen[str] | None = None
    started: float = 0.0  # monotonic
    deaths: int = 0  # in a row, each soon after its start
    again_at: float = 0.0  # monotonic, when there is no process


def supervise(
    programs: Sequence[Program],
    *,
    guardian: Guardian,
    interruption: Interruption,
    ready: Callable[[], bool] = lambda: True,
    started: Callable[[], None] = lambda: None,
    ready_seconds: float = 60.0,
    stop_seconds: float = STOP_SECONDS,
    output: TextIO = sys.stdout,
) -> bool:
    """Run the programs until interrupted; False when `ready` did not come true within its time, and all were stopped for it.

    `started` is called once, as soon as `ready` answers True. At the end no process of theirs is left, within `stop_seconds`.
    """
    children = children_of(programs, colours=output.isatty())
    give_up = time.monotonic() + ready_seconds
    announced = False
    try:
        while not interruption.asked:
            for child in children:
                keep_running(child, guardian=guardian, output=output)
            if not announced and (announced := ready()):
                started()
            if not announced and time.monotonic() > give_up:
                return False
            interruption.pause()
        return True
    finally:
        stop_in_order(children, guardian=guardian, interruption=interruption, seconds=stop_seconds)


def children_of(programs: Sequence[Program], *, colours: bool) -> list[Child]:
    width = max(len(program.name) for program in programs)
    children = []
    for number, program in enumerate(programs):
        prefix = f"{program.name:<{width}} | "
        children.append(Child(program=program, prefix=f"{COLOURS[number % len(COLOURS)]}{prefix}{PLAIN}" if colours else prefix))
    return children


def keep_running(child: Child, *, guardian: Guardian, output: TextIO) -> None:
    """Start the child when it has not run yet, or when it has died and its delay is over."""
    if child.process is not None and child.process.poll() is not None:
        bury(child, guardian=guardian, output=output)
    if child.process is None and time.monotonic() >= child.again_at:
        start(child, guardian=guardian, output=output)


def start(child: Child, *, guardian: Guardian, output: TextIO) -> None:
    child.process = subprocess.Popen(
        child.program.command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONUNBUFFERED": "1", **child.program.environment},
        start_new_session=True,  # Ctrl-C in the terminal is for us, who stop them in order.
    )
    guardian.watch(child.process.pid)
    child.started = time.monotonic()
    assert child.process.stdout is not None
    threading.Thread(target=relay, args=(child.process.stdout, child.prefix, output), daemon=True).start()


def relay(lines: IO[str], prefix: str, output: TextIO) -> None:
    with lines:
        for line in lines:
            say(prefix + line.rstrip("\n"), output=output)


def say(line: str, *, output: TextIO = sys.stdout) -> None:
    output.write(f"{line}\n")  # One write a line: the threads' lines do not mix.
    output.flush()


def bury(child: Child, *, guardian: Guardian, output: TextIO) -> None:
    """End what a dead child has left behind and choose when it starts again."""
    assert child.process is not None
    status = child.process.returncode
    stop_group(child.process.pid, signal.SIGKILL)
    guardian.forget(child.process.pid)
    child.deaths = 1 if time.monotonic() - child.started > STEADY_SECONDS else child.deaths + 1
    delay = min(FIRST_DELAY_SECONDS * 2 ** min(child.deaths - 1, 16), LAST_DELAY_SECONDS)
    child.again_at = time.monotonic() + delay
    child.process = None
    say(f"{child.prefix}ended with status {status}; starting again in {delay:.0f} s", output=output)


def stop_in_order(children: Sequence[Child], *, guardian: Guardian, interruption: Interruption, seconds: float) -> None:
    """SIGTERM by rank, and SIGKILL for all who are left after `seconds` or at the second interruption."""
    deadline = time.monotonic() + seconds
    running = [child for child in children if child.process is not None]
    ranked = sorted(running, key=lambda child: child.program.stops)
    for _, rank in groupby(ranked, key=lambda child: child.program.stops):
        stop_together([child.process for child in rank if child.process], deadline=deadline, interruption=interruption)
    for child in running:
        assert child.process is not None
        stop_group(child.process.pid, signal.SIGKILL)
        child.process.wait()
        guardian.forget(child.process.pid)


def stop_together(processes: Sequence[subprocess.Popen[str]], *, deadline: float, interruption: Interruption) -> None:
    """SIGTERM to the leaders alone: granian and django-q2 stop their own workers in order."""
    for process in processes:
        process.terminate()
    while any(process.poll() is None for process in processes):
        if interruption.hurried or time.monotonic() > deadline:
            return
        interruption.pause(LOOK_SECONDS)
