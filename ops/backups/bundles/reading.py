"""A bundle on its way in. It is looked at whole, and believed only then; what is in it never names a place on the disk."""

import hashlib
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from django.conf import settings

from ops.backups.bundles.data import Manifest, manifest_from_json
from ops.backups.bundles.keys import bundle_keys, signing_key
from ops.backups.bundles.streams import decrypted_from
from ops.backups.bundles.zstd import ZstdDecompressor, ZstdError
from ops.backups.errors import BundleRefused
from tenants.snapshots import Source, TableShape

PIECE = 256 * 1024
LARGEST_MANIFEST = 64 * 1024 * 1024
LARGEST_MEMBER = 128 * 1024 * 1024
TABLE = re.compile(r"tables/([a-z_][a-z0-9_]{0,62})/([0-9]{6})\.copy\.zst")
MEDIA = re.compile(r"media/(cafeterias/[0-9a-f-]{36}/[A-Za-z0-9._-]{1,120})")
KEY_ID = re.compile(r"age1[a-z0-9]{50,70}")
PLAIN: dict[str, Literal["readme", "schema", "manifest", "signature"]] = {
    "README.txt": "readme",
    "schema.sql": "schema",
    "manifest.json": "manifest",
    "manifest.hmac": "signature",
}
ORDER = ("readme", "schema", "table", "media", "manifest", "signature")

type Step = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    kind: str  # one of ORDER
    name: str  # the table's, or the media's key
    part: int
    size: int
    file: IO[bytes]

    def whole(self, most: int) -> bytes:
        if self.size > most:
            raise BundleRefused(f"{self.kind} is larger than it may be.")
        return self.file.read()

    def pieces(self) -> Iterator[bytes]:
        while piece := self.file.read(PIECE):
            yield piece


@dataclass(kw_only=True)
class Seen:
    """Of a table or a file, as its bytes went by."""

    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    size: int = 0
    rows: int = 0
    parts: int = 0

    def add(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)
        self.rows += data.count(b"\n")


class Look:
    """One look at a whole bundle: what has been seen of it so far."""

    def __init__(self, step: Step) -> None:
        self._step, self._left = step, settings.RESTORE_MAX_BYTES
        self.tables: dict[str, Seen] = {}
        self.media: dict[str, Seen] = {}
        self.texts: dict[str, bytes] = {}

    def at(self, member: Member) -> None:
        if member.kind == "table":
            self._at_table(member)
        elif member.kind == "media":
            self._at_media(member)
        else:
            self.texts[member.kind] = member.whole(LARGEST_MANIFEST)

    def _at_table(self, member: Member) -> None:
        self._step(member.name)
        seen = self.tables.setdefault(member.name, Seen())
        seen.parts += 1
        if member.part != seen.parts:
            raise BundleRefused(f"a part of {member.name} is missing or twice there.")
        for data in _unpacked(member, self._left):
            seen.add(data)
            self._left -= len(data)

    def _at_media(self, member: Member) -> None:
        self._step("media")
        if member.name in self.media:
            raise BundleRefused("a picture is twice in it.")
        self.media[member.name] = Seen()
        for data in member.pieces():
            self.media[member.name].add(data)


def read_manifest(path: Path, *, step: Step = lambda _: None) -> Manifest:
    """Look at the whole bundle, and answer its manifest if everything is as that says. Writes nothing. Raises BundleRefused."""
    look = Look(step)
    with _members(path) as members:
        for member in members:
            look.at(member)
    manifest = _believed(look.texts.get("manifest", b""), look.texts.get("signature", b""))
    _compare(manifest, look.texts.get("schema", b""), look.tables, look.media)
    return manifest


def load_bundle(
    path: Path,
    manifest: Manifest,
    *,
    make_schema: Callable[[list[str]], None],
    load_table: Callable[[TableShape, Source], None],
    step: Step = lambda _: None,
) -> None:
    """Hand out what is in a bundle whose manifest read_manifest has answered: its schema's statements, then table by table."""
    shapes = {table.name: table.shape for table in manifest.tables}
    with _members(path) as members:
        waiting = _Waiting(members)
        while (member := waiting.peek()) is not None:
            if member.kind == "table":
                step(member.name)
                load_table(shapes[member.name], TableSource(waiting, member.name))
            elif member.kind == "schema":
                make_schema(statements_of(waiting.take().whole(LARGEST_MANIFEST)))
            else:
                waiting.take()


def load_media(path: Path, store: Callable[[str, bytes], None]) -> None:
    """Hand out the pictures, by their keys, of a bundle whose manifest read_manifest has answered."""
    with _members(path) as members:
        for member in members:
            if member.kind == "media":
                store(member.name, member.whole(LARGEST_MEMBER))


def statements_of(script: bytes) -> list[str]:
    """Of schema.sql: a line that is only a semicolon ends each."""
    return [statement for statement in script.decode().split("\n;\n") if statement.strip()]


