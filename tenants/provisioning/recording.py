"""Running migrations for real in the schema of the scope, and keeping the statements that they sent."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.db.backends.postgresql.schema import DatabaseSchemaEditor
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from tenants.provisioning.heads import Key, check_migration, tenant_labels, tenant_leaves


@contextmanager
def recorded_statements() -> Iterator[list[str]]:
    """The list fills up with each statement of a schema editor of this thread's connection, its parameters put in."""
    statements: list[str] = []

    class RecordingSchemaEditor(DatabaseSchemaEditor):
        def execute(self, sql: Any, params: Any = ()) -> None:
            whole = str(sql) if params is None else self.connection.ops.compose_sql(str(sql), params)
            statements.append(whole)
            super().execute(whole, None)

    connection.SchemaEditorClass = RecordingSchemaEditor
    try:
        yield statements
    finally:
        del connection.SchemaEditorClass  # The class's own shows again.


def migrate_scope_to_leaves(progress: Callable[[str], None] | None = None) -> list[Key]:
    """Bring the schema of the scope to the newest migrations on disk, and return those that were applied, in order."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(tenant_leaves(executor.loader))
    for migration, _ in plan:
        check_migration(migration)
        if progress is not None:
            progress(f"{migration.app_label}.{migration.name}")
    executor.migrate(tenant_leaves(executor.loader), plan)
    return [(migration.app_label, migration.name) for migration, _ in plan]


def unknown_migrations(loader: MigrationLoader) -> list[Key]:
    """Those that are applied in the loader's schema but not on disk: newer code was here."""
    labels = tenant_labels()
    return sorted(key for key in loader.applied_migrations if key[0] in labels and key not in loader.disk_migrations)
