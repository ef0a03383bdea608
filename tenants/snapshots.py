"""One moment of one cafeteria's tables, to be copied out of them: its cost does not depend on the other cafeterias."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from django.db import connections

from tenants.refs import TenantRef

# Generated columns are left out: they cannot be written.
TABLES = """
SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum),
    (SELECT array_agg(k.attname::text ORDER BY array_position(i.indkey::int[], k.attnum::int))
        FROM pg_index i JOIN pg_attribute k ON k.attrelid = i.indrelid AND k.attnum = ANY(i.indkey)
        WHERE i.indrelid = c.oid AND i.indisprimary)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r' GROUP BY c.oid, c.relname ORDER BY c.relname"""
SEQUENCES = """
SELECT t.relname, a.attname, quote_ident(s.relname) FROM pg_class s
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype IN ('a', 'i')
JOIN pg_class t ON t.oid = d.refobjid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
WHERE s.relnamespace = %s::regnamespace AND s.relkind = 'S' ORDER BY t.relname, a.attname"""


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


class Source(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TableShape:
    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]  # of the primary key

    @property
    def column_list(self) -> str:
        return ", ".join(quoted(column) for column in self.columns)

    @property
    def copy_out(self) -> str:
        """Rows in the order of the key, as PostgreSQL's text format: the same rows are the same bytes."""
        order = f" ORDER BY {', '.join(quoted(column) for column in self.key)}" if self.key else ""
        return f"COPY (SELECT {self.column_list} FROM {quoted(self.name)}{order}) TO STDOUT"  # noqa: S608 - names from the catalogue

    @property
    def copy_in(self) -> str:
        return f"COPY {quoted(self.name)} ({self.column_list}) FROM STDIN"


class Snapshot:
    """A read-only transaction with the cafeteria's schema first in its path. All that is read is of one moment."""

    def __init__(self, connection: Any, schema_name: str, *, taken_at: datetime | None = None) -> None:
        """`taken_at`: the moment that the connection's server stands at, if that is not now."""
        self._connection, self._schema = connection, schema_name
        self.taken_at: datetime = taken_at or self.rows("SELECT now()")[0][0]

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return list(cursor.fetchall())

    def tables(self) -> list[TableShape]:
        return [
            TableShape(name=name, columns=tuple(columns), key=tuple(key or columns))
            for name, columns, key in self.rows(TABLES, [quoted(self._schema)])
        ]

    def copy_out(self, table: TableShape, sink: Sink) -> None:
        """Stream the table's rows to `sink.write`, in pieces of some kilobytes."""
        with self._connection.cursor() as cursor:
            cursor.copy_expert(table.copy_out, sink)

    def sequences(self) -> dict[str, int]:
        """By "table.column": the newest number that was given, 0 for none."""
        found: dict[str, int] = {}
        for table, column, sequence in self.rows(SEQUENCES, [quoted(self._schema)]):
            value, is_called = self.rows(f"SELECT last_value, is_called FROM {sequence}")[0]  # noqa: S608 - a name from the catalogue
            found[f"{table}.{column}"] = value if is_called else value - 1
        return found


@contextmanager
def snapshot(ref: TenantRef) -> Iterator[Snapshot]:
    """A snapshot of the cafeteria on a connection of its own, so that it may last while others work. For backups and their proofs."""
    own = connections.create_connection("default")
    try:
        own.ensure_connection()
        raw = own.connection
        raw.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
        with raw.cursor() as cursor:
            cursor.execute("SELECT set_config('search_path', %s, true)", [f"{quoted(ref.schema_name)}, public"])
        yield Snapshot(raw, ref.schema_name)
        raw.rollback()
    finally:
        own.close()


@contextmanager
def snapshot_elsewhere(own: Any, ref: TenantRef, *, taken_at: datetime) -> Iterator[Snapshot]:
    """As `snapshot`, on a connection of psycopg2 to a server that stands at another moment."""
    own.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
    with own.cursor() as cursor:
        cursor.execute("SELECT set_config('search_path', %s, true)", [f"{quoted(ref.schema_name)}, public"])
    yield Snapshot(own, ref.schema_name, taken_at=taken_at)
    own.rollback()


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
