"""How the person at the terminal stops us: once in order, twice at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

LOOK_SECONDS = 0.25
SIGINT_BIT = 1 << (signal.SIGINT - 1)


class Interruption:
    """Counts SIGINT and SIGTERM: `asked` after the first, `hurried` after the second."""

    def __init__(self) -> None:
        self.count = 0
        self.parent = os.getppid()
        self.under_make = program_of(self.parent) in {"make", "gmake"}
        self.noticed = threading.Event()

    @property
    def asked(self) -> bool:
        if self.count == 0 and self.under_make and (os.getppid() != self.parent or caught_sigint(self.parent)):
            self.count = 1
        return self.count > 0

    @property
    def hurried(self) -> bool:
        return self.count > 1

    def notice(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self.noticed.set()

    def pause(self, seconds: float = LOOK_SECONDS) -> None:
        """Sleep, but not through a signal."""
        self.noticed.wait(seconds)
        self.noticed.clear()


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Catch SIGINT and SIGTERM for the block."""
    watch = Interruption()
    before = {number: signal.signal(number, watch.notice) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield watch
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def program_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""


def caught_sigint(process: int) -> bool:
    """Whether the process is inside its SIGINT handler, that is, SIGINT is blocked.

    make passes SIGTERM on to its children but not a SIGINT sent to make alone: it would wait for us for ever.
    """
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return False
    blocked = next((line.split()[1] for line in lines if line.startswith("SigBlk:")), "0")
    return bool(int(blocked, 16) & SIGINT_BIT)
