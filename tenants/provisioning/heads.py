"""The migration head: one short name for the newest migrations of the apps in a cafeteria's schema, as they are on disk."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache

from django.apps import apps
from django.conf import settings
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import RunPython, SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation

from tenants.errors import UnsuitableMigration

type Key = tuple[str, str]  # (app, name) of a migration


def tenant_labels() -> frozenset[str]:
    return frozenset(app.label for app in apps.get_app_configs() if app.name in settings.TENANT_APPS)


def tenant_leaves(loader: MigrationLoader) -> list[Key]:
    labels = tenant_labels()
    return sorted(key for key in loader.graph.leaf_nodes() if key[0] in labels)


def disk_loader() -> MigrationLoader:
    """The migrations of the code. Reads no database."""
    return MigrationLoader(None)


def head_of(leaves: Iterable[Key]) -> str:
    return hashlib.sha256(" ".join(f"{app}.{name}" for app, name in sorted(leaves)).encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def current_head() -> str:
    """The head of the code on disk. Reads no database."""
    return head_of(tenant_leaves(disk_loader()))


def check_migrations(loader: MigrationLoader) -> None:
    """UnsuitableMigration when one in a cafeteria's schema cannot be run as plain statements in one transaction."""
    labels = tenant_labels()
    for key, migration in sorted(loader.disk_migrations.items()):
        if key[0] in labels:
            check_migration(migration)


def check_migration(migration: Migration) -> None:
    name = f"{migration.app_label}.{migration.name}"
    if not migration.atomic:
        raise UnsuitableMigration(name=name, reason="it is not atomic, so a cafeteria could be left half migrated")
    for operation in flattened(migration.operations):
        if isinstance(operation, RunPython) or not operation.reduces_to_sql:
            raise UnsuitableMigration(name=name, reason="it runs Python, which does not reduce to statements: make the backfill a job")


def flattened(operations: Iterable[Operation]) -> Iterable[Operation]:
    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            yield from flattened(operation.database_operations)
        else:
            yield operation
