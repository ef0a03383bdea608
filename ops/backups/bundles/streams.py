"""Encrypted files as streams: memory stays flat however large they are."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyrage

from ops.backups.bundles.keys import BundleKey
from ops.backups.errors import BundleRefused


class HashingFile:
    """A file that is written once, from start to end, with its digest and size."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest, self.size = file, hashlib.sha256(), 0
        self.error: OSError | None = None  # Why it could not be written, e.g. a full disk: who writes through it may say less.

    def write(self, data: bytes) -> int:
        try:
            self._file.write(data)
        except OSError as error:
            self.error = error
            raise
        self._digest.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


@contextmanager
def encrypted_into(path: Path, key: BundleKey) -> Iterator[tuple[BinaryIO, HashingFile]]:
    """(where to write, the file that it becomes). The file is whole, and on the disk, only when the block ends without an error."""
    with path.open("xb") as target:
        hashing = HashingFile(target)
        reading, writing = os.pipe()
        failed: list[BaseException] = []
        thread = threading.Thread(target=_encrypt, args=(reading, hashing, key, failed), name="age-encrypt", daemon=True)
        thread.start()
        try:
            with os.fdopen(writing, "wb", buffering=1 << 16) as plain:
                yield plain, hashing
        except BrokenPipeError:
            thread.join()
            raise (failed[0] if failed else OSError("The encryption ended early.")) from None
        finally:
            thread.join()
        if failed:
            raise failed[0]
        target.flush()
        os.fsync(target.fileno())


@contextmanager
def decrypted_from(path: Path, keys: list[BundleKey]) -> Iterator[BinaryIO]:
    """The plain stream. Raises BundleRefused, in the block or at its end, for a file that is not whole or not for these keys."""
    reading, writing = os.pipe()
    failed: list[BaseException] = []
    with path.open("rb") as source:
        thread = threading.Thread(target=_decrypt, args=(source, writing, keys, failed), name="age-decrypt", daemon=True)
        thread.start()
        try:
            with os.fdopen(reading, "rb", buffering=1 << 16) as plain:
                yield plain
                while plain.read(1 << 16):  # The rest has to be right as well.
                    pass
        finally:
            thread.join()
            # What the block has met is then only a consequence. A broken pipe, the other way round, is one of the block's end.
            if failed and not isinstance(failed[0], BrokenPipeError):
                raise BundleRefused("it is cut off or altered, or it is for another key.") from None


def _encrypt(reading: int, target: HashingFile, key: BundleKey, failed: list[BaseException]) -> None:
    try:
        with os.fdopen(reading, "rb", buffering=1 << 16) as source:
            pyrage.encrypt_io(source, target, [key.identity.to_public()])
    except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
        failed.append(target.error or error)


def _decrypt(source: BinaryIO, writing: int, keys: list[BundleKey], failed: list[BaseException]) -> None:
    try:
        with os.fdopen(writing, "wb", buffering=1 << 16) as target:
            pyrage.decrypt_io(source, target, [key.identity for key in keys])
    except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
        failed.append(error)
