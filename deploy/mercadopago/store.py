"""Everything that the emulator knows, in one SQLite file: documents of many kinds, a log, a few counters.

One connection behind one lock. What has been answered survives a kill of the process: it has been handed to the operating system,
though not flushed to the disk.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KEPT_LOG = 50_000  # entries; chaos runs look at all of theirs
_TABLES = """
    CREATE TABLE IF NOT EXISTS documents (
        kind TEXT NOT NULL, id TEXT NOT NULL, owner INTEGER, parent TEXT, reference TEXT, status TEXT,
        created INTEGER, updated INTEGER, approved INTEGER, due INTEGER, body TEXT NOT NULL, PRIMARY KEY (kind, id)
    );
    CREATE INDEX IF NOT EXISTS by_reference ON documents (kind, reference);
    CREATE INDEX IF NOT EXISTS by_parent ON documents (kind, parent);
    CREATE INDEX IF NOT EXISTS by_update ON documents (kind, owner, updated);
    CREATE INDEX IF NOT EXISTS by_due ON documents (kind, status, due);
    CREATE TABLE IF NOT EXISTS log (seq INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_COLUMNS = "kind, id, owner, parent, reference, status, created, updated, approved, due, body"
_CHANGES = ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS.split(", ")[2:])
_SAVE = f"INSERT INTO documents ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (kind, id) DO UPDATE SET {_CHANGES}"  # noqa: S608
_ORDERS = {"created", "updated", "approved", "id"}


@dataclass(kw_only=True)
class Document:
    kind: str
    id: str
    owner: int | None = None  # the seller who may see it
    parent: str | None = None
    reference: str | None = None
    status: str | None = None
    created: int | None = None
    updated: int | None = None
    approved: int | None = None
    due: int | None = None  # when the emulator has to do something about it by itself
    body: dict[str, Any] = field(default_factory=dict)  # names with _ in front are never shown

    def public(self) -> dict[str, Any]:
        return {name: value for name, value in self.body.items() if not name.startswith("_")}


type Conditions = dict[str, Any]  # "owner": 3, "created >=": 5


class Store:
    def __init__(self, path: Path) -> None:
        self.lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.executescript(_TABLES)

    def close(self) -> None:
        with self.lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and nobody else meanwhile. Not nested."""
        with self.lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                with suppress(sqlite3.OperationalError):
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def save(self, document: Document) -> None:
        values = (
            *(document.kind, document.id, document.owner, document.parent, document.reference, document.status),
            *(document.created, document.updated, document.approved, document.due),
            json.dumps(document.body, separators=(",", ":"), ensure_ascii=False),
        )
        self._connection.execute(_SAVE, values)

    def delete(self, kind: str, identifier: str) -> None:
        self._connection.execute("DELETE FROM documents WHERE kind = ? AND id = ?", (kind, identifier))

    def delete_kind(self, kind: str) -> None:
        self._connection.execute("DELETE FROM documents WHERE kind = ?", (kind,))

    def find(self, kind: str, identifier: str) -> Document | None:
        found = self.select(kind, {"id": identifier})
        return found[0] if found else None

    def select(
        self, kind: str, conditions: Conditions, *, order: str = "created", descending: bool = False, limit: int = -1, offset: int = 0
    ) -> list[Document]:
        """In order of `order`, ties in the order of their making."""
        assert order in _ORDERS
        where, values = _where(kind, conditions)
        direction = "DESC" if descending else "ASC"
        statement = f"SELECT {_COLUMNS} FROM documents WHERE {where} ORDER BY {order} {direction}, rowid {direction} LIMIT ? OFFSET ?"  # noqa: S608  # constants
        with self.lock:
            rows = self._connection.execute(statement, (*values, limit, offset)).fetchall()
        return [_document(row) for row in rows]

    def count(self, kind: str, conditions: Conditions | None = None) -> int:
        where, values = _where(kind, conditions or {})
        with self.lock:
            return int(self._connection.execute(f"SELECT count(*) FROM documents WHERE {where}", values).fetchone()[0])  # noqa: S608

    def counts(self) -> dict[str, int]:
        with self.lock:
            return dict(self._connection.execute("SELECT kind, count(*) FROM documents GROUP BY kind").fetchall())

    def next_number(self, name: str, *, first: int) -> int:
        """A number never given before under this name, not even before `clear`."""
        number = int(self.read_meta(f"number:{name}") or first - 1) + 1
        self.write_meta(f"number:{name}", str(number))
        return number

    def read_meta(self, name: str) -> str | None:
        with self.lock:
            row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def write_meta(self, name: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))

    def write_log(self, entry: dict[str, Any]) -> None:
        sequence = self._connection.execute("INSERT INTO log (body) VALUES (?)", (json.dumps(entry, ensure_ascii=False),)).lastrowid
        if sequence and sequence % 1000 == 0:
            self._connection.execute("DELETE FROM log WHERE seq <= ?", (sequence - KEPT_LOG,))

    def read_log(self, *, since: int, limit: int) -> list[dict[str, Any]]:
        """Entries after the number `since`, oldest first."""
        with self.lock:
            rows = self._connection.execute("SELECT seq, body FROM log WHERE seq > ? ORDER BY seq LIMIT ?", (since, limit)).fetchall()
        return [{"seq": sequence, **json.loads(body)} for sequence, body in rows]

    def clear(self) -> None:
        """Forgets everything but which numbers have been given."""
        for statement in ("DELETE FROM documents", "DELETE FROM log", "DELETE FROM meta WHERE name NOT LIKE 'number:%'"):
            self._connection.execute(statement)


def _where(kind: str, conditions: Conditions) -> tuple[str, list[Any]]:
    """Names come from the emulator's own code; values are bound."""
    parts, values = ["kind = ?"], [kind]
    for name, value in conditions.items():
        column, _, operator = name.partition(" ")
        parts.append(f"{column} {operator or '='} ?")
        values.append(value)
    return " AND ".join(parts), values


def _document(row: tuple[Any, ...]) -> Document:
    kind, identifier, owner, parent, reference, status, created, updated, approved, due, body = row
    return Document(
        kind=kind,
        id=identifier,
        owner=owner,
        parent=parent,
        reference=reference,
        status=status,
        created=created,
        updated=updated,
        approved=approved,
        due=due,
        body=json.loads(body),
    )
