"""A second schema of one cafeteria, made beside the live one, and the exchange of the two.

Everything until the exchange is of no concern to the live schema. The exchange locks every live table first: a rename alone waits for
nobody, and would tear an open transaction between the two.
"""

import itertools
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from tenants import routing
from tenants.locks import cafeteria_lock, wait_for_lock
from tenants.models import Cafeteria, Pulse
from tenants.provisioning.heads import current_head
from tenants.provisioning.recording import migrate_scope_to_leaves
from tenants.provisioning.schema import create_schema, run_script, scratch_ref
from tenants.refs import TenantRef
from tenants.scope import unchecked_scope
from tenants.snapshots import SEQUENCES, Snapshot, Source, TableShape, quoted

LOCK_SECONDS = 3.0  # to have every live table; also the lock_timeout of what follows
# One attempt at all of them. Far below PostgreSQL's deadlock_timeout (1 s): an order that holds one table and waits for another is let go
# by an attempt that ends, before PostgreSQL would choose it as the victim.
ATTEMPT_MILLISECONDS = 250
# Every fifth, when whoever was in it is long through: an autovacuum gives way only to one who has waited for deadlock_timeout.
PATIENT_MILLISECONDS = 1500
BREATH = 0.05  # seconds between two attempts, in which whoever has waited goes first
LOCK_NOT_HAD = {"55P03", "40P01", "57014"}  # within lock_timeout, by a deadlock, within statement_timeout
TABLES = "SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r' ORDER BY relname"


@dataclass(frozen=True, kw_only=True)
class Side:
    """A schema that is just being filled, within the transaction that makes it."""

    schema_name: str

    def run(self, statements: Sequence[str]) -> None:
        run_script(statements)

    def load(self, table: TableShape, source: Source) -> None:
        with connection.cursor() as cursor:
            cursor.copy_expert(table.copy_in, source)

    def set_sequences(self, newest: dict[str, int]) -> None:
        """By "table.column": the newest number that was given. Sequences that are not named stay as they are."""
        with connection.cursor() as cursor:
            cursor.execute(SEQUENCES, [quoted(self.schema_name)])
            for table, column, sequence in cursor.fetchall():
                if (value := newest.get(f"{table}.{column}")) is not None:
                    cursor.execute("SELECT setval(%s::regclass, greatest(%s, 1), %s)", [sequence, value, value > 0])

    def check(self) -> None:
        """Every foreign key holds now, and the planner knows the rows. Raises IntegrityError."""
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(TABLES, [quoted(self.schema_name)])
            for (table,) in cursor.fetchall():
                cursor.execute(f"ANALYZE {table}")

    def migrate(self) -> str:
        """To the newest migrations on disk; the head that it is at then."""
        migrate_scope_to_leaves()
        return current_head()

    @property
    def contents(self) -> Snapshot:
        """To read it back."""
        return Snapshot(connection, self.schema_name)


def side_name(ref: TenantRef) -> str:
    """A new name for a schema beside the cafeteria's."""
    return f"{ref.schema_name}_s{secrets.token_hex(4)}"


def kept_name(ref: TenantRef) -> str:
    """A new name for the schema that the cafeteria leaves."""
    return f"{ref.schema_name}_k{secrets.token_hex(4)}"


@contextmanager
def new_side(schema_name: str) -> Iterator[Side]:
    """An empty schema of that name, filled in the block: all of it is there afterwards, or nothing."""
    with transaction.atomic():
        create_schema(schema_name)
        with unchecked_scope(scratch_ref(schema_name)):
            yield Side(schema_name=schema_name)


def schema_exists(schema_name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)", [schema_name])
        return bool(cursor.fetchone()[0])


def migrate_schema(schema_name: str) -> str:
    """Bring a kept schema to the newest migrations on disk, in one transaction; the head that it is at then."""
    with transaction.atomic(), unchecked_scope(scratch_ref(schema_name)):
        return Side(schema_name=schema_name).migrate()


def fence(ref: TenantRef, *, seconds: float) -> None:
    """Refuse the cafeteria's scopes for so long, with 503 and Retry-After. It falls by itself: whoever raised it may die."""
    Cafeteria.objects.filter(pk=ref.id).update(fenced_until=timezone.now() + timedelta(seconds=seconds))


def unfence(ref: TenantRef) -> None:
    Cafeteria.objects.filter(pk=ref.id).update(fenced_until=None)


def exchange_schemas(ref: TenantRef, *, side: str, kept: str, head: str, before: Callable[[Any, str, str], None] | None = None) -> None:
    """Let the side be the cafeteria's schema, and keep the live one under the name `kept`; a new generation begins.

    One transaction: killed at any time, one of the two is live and whole. Numbers that were given are not given again. `before` is called
    in it with (cursor, live schema, side) quoted, when nobody else can write any more. Raises django's OperationalError when the
    live tables could not be locked in time: nothing has happened then.
    """
    live = quoted(ref.schema_name)
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        _lock_tables(cursor, live, also=cafeteria_lock(ref.id))
        _never_below(cursor, live, quoted(side))
        if before is not None:
            before(cursor, live, quoted(side))
        cursor.execute(f"ALTER SCHEMA {live} RENAME TO {quoted(kept)}")
        cursor.execute(f"ALTER SCHEMA {quoted(side)} RENAME TO {live}")
        changed = {"generation": F("generation") + 1, "revision": F("revision") + 1, "schema_head": head}
        Cafeteria.objects.filter(pk=ref.id).update(**changed)
        Pulse.objects.filter(cafeteria_id=ref.id).update(menu=F("menu") + 1, orders=F("orders") + 1)
        transaction.on_commit(lambda: routing.forget(ref.id))


def _lock_tables(cursor: Any, live: str, *, also: tuple[int, int]) -> None:
    """Every table of the schema, in many short attempts: who works in it now may finish, and is never the victim of a deadlock with us."""
    cursor.execute("SELECT current_setting('statement_timeout'), set_config('lock_timeout', %s, true)", [f"{LOCK_SECONDS}s"])
    before = cursor.fetchone()[0]
    deadline = time.monotonic() + LOCK_SECONDS
    for number in itertools.count(1):
        cursor.execute("SAVEPOINT unlocked")
        limit = ATTEMPT_MILLISECONDS if number % 5 else PATIENT_MILLISECONDS
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(limit)])
        try:
            wait_for_lock(also)
            cursor.execute(TABLES, [live])
            tables = [f"{live}.{table}" for (table,) in cursor.fetchall()]
            cursor.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        except OperationalError as error:
            if getattr(error.__cause__, "pgcode", "") not in LOCK_NOT_HAD or time.monotonic() > deadline:
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT unlocked")
            time.sleep(BREATH)
        else:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])
            return


def _never_below(cursor: Any, live: str, side: str) -> None:
    """The side's sequences go on at least where the live ones stand: an id never means two things."""
    cursor.execute(SEQUENCES, [live])
    standing = {(table, column): f"{live}.{sequence}" for table, column, sequence in cursor.fetchall()}
    cursor.execute(SEQUENCES, [side])
    for table, column, sequence in cursor.fetchall():
        if (theirs := standing.get((table, column))) is not None:
            # setval takes the larger of the two, and whether it was given yet.
            cursor.execute(
                f"""SELECT setval(%s::regclass, l.last_value, l.is_called) FROM {theirs} l, {side}.{sequence} s
                    WHERE l.last_value > s.last_value OR (l.last_value = s.last_value AND l.is_called)""",  # noqa: S608 - names from the catalogue
                [f"{side}.{sequence}"],
            )
