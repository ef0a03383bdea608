"""What a bundle says of itself. docs/bundles.md is the format in words."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from ops.backups.errors import BundleRefused
from tenants.snapshots import TableShape

FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TableFacts:
    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    rows: int
    bytes: int  # of the rows in PostgreSQL's text format, before compression
    sha256: str  # of the same
    parts: int

    @property
    def shape(self) -> TableShape:
        return TableShape(name=self.name, columns=self.columns, key=self.key)


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaFacts:
    key: str  # in the storage
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """Signed. Its moments are ISO 8601 with offset; its amounts are text."""

    format: int
    cafeteria_uuid: str
    cafeteria_id: int
    slug: str
    name: str
    currency: str
    timezone: str
    generation: int
    head: str  # the migration head that schema.sql makes
    migrations: tuple[tuple[str, str], ...]  # (app, name), in the order in which they were applied
    release: str  # of the code that wrote it
    server_version: int
    taken_at: str
    key_id: str
    tables: tuple[TableFacts, ...]
    sequences: dict[str, int]  # by "table.column": the newest number given
    sums: dict[str, str]  # orders, total, paid
    media: tuple[MediaFacts, ...]
    media_included: bool
    schema_sha256: str

    @property
    def uuid(self) -> UUID:
        return UUID(self.cafeteria_uuid)

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.taken_at)

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    def as_json(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def manifest_from_json(text: bytes) -> Manifest:
    """Of a signed text. Raises BundleRefused for a format that this code does not know."""
    try:
        found: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BundleRefused("its manifest is not JSON.") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise BundleRefused("it is of a format that this code does not know. Restore it with the code that wrote it, or newer.")
    try:
        tables = tuple(
            TableFacts(**{**table, "columns": tuple(table["columns"]), "key": tuple(table["key"])}) for table in found.pop("tables")
        )
        media = tuple(MediaFacts(**facts) for facts in found.pop("media"))
        migrations = tuple((str(app), str(name)) for app, name in found.pop("migrations"))
        return Manifest(tables=tables, media=media, migrations=migrations, **found)
    except (KeyError, TypeError, ValueError):
        raise BundleRefused("its manifest lacks something, or says too much.") from None
