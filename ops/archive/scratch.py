"""Folders of recoveries. Each is held by a lock of its process, which the kernel lets go however that ends: then it is swept."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from ops.archive.folder import Folder
from ops.postgres.programs import give_to_system_user
from ops.postgres.servers import found_server, kill


@contextmanager
def scratch_folder(folder: Folder) -> Iterator[Path]:
    """A new one for the block; gone afterwards, with the server that runs on it."""
    folder.prepare()
    sweep_scratch(folder)
    path = folder.scratch / token_hex(4)
    handle = _locked(path.with_suffix(".lock"))
    try:
        path.mkdir(mode=0o700)
        give_to_system_user(path)
        yield path
    finally:
        _erase(path)
        os.close(handle)


def sweep_scratch(folder: Folder) -> int:
    """End the servers and erase the folders whose process is gone; how many."""
    swept = 0
    with suppress(FileNotFoundError):
        for lock in folder.scratch.glob("*.lock"):
            with suppress(FileNotFoundError):
                handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
                try:
                    if _try(handle):
                        swept += _erase(lock.with_suffix(""))
                finally:
                    os.close(handle)
    return swept


def _locked(path: Path) -> int:
    """A new file, locked before anybody can think that it is left over."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if _try(handle):
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(handle).st_ino:
                    return handle
        os.close(handle)  # A sweep took it just now.


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _erase(path: Path) -> bool:
    """False: not all of it goes yet, somebody may still write into it. Then its lock's file stays, and the next sweep finds it."""
    if (server := found_server(path / "data")) is not None:
        kill(server)
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        return False
    path.with_suffix(".lock").unlink(missing_ok=True)
    return True
