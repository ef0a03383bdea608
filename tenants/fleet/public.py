"""The public schema's migrations, and whose turn it is."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.apps import apps
from django.conf import settings
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor

from tenants.errors import FleetBusy
from tenants.locks import FLEET_LOCK

LOOK_AGAIN = 0.5  # seconds


def migrate_public() -> list[str]:
    """Bring public to the newest migrations of the shared apps, and only those. Returns the names of those that were applied."""
    labels = {app.label for app in apps.get_app_configs() if app.name in settings.SHARED_APPS}
    executor = MigrationExecutor(connection)
    targets = [key for key in executor.loader.graph.leaf_nodes() if key[0] in labels]
    plan = executor.migration_plan(targets)
    if plan:
        executor.migrate(targets, plan)
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


@contextmanager
def fleet_turn(*, wait: float, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """One fleet migration at a time; the next waits up to `wait` seconds, then raises FleetBusy. Free when its holder dies.

    The lock is held by an idle transaction on a connection of its own, which behind a pooler is the only thing that lasts.
    """
    own = connections.create_connection("default")
    try:
        own.set_autocommit(False)
        deadline = time.monotonic() + wait
        waiting = False
        with own.cursor() as cursor:
            while not _locked(cursor):
                if time.monotonic() >= deadline:
                    raise FleetBusy(seconds=round(wait))
                if not waiting and on_wait is not None:
                    on_wait()
                waiting = True
                time.sleep(LOOK_AGAIN)
        yield
    finally:
        own.close()


def _locked(cursor: object) -> bool:
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", FLEET_LOCK)  # type: ignore[attr-defined]
    return bool(cursor.fetchone()[0])  # type: ignore[attr-defined]
