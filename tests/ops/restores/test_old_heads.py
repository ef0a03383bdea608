"""A bundle of the first migrations is restored by the newest code: its rows as they were, in the newest tables."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from pytest_django.fixtures import Settings

from ops.backups.bundles.keys import bundle_keys
from ops.backups.bundles.reading import read_manifest
from ops.backups.bundles.writing import Schema, write_bundle
from ops.restores.actions import run_restore, start_restore
from tenants.models import Cafeteria
from tenants.provisioning.heads import Key, current_head, head_of, tenant_leaves
from tenants.provisioning.schema import create_schema, drop_schema, scratch_ref
from tenants.provisioning.script import script_of
from tenants.queries import ref_by_uuid
from tenants.scope import unchecked_scope
from tenants.snapshots import Snapshot, snapshot
from tests.processes import committed_queue
from tests.world import Place, World

FIRST: list[Key] = [("shop", "0001_initial")]


@pytest.fixture
def place(committed_world: World, settings: Settings, tmp_path: Path) -> Iterator[Place]:
    settings.BACKUP_FOLDER = tmp_path / "backups"
    with committed_queue():
        yield committed_world.a


@pytest.fixture
def old_schema(place: Place) -> Iterator[tuple[str, Schema]]:
    """The cafeteria's rows, as they would be in tables of the first migrations: (the schema's name, what makes it)."""
    name = f"{place.ref.schema_name}_old"
    with transaction.atomic():
        create_schema(name)
        with unchecked_scope(scratch_ref(name)):
            executor = MigrationExecutor(connection)
            plan = executor.migration_plan(FIRST)
            executor.migrate(FIRST, plan)
            applied = tuple((migration.app_label, migration.name) for migration, _ in plan)
            schema = Schema(head=head_of(FIRST), statements=script_of(name), migrations=applied)
            tables = [table for table in Snapshot(connection, name).tables() if table.name != "django_migrations"]
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL DEFERRED")
                for table in tables:
                    cursor.execute(
                        f'INSERT INTO "{table.name}" ({table.column_list}) '
                        f'SELECT {table.column_list} FROM "{place.ref.schema_name}"."{table.name}"'
                    )
    yield name, schema
    drop_schema(name)


def test_rows_of_the_first_head(place: Place, old_schema: tuple[str, Schema], tmp_path: Path) -> None:
    order = place.client().post("/api/v1/orders", place.order(guest={"name": "Ana"}), content_type="application/json")
    assert order.status_code == 201
    name, schema = old_schema
    assert schema.head != current_head()
    with snapshot(replace(place.ref, schema_name=name)) as moment:
        written = write_bundle(
            tmp_path / "old.bundle",
            moment,
            ref=place.ref,
            schema=schema,
            media=(),
            open_media=None,
            key=bundle_keys()[0],
            step=lambda _: None,
        )
    manifest = read_manifest(tmp_path / "old.bundle")
    assert manifest.sums["paid"] == "0"
    restore = run_restore(restore_id=start_restore(cafeteria_uuid=place.ref.uuid, file=str(tmp_path / "old.bundle")).pk)
    assert (restore.phase, restore.head) == ("done", current_head())
    fresh = ref_by_uuid(place.ref.uuid)
    assert Cafeteria.objects.get(pk=fresh.id).schema_head == current_head()
    with snapshot(fresh) as moment:
        for table in written.manifest.tables:
            if table.name in {"django_migrations", "shop_daycounter"}:
                continue
            columns = table.shape.column_list
            now = moment.rows(f'SELECT {columns} FROM "{table.name}" ORDER BY {columns}')
            then = moment.rows(f'SELECT {columns} FROM "{name}"."{table.name}" ORDER BY {columns}')
            assert (table.name, now) == (table.name, then)
        applied = {row[0] for row in moment.rows("SELECT name FROM django_migrations WHERE app = 'shop'")}
    with transaction.atomic(), unchecked_scope(scratch_ref(name)):
        wanted = {name for app, name in MigrationExecutor(connection).loader.graph.nodes if app == "shop"}
    assert applied == wanted
    assert tenant_leaves(MigrationExecutor(connection).loader)[0][1] in applied
