"""A local file as an upload sees it: in parts, each with its digest."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PIECE = 256 * 1024
PART = 8 * 1024 * 1024
MOST_PARTS = 9_000  # S3 takes 10,000.
PART_SECONDS = 180.0  # 45 kB/s: what is slower is as good as gone.


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    size: int
    sha256: str
    part: int  # bytes of each part but the last
    digests: tuple[bytes, ...]  # MD5 of each part, which is what S3 checks and answers with

    @property
    def in_parts(self) -> bool:
        return len(self.digests) > 1

    @property
    def etag(self) -> str:
        """By which a storage names the whole object, unless it encrypts with keys of its own."""
        if not self.in_parts:
            return self.digests[0].hex()
        return f"{_md5(b''.join(self.digests)).hexdigest()}-{len(self.digests)}"

    def place(self, number: int) -> tuple[int, int]:
        """(start, size) of a part, counted from 1."""
        start = (number - 1) * self.part
        return start, min(self.part, self.size - start)


def look_at(path: Path) -> FileFacts:
    """Read it once. Raises OSError."""
    size = path.stat().st_size
    part = max(PART, -(-size // MOST_PARTS))
    whole = hashlib.sha256()
    digests: list[bytes] = []
    with path.open("rb") as file:
        while True:
            digest, left = _md5(), part
            while left and (piece := file.read(min(PIECE, left))):
                digest.update(piece)
                whole.update(piece)
                left -= len(piece)
            if left < part or not digests:
                digests.append(digest.digest())
            if left:
                break
    return FileFacts(size=size, sha256=whole.hexdigest(), part=part, digests=tuple(digests))


def sha256_of(pieces: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def pieces_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


class Stretch:
    """Some bytes of a file as the body of a request, never all in memory. Raises TimeoutError when sending it takes too long."""

    def __init__(self, path: Path, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = path.open("rb"), start, size, 0
        self._deadline = time.monotonic() + PART_SECONDS
        self.seek(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._size

    def read(self, size: int | None = -1) -> bytes:
        if time.monotonic() > self._deadline:
            raise TimeoutError
        left = self._size - self._at
        piece = self._file.read(left if size is None or size < 0 else min(size, left))
        self._at += len(piece)
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._at, self._size)[whence]
        self._at = max(0, min(base + offset, self._size))
        self._file.seek(self._start + self._at)
        return self._at

    def tell(self) -> int:
        return self._at


def _md5(data: bytes = b"") -> "hashlib._Hash":
    return hashlib.md5(data, usedforsecurity=False)