class TableSource:
    """What COPY reads from: a table's parts, one after another, unpacked."""

    def __init__(self, waiting: "_Waiting", table: str) -> None:
        self._waiting, self._table = waiting, table
        self._pieces: Iterator[bytes] = iter(())
        self._buffer = memoryview(b"")

    def read(self, size: int = -1, /) -> bytes:
        while not self._buffer:
            piece = next(self._pieces, None)
            if piece is not None:
                self._buffer = memoryview(piece)
                continue
            following = self._waiting.peek()
            if following is None or following.kind != "table" or following.name != self._table:
                return b""
            self._pieces = _unpacked(self._waiting.take(), settings.RESTORE_MAX_BYTES)
        taken = self._buffer if size < 0 else self._buffer[:size]
        self._buffer = self._buffer[len(taken) :]
        return bytes(taken)


class _Waiting:
    """Members with a look at the next one. The tar is a stream: looking at the next one ends the reading of the one before."""

    def __init__(self, members: Iterator[Member]) -> None:
        self._members = members
        self._next: Member | None = None

    def peek(self) -> Member | None:
        if self._next is None:
            self._next = next(self._members, None)
        return self._next

    def take(self) -> Member:
        taken = self.peek()
        assert taken is not None
        self._next = None
        return taken


@contextmanager
def _members(path: Path) -> Iterator[Iterator[Member]]:
    """The members of the decrypted tar, in order. Raises BundleRefused for whatever is not as a bundle is."""
    if not path.is_file() or path.stat().st_size == 0:
        raise BundleRefused("it is empty, or there is no such file.")
    with decrypted_from(path, bundle_keys()) as plain:
        try:
            with tarfile.open(fileobj=plain, mode="r|") as tar:
                yield _checked(tar)
        except tarfile.TarError:
            raise BundleRefused("it is not an archive, or a part of it is missing.") from None


def _checked(tar: tarfile.TarFile) -> Iterator[Member]:
    place = 0
    for info in tar:
        kind, name, part = _meaning(info.name)
        if not info.isreg() or info.size > LARGEST_MEMBER:
            raise BundleRefused("it holds something that no bundle holds.")
        if ORDER.index(kind) < place:
            raise BundleRefused("its parts are in disorder.")
        place = ORDER.index(kind)
        file = tar.extractfile(info)
        assert file is not None
        yield Member(kind=kind, name=name, part=part, size=info.size, file=file)
        tar.members = []  # type: ignore[attr-defined]  # It would keep them all.


def _meaning(name: str) -> tuple[str, str, int]:
    if name in PLAIN:
        return PLAIN[name], "", 0
    if table := TABLE.fullmatch(name):
        return "table", table[1], int(table[2])
    if (media := MEDIA.fullmatch(name)) and ".." not in name:
        return "media", media[1], 0
    raise BundleRefused("it holds something that no bundle holds.")


def _unpacked(member: Member, most: int) -> Iterator[bytes]:
    """The rows of one part, which has to be one whole frame and at most so many bytes."""
    decompressor, total = ZstdDecompressor(), 0
    try:
        for piece in member.pieces():
            for data in _drained(decompressor, piece):
                total += len(data)
                if total > most:
                    raise BundleRefused("unpacked it is larger than RESTORE_MAX_GIB allows.")
                yield data
    except (ZstdError, EOFError):
        raise BundleRefused(f"a part of {member.name} is damaged.") from None
    if not decompressor.eof or decompressor.unused_data:
        raise BundleRefused(f"a part of {member.name} is cut off, or has something behind its end.")


def _drained(decompressor: ZstdDecompressor, piece: bytes) -> Iterator[bytes]:
    """What the piece gives, never much of it at once."""
    data = decompressor.decompress(piece, max_length=PIECE)
    while data or not (decompressor.eof or decompressor.needs_input):
        yield data
        if decompressor.eof or decompressor.needs_input:
            return
        data = decompressor.decompress(b"", max_length=PIECE)


def _believed(text: bytes, signature: bytes) -> Manifest:
    """The manifest, once its signature is that of one of our keys."""
    if not text or not signature:
        raise BundleRefused("its manifest or its signature is missing.")
    # The key is named within the text that it signs: looked for before anything else of it is read.
    named = KEY_ID.search(text.decode("utf-8", "replace"))
    if named is None or not signing_key(named[0]).has_signed(text, signature.decode("ascii", "replace").strip()):
        raise BundleRefused("its manifest was altered, or signed by another key.")
    return manifest_from_json(text)


def _compare(manifest: Manifest, schema: bytes, tables: dict[str, Seen], media: dict[str, Seen]) -> None:
    if hashlib.sha256(schema).hexdigest() != manifest.schema_sha256:
        raise BundleRefused("its schema is not the one of its manifest.")
    if tables.keys() != {table.name for table in manifest.tables}:
        raise BundleRefused("it has other tables than its manifest says.")
    for table in manifest.tables:
        seen = tables[table.name]
        if (seen.digest.hexdigest(), seen.size, seen.rows, seen.parts) != (table.sha256, table.bytes, table.rows, table.parts):
            raise BundleRefused(f"the rows of {table.name} are not those of its manifest.")
    expected = {facts.key: (facts.sha256, facts.bytes) for facts in manifest.media} if manifest.media_included else {}
    if {key: (seen.digest.hexdigest(), seen.size) for key, seen in media.items()} != expected:
        raise BundleRefused("its pictures are not those of its manifest.")
