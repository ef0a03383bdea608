"""A bundle on its way out: a tar of small members, so that nothing has to be known before it is there, encrypted as it is written."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from ops.backups.bundles.data import FORMAT, Manifest, MediaFacts, TableFacts
from ops.backups.bundles.keys import BundleKey
from ops.backups.bundles.streams import encrypted_into
from ops.backups.bundles.zstd import ZstdCompressor
from tenants.provisioning.heads import Key
from tenants.refs import TenantRef
from tenants.snapshots import Snapshot, TableShape

PART = 4 * 1024 * 1024  # compressed bytes of a table in one member
PIECE = 256 * 1024
README = """A cafeteria of Comanda, at one moment. Written to be read without Comanda.

  age -d -i KEY bundle.age | tar x          (KEY: a file with the AGE-SECRET-KEY that manifest.json names by its public half)
  psql -c 'CREATE SCHEMA it' DB             then, with SET search_path = it:  \\i schema.sql
  cat tables/NAME/*.copy.zst | zstd -d > NAME.copy
  psql: \\copy NAME (COLUMNS of manifest.json) FROM NAME.copy

manifest.json lists tables, rows, digests and media; manifest.hmac is its signature.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    manifest: Manifest
    size: int
    sha256: str  # of the file


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    head: str
    statements: Sequence[str]
    migrations: Sequence[Key]


type OpenMedia = Callable[[str], BinaryIO | None]
type Step = Callable[[str], None]


class PartedTable:
    """What COPY writes to: compresses, and puts a member into the tar whenever a part is full."""

    def __init__(self, shape: TableShape, tar: tarfile.TarFile, moment: datetime) -> None:
        self._shape, self._tar, self._moment = shape, tar, moment
        self._digest, self._bytes, self._rows, self._parts = hashlib.sha256(), 0, 0, 0
        self._compressor, self._part, self._used = ZstdCompressor(level=3), io.BytesIO(), False

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        self._bytes += len(data)
        self._rows += data.count(b"\n")  # A line each: the text format escapes those within.
        self._part.write(self._compressor.compress(data))
        self._used = True
        if self._part.tell() >= PART:
            self._end_part()
        return len(data)

    def finished(self) -> TableFacts:
        if self._used or not self._parts:
            self._end_part()
        return TableFacts(
            name=self._shape.name,
            columns=self._shape.columns,
            key=self._shape.key,
            rows=self._rows,
            bytes=self._bytes,
            sha256=self._digest.hexdigest(),
            parts=self._parts,
        )

    def _end_part(self) -> None:
        self._part.write(self._compressor.flush())
        self._parts += 1
        add_member(self._tar, f"tables/{self._shape.name}/{self._parts:06d}.copy.zst", self._part.getvalue(), self._moment)
        self._compressor, self._part, self._used = ZstdCompressor(level=3), io.BytesIO(), False


def write_bundle(
    path: Path,
    snapshot: Snapshot,
    *,
    ref: TenantRef,
    schema: Schema,
    media: Sequence[MediaFacts],
    open_media: OpenMedia | None,
    key: BundleKey,
    step: Step,
) -> Written:
    """Write the snapshot to a new file. With `open_media` the media's bytes are in it; without, it only lists them.

    `step` is told what is being written, and may raise to end it: the file is then not whole and of no use.
    """
    with encrypted_into(path, key) as (plain, file), tarfile.open(fileobj=plain, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        moment = snapshot.taken_at
        add_member(tar, "README.txt", README.encode(), moment)
        script = schema_script(schema.statements)
        add_member(tar, "schema.sql", script, moment)
        tables: list[TableFacts] = []
        for shape in snapshot.tables():
            step(shape.name)
            parted = PartedTable(shape, tar, moment)
            snapshot.copy_out(shape, parted)
            tables.append(parted.finished())
        if open_media is not None:
            for facts in media:
                step("media")
                _add_media(tar, facts, open_media, moment)
        manifest = _manifest(snapshot, ref, schema, tables, script, media, key, included=open_media is not None)
        text = manifest.as_json()
        add_member(tar, "manifest.json", text, moment)
        add_member(tar, "manifest.hmac", key.sign(text).encode(), moment)
    return Written(manifest=manifest, size=file.size, sha256=file.sha256)


def schema_script(statements: Sequence[str]) -> bytes:
    """As psql reads it; a line that is only a semicolon ends each statement."""
    return "".join(f"{statement}\n;\n" for statement in statements).encode()


def add_member(tar: tarfile.TarFile, name: str, content: bytes, moment: datetime) -> None:
    tar.addfile(_member(name, len(content), moment), io.BytesIO(content))


def _member(name: str, size: int, moment: datetime) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, int(moment.timestamp()), 0o600
    return member


def _add_media(tar: tarfile.TarFile, facts: MediaFacts, open_media: OpenMedia, moment: datetime) -> None:
    source = open_media(facts.key)
    if source is None:
        raise FileNotFoundError(facts.key)
    with source:
        tar.addfile(_member(f"media/{facts.key}", facts.bytes, moment), source)


def _manifest(
    snapshot: Snapshot,
    ref: TenantRef,
    schema: Schema,
    tables: Sequence[TableFacts],
    script: bytes,
    media: Sequence[MediaFacts],
    key: BundleKey,
    *,
    included: bool,
) -> Manifest:
    return Manifest(
        format=FORMAT,
        cafeteria_uuid=str(ref.uuid),
        cafeteria_id=ref.id,
        slug=ref.slug,
        name=ref.name,
        currency=ref.currency,
        timezone=ref.timezone,
        generation=ref.generation,
        head=schema.head,
        migrations=tuple(schema.migrations),
        release=settings.RELEASE,
        server_version=int(snapshot.rows("SELECT current_setting('server_version_num')")[0][0]),
        taken_at=snapshot.taken_at.isoformat(),
        key_id=key.key_id,
        tables=tuple(tables),
        sequences=snapshot.sequences(),
        sums=order_sums(snapshot, {table.name: table.columns for table in tables}),
        media=tuple(media),
        media_included=included,
        schema_sha256=hashlib.sha256(script).hexdigest(),
    )


def order_sums(snapshot: Snapshot, columns: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Of the orders: how many, what they come to, what of it has stayed. A schema of before payments has no `paid`."""
    paid = "coalesce(sum(paid), 0)" if "paid" in columns.get("shop_order", ()) else "0"
    if "shop_order" not in columns:
        return {}
    orders, total, stayed = snapshot.rows(f"SELECT count(*), coalesce(sum(total), 0), {paid} FROM shop_order")[0]  # noqa: S608 - one of two
    return {"orders": str(orders), "total": str(total), "paid": str(stayed)}
