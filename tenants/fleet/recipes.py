"""Migrating one cafeteria's schema: the first of each starting head for real, the others by the statements that it took."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from tenants.errors import UnsuitableMigration
from tenants.locks import cafeteria_lock, try_lock
from tenants.models import Cafeteria, MigrationStatus
from tenants.provisioning.heads import Key
from tenants.provisioning.recording import migrate_scope_to_leaves, recorded_statements, unknown_migrations
from tenants.provisioning.schema import record_migrations, run_script
from tenants.queries import ref_for
from tenants.scope import unchecked_scope

# A statement that waits for a table blocks all who come after it: rather give way and come back. Below PostgreSQL's deadlock_timeout (1 s),
# so that of two who wait for one another it is not an order that has to fail.
LOCK_TIMEOUT = "500ms"
PATIENT_LOCK_TIMEOUT = "2s"  # An autovacuum gives way only to one who has waited for deadlock_timeout.
STATEMENT_TIMEOUT = "120s"
LIMITS = "SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true)"
HEAD = "SELECT schema_head FROM public.tenants_cafeteria WHERE id = %s FOR NO KEY UPDATE"


class AheadOfCode(Exception):
    """Newer code has migrated this schema. This code leaves it as it is."""


class Occupied(Exception):
    """Somebody else migrates, restores or drops this schema at the moment."""


class DoneElsewhere(Exception):
    """It is at the wanted head already, or it is gone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """The way from one head to another, the same for all schemas."""

    start: str
    target: str
    statements: tuple[str, ...]
    migrations: tuple[Key, ...]


def make_recipe(cafeteria: Cafeteria, *, target: str, patient: bool = False) -> Recipe:
    """Migrate this cafeteria with Django's executor, in one transaction, and return what it took."""
    with work_on(cafeteria, target=target, patient=patient):
        loader = MigrationLoader(connection)
        if unknown_migrations(loader):
            raise AheadOfCode
        with recorded_statements() as statements:
            migrations = migrate_scope_to_leaves()
        for statement in statements:
            if cafeteria.schema_name in statement:
                name = ", ".join(f"{app}.{name}" for app, name in migrations)
                raise UnsuitableMigration(name=name, reason=f"it names the schema: {statement[:200]}")
    return Recipe(start=cafeteria.schema_head, target=target, statements=tuple(statements), migrations=tuple(migrations))


def follow_recipe(cafeteria: Cafeteria, recipe: Recipe, *, patient: bool = False) -> None:
    """Migrate this cafeteria in one transaction: all of it or nothing."""
    with work_on(cafeteria, target=recipe.target, patient=patient):
        run_script(recipe.statements)
        record_migrations(recipe.migrations)


@contextmanager
def work_on(cafeteria: Cafeteria, *, target: str, patient: bool) -> Iterator[None]:
    """The cafeteria's schema, locked, and marked as migrated at the end. Raises Occupied, DoneElsewhere."""
    started = timezone.now()
    with unchecked_scope(ref_for(cafeteria)):
        with connection.cursor() as cursor:
            cursor.execute(LIMITS, [PATIENT_LOCK_TIMEOUT if patient else LOCK_TIMEOUT, STATEMENT_TIMEOUT])
        if not try_lock(cafeteria_lock(cafeteria.pk)):
            raise Occupied
        with connection.cursor() as cursor:
            cursor.execute(HEAD, [cafeteria.pk])
            row = cursor.fetchone()
        if row is None or row[0] in {"", target}:
            raise DoneElsewhere
        if row[0] != cafeteria.schema_head:
            raise Occupied
        yield
        mark_done(cafeteria, target=target, started=started)


DONE = """
WITH moved AS (UPDATE public.tenants_cafeteria SET schema_head = %(target)s WHERE id = %(id)s)
INSERT INTO public.tenants_migrationstatus AS s (cafeteria_id, target, state, attempts, error, started_at, finished_at)
VALUES (%(id)s, %(target)s, 'done', 1, '', %(started)s, now())
ON CONFLICT (cafeteria_id) DO UPDATE SET target = excluded.target, state = 'done', attempts = s.attempts + 1, error = '',
    started_at = excluded.started_at, finished_at = clock_timestamp()"""


def mark_done(cafeteria: Cafeteria, *, target: str, started: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(DONE, {"id": cafeteria.pk, "target": target, "started": started})


def mark_failed(cafeteria: Cafeteria, *, target: str, error: str) -> None:
    """In a transaction of its own: that of the attempt is gone."""
    status, _ = MigrationStatus.objects.get_or_create(cafeteria_id=cafeteria.pk, defaults={"target": target})
    status.target, status.state, status.error = target, MigrationStatus.State.FAILED, error[:5000].replace("\x00", "")
    status.attempts += 1
    status.finished_at = timezone.now()
    status.save()
