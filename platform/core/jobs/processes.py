"""Processes that end when they should: a cluster's children with their parent, and a cluster once in a data folder."""

import ctypes
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)  # loaded before any fork: loading is not safe after one
PAUSE_SECONDS = 0.1


class AlreadyRunning(Exception):
    """Another process holds the pid file."""


def die_with_parent(parent: int | None = None) -> None:
    """From now on the kernel kills this process when its parent dies. Only Linux can; elsewhere the process group has to do.

    For a child of a job, as in `subprocess.Popen(..., preexec_fn=die_with_parent)`, or the child lives on when the worker is killed.
    """
    if sys.platform != "linux":
        return
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:  # It died before we asked.
        os._exit(1)


def let_forks_die_with_their_parent() -> None:
    """Every process forked from this one, and theirs."""
    parent = [0]

    def remember() -> None:
        parent[0] = os.getpid()

    os.register_at_fork(before=remember, after_in_child=lambda: die_with_parent(parent[0]))


@contextmanager
def pid_file(path: Path, *, patience: float = 0) -> Iterator[None]:
    """Hold the file, with this process's id in it, for the block. AlreadyRunning when it is still held after `patience` seconds.

    The lock, which the kernel lets go when the process and its forks are dead, tells whether the id in it is to be believed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + patience
        while not _try_lock(handle):
            if time.monotonic() > deadline:
                raise AlreadyRunning(str(path))
            time.sleep(PAUSE_SECONDS)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def running_pid(path: Path) -> int | None:
    """The process that holds a pid file; None when nobody does."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if _try_lock(handle):
            return None
        return int(os.pread(handle, 32, 0) or 0) or None
    except ValueError:
        return None
    finally:
        os.close(handle)


def end_process_group(path: Path, *, patience: float) -> int | None:
    """SIGTERM, and after `patience` seconds SIGKILL, to the process group of a pid file's holder; its id, None when nobody holds it."""
    pid = running_pid(path)
    if pid is None:
        return None
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)
        deadline = time.monotonic() + patience
        while running_pid(path) == pid:
            if time.monotonic() > deadline:
                os.killpg(pid, signal.SIGKILL)
                return pid
            time.sleep(PAUSE_SECONDS)
    return pid


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
