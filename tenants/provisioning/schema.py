"""Making and dropping the schemas of cafeterias."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import time

from django.db import connection, transaction

from tenants.provisioning.heads import Key
from tenants.refs import TenantRef
from tenants.scope import unchecked_scope

DROPPED_AT_ONCE = 5  # tables; a drop locks each table with its indexes, sequences and TOAST


def create_schema(schema_name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {connection.ops.quote_name(schema_name)}")


def run_script(statements: Iterable[str]) -> None:
    """One round trip each, in the schema of the scope: Citus refuses several in one string."""
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def record_migrations(migrations: Sequence[Key]) -> None:
    """Note in the django_migrations of the scope that they are applied."""
    if not migrations:
        return
    values = ", ".join(["(%s, %s, now())"] * len(migrations))
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO django_migrations (app, name, applied) VALUES {values}", [part for key in migrations for part in key])  # noqa: S608


def drop_schema(schema_name: str) -> None:
    """Drop the schema in batches, each a transaction: at once it could need more locks than the server has. May be repeated."""
    quoted = connection.ops.quote_name(schema_name)
    while tables := some_tables(schema_name):
        with transaction.atomic(), connection.cursor() as cursor:
            names = ", ".join(f"{quoted}.{connection.ops.quote_name(table)}" for table in tables)
            cursor.execute(f"DROP TABLE IF EXISTS {names} CASCADE")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {quoted} CASCADE")


def some_tables(schema_name: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s LIMIT %s", [schema_name, DROPPED_AT_ONCE])
        return [name for (name,) in cursor.fetchall()]


def scratch_ref(schema_name: str) -> TenantRef:
    """A reference for a schema that is no cafeteria's, for unchecked_scope."""
    return TenantRef(
        id=0,
        uuid=uuid.UUID(int=0),
        schema_name=schema_name,
        slug="",
        name="",
        status="",
        generation=0,
        revision=0,
        currency="",
        timezone="UTC",
        day_cutoff=time(0),
        language="",
        brand="",
        accepts_orders=False,
    )


def make_schema(ref: TenantRef, *, statements: Iterable[str], migrations: Sequence[Key]) -> None:
    """The cafeteria's schema with its empty tables, in the caller's transaction."""
    create_schema(ref.schema_name)
    with unchecked_scope(ref):
        run_script(statements)
        record_migrations(migrations)
