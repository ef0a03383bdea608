"""Locks between processes. The kernel lets them go when their holder dies, however it dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAUSE_SECONDS = 0.05


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait for the lock, hold it for the block."""
    with opened(path) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A file descriptor to lock; closing it, at the end of the block, unlocks."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


def try_exclusive(handle: int) -> bool:
    """Take the lock, or turn a shared one into an exclusive one, when nobody else holds it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def share(handle: int) -> None:
    fcntl.flock(handle, fcntl.LOCK_SH)


def wait_until_alone(handle: int, *, seconds: float) -> bool:
    """Whether the lock could be had within the time."""
    deadline = time.monotonic() + seconds
    while not try_exclusive(handle):
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE_SECONDS)
    return True
