"""The last backup of a cafeteria that is closed: without one, proven, its data is not dropped."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from core.alerts.models import Alert
from core.jobs.models import Job
from core.jobs.runner import run_job
from ops.backups.actions import file_of, forget_old_backups, take_backup
from ops.backups.bundles.reading import read_manifest
from ops.backups.errors import BackupsNotSetUp, BundleRefused, DataDropped
from ops.backups.final import take_final_backup
from ops.backups.models import Backup
from ops.restores.actions import start_preview, start_restore
from ops.restores.clones import run_clone, start_clone
from tenants.actions import close_cafeteria, drop_closed_cafeteria
from tenants.models import Cafeteria
from tenants.provisioning.schema import drop_schema
from tests.processes import committed_queue
from tests.world import Place, World


@pytest.fixture
def place(committed_world: World, settings: Settings, tmp_path: Path) -> Iterator[Place]:
    settings.BACKUP_FOLDER = tmp_path / "backups"
    with committed_queue():
        yield committed_world.a


def closed_long_ago(place: Place) -> None:
    close_cafeteria(cafeteria_id=place.ref.id)
    Cafeteria.objects.filter(pk=place.ref.id).update(closed_at=timezone.now() - timedelta(days=31))


def has_schema(place: Place) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname = %s", [place.ref.schema_name])
        return bool(cursor.fetchone()[0])


def test_closing_takes_one(place: Place) -> None:
    take_backup(cafeteria_uuid=place.ref.uuid, kind="hourly")
    close_cafeteria(cafeteria_id=place.ref.id)
    job = Job.objects.get(kind="ops.backups.jobs.final", cafeteria_uuid=place.ref.uuid)
    run_job(str(job.pk))
    final = Backup.objects.get(cafeteria_uuid=place.ref.uuid, kind="final")
    manifest = read_manifest(file_of(final))
    assert (manifest.media_included, final.proven_at is not None) == (True, True)
    assert take_final_backup(place.ref.uuid).pk == final.pk


def test_it_is_never_let_go(place: Place) -> None:
    close_cafeteria(cafeteria_id=place.ref.id)
    final = take_final_backup(place.ref.uuid)
    Backup.objects.filter(pk=final.pk).update(taken_at=timezone.now() - timedelta(days=3000))
    for days in (1, 2, 3):
        newer = take_backup(cafeteria_uuid=place.ref.uuid, kind="hourly")
        Backup.objects.filter(pk=newer.pk).update(taken_at=timezone.now() - timedelta(days=days))
    forget_old_backups(cafeteria_uuid=place.ref.uuid)
    assert Backup.objects.filter(pk=final.pk).exists()
    assert file_of(final).exists()


def test_the_drop_takes_one_where_there_is_none(place: Place) -> None:
    closed_long_ago(place)
    assert drop_closed_cafeteria(cafeteria_id=place.ref.id) is True
    assert (has_schema(place), Backup.objects.filter(cafeteria_uuid=place.ref.uuid, kind="final").count()) == (False, 1)
    assert drop_closed_cafeteria(cafeteria_id=place.ref.id) is True
    final = Backup.objects.get(cafeteria_uuid=place.ref.uuid)
    with pytest.raises(DataDropped):
        take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")
    for start in (start_restore, start_preview):
        with pytest.raises(DataDropped):
            start(cafeteria_uuid=place.ref.uuid, backup_id=final.pk)
    clone = run_clone(clone_id=start_clone(cafeteria_uuid=place.ref.uuid, slug=f"copy-{place.ref.slug}", backup_id=final.pk).pk)
    copy = Cafeteria.objects.get(uuid=clone.copy_uuid)
    assert copy.status == "open"
    drop_schema(copy.schema_name)
    copy.delete()
    clone.delete()


def test_without_one_nothing_is_dropped(place: Place, settings: Settings) -> None:
    closed_long_ago(place)
    keys, settings.BACKUP_KEYS = settings.BACKUP_KEYS, []
    with pytest.raises(BackupsNotSetUp):
        drop_closed_cafeteria(cafeteria_id=place.ref.id)
    assert has_schema(place)
    alert = Alert.objects.get(kind="backups.final_missing", cafeteria_uuid=place.ref.uuid)
    assert "not dropped" in alert.detail
    settings.BACKUP_KEYS = keys
    drop_closed_cafeteria(cafeteria_id=place.ref.id)
    alert.refresh_from_db()
    assert (has_schema(place), alert.resolved_at is not None) == (False, True)


def test_one_that_cannot_be_restored_is_taken_again(place: Place) -> None:
    closed_long_ago(place)
    broken = take_backup(cafeteria_uuid=place.ref.uuid, kind="final")
    file_of(broken).write_bytes(file_of(broken).read_bytes()[:-100])
    with pytest.raises(BundleRefused):
        drop_closed_cafeteria(cafeteria_id=place.ref.id)
    assert has_schema(place)
    assert drop_closed_cafeteria(cafeteria_id=place.ref.id) is True
    assert Backup.objects.filter(cafeteria_uuid=place.ref.uuid, kind="final", proven_at__isnull=False).exclude(pk=broken.pk).exists()
