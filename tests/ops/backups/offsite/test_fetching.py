"""A backup whose local copy is gone is fetched when it is needed; a bundle at any address of S3 can be."""

from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from core.alerts.models import Alert
from core.jobs import JobPostponed
from core.jobs.errors import JobCancelled
from core.jobs.models import Job
from core.jobs.runner import run_job
from ops.backups.actions import file_of, take_backup
from ops.backups.bundles.reading import read_manifest
from ops.backups.models import Backup
from ops.backups.offsite.actions import copy_backup, fetch_bundle, local_bundle
from ops.backups.offsite.errors import BadAddress, OffsiteDamaged, OffsiteNotFound, OffsiteNotSetUp, OffsiteUnavailable
from ops.backups.proofs import prove_backup
from ops.restores.actions import run_restore, start_preview, start_restore
from ops.restores.clones import run_clone, start_clone
from ops.restores.models import Restore
from ops.restores.sources import TRIES
from shop.menu.models import Product
from tenants.queries import ref_by_uuid
from tenants.scope import tenant_scope
from tests.accounts.test_pages import signed_in
from tests.ops.backups.offsite.storage import Storage
from tests.servers import free_port
from tests.world import Place, World


@pytest.fixture
def backup(place: Place) -> Backup:
    """A copy alone: the local one is gone, and the row knows."""
    found = take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")
    assert copy_backup(backup_id=found.pk)
    file_of(found).unlink()
    Backup.objects.filter(pk=found.pk).update(file="")
    with tenant_scope(place.ref):
        Product.objects.filter(pk=place.coffee).update(price="9999.00")
    found.refresh_from_db()
    assert found.location == "offsite"
    return found


def price(place: Place) -> str:
    with tenant_scope(ref_by_uuid(place.ref.uuid)):
        return str(Product.objects.get(pk=place.coffee).price)


def left(settings: Settings) -> list[str]:
    return [path.name for path in Path(settings.BACKUP_FOLDER).glob("*/*")]


def test_it_is_fetched_and_stays(backup: Backup, settings: Settings) -> None:
    steps: list[float] = []
    path = local_bundle(backup, step=steps.append)
    assert (path.stat().st_size, read_manifest(path).rows, steps[-1]) == (backup.size, backup.rows, 1.0)
    backup.refresh_from_db()
    assert (backup.location, file_of(backup)) == ("both", path)
    settings.S3_ENDPOINT = f"http://127.0.0.1:{free_port()}"
    assert local_bundle(backup) == path


@pytest.mark.parametrize("damage", ["gone", "cut", "altered"])
def test_a_damaged_local_copy_is_fetched_anew(backup: Backup, damage: str) -> None:
    path = local_bundle(backup)
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    assert local_bundle(backup).read_bytes() == content
    told = Alert.objects.filter(kind="backups.local_damaged", subject=str(backup.pk)).count()
    assert told == (0 if damage == "gone" else 1)


def test_what_is_only_off_site_needs_the_settings(backup: Backup, settings: Settings) -> None:
    settings.S3_BUCKET = ""
    with pytest.raises(OffsiteNotSetUp):
        local_bundle(backup)


def test_a_flipped_byte_off_site_is_noticed(backup: Backup, storage: Storage, settings: Settings) -> None:
    content = bytearray(storage.client.get_object(Bucket="backups", Key=backup.offsite_key)["Body"].read())
    content[len(content) // 2] ^= 1
    for metadata in ({"sha256": backup.sha256}, {}):
        storage.client.put_object(Bucket="backups", Key=backup.offsite_key, Body=bytes(content), Metadata=metadata)
        with pytest.raises(OffsiteDamaged):
            local_bundle(backup)
        assert left(settings) == []
    assert Alert.objects.filter(kind="backups.offsite_damaged", subject=str(backup.pk), severity="critical", resolved_at=None).exists()


def test_what_is_gone_off_site_too_is_said(backup: Backup, storage: Storage, settings: Settings) -> None:
    storage.client.delete_object(Bucket="backups", Key=backup.offsite_key)
    with pytest.raises(OffsiteNotFound):
        local_bundle(backup)
    assert Alert.objects.filter(kind="backups.offsite_damaged", subject=str(backup.pk)).exists()
    settings.S3_ENDPOINT = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(OffsiteUnavailable):
        local_bundle(backup)
    assert left(settings) == []


def test_a_restore_fetches_it(place: Place, backup: Backup) -> None:
    started = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    assert run_restore(restore_id=started.pk).phase == "done"
    assert price(place) == "1000.00"


def test_a_restore_that_cannot_fetch_it_waits_for_the_storage(
    place: Place, backup: Backup, settings: Settings, committed_world: World
) -> None:
    started = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    assert started.job_id is not None
    endpoint, settings.S3_ENDPOINT = settings.S3_ENDPOINT, f"http://127.0.0.1:{free_port()}"
    for again in (2, 3):
        Job.objects.filter(pk=started.job_id).update(run_after=timezone.now())
        run_job(str(started.job_id))
        job = Job.objects.get(pk=started.job_id)
        assert (job.state, job.attempts, job.run_after > timezone.now()) == ("queued", 0, True)
        assert "nothing answers" in job.message
        assert f"Attempt {again} of {TRIES}" in job.message
        assert (left(settings), price(place)) == ([], "9999.00")
    page = signed_in(committed_world, committed_world.admin).get(f"/console/restores/{started.pk}").content.decode()
    assert "Espera al almacenamiento externo" in page
    assert f"El intento 3 de {TRIES} será el" in page
    settings.S3_ENDPOINT = endpoint
    Job.objects.filter(pk=started.job_id).update(run_after=timezone.now())
    run_job(str(started.job_id))
    started.refresh_from_db()
    assert (started.phase, price(place)) == ("done", "1000.00")


def test_a_restore_that_never_could_fetch_it_fails_and_changes_nothing(place: Place, backup: Backup, settings: Settings) -> None:
    started = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    settings.S3_ENDPOINT = f"http://127.0.0.1:{free_port()}"
    Restore.objects.filter(pk=started.pk).update(tries=TRIES - 2)
    for told in (JobPostponed, OffsiteUnavailable):
        with pytest.raises(told):
            run_restore(restore_id=started.pk)
    started.refresh_from_db()
    assert (started.phase, left(settings), price(place)) == ("failed", [], "9999.00")
    assert "nothing answers" in started.error
    assert f"tried {TRIES} times" in started.error


def test_a_copy_that_cannot_fetch_it_waits_too_and_is_cancelled_meanwhile(place: Place, backup: Backup, settings: Settings) -> None:
    clone = start_clone(cafeteria_uuid=place.ref.uuid, slug=f"copy-{place.ref.slug}", backup_id=backup.pk)
    settings.S3_ENDPOINT = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(JobPostponed):
        run_clone(clone_id=clone.pk)
    clone.refresh_from_db()
    assert (clone.phase, clone.tries) == ("waiting", 1)

    def cancelled(_fraction: float, what: str) -> None:
        if "Attempt" in what:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        run_clone(clone_id=clone.pk, step=cancelled)
    clone.refresh_from_db()
    assert (clone.phase, clone.media, left(settings)) == ("failed", [], [])
    clone.delete()


@pytest.mark.parametrize("damage", ["gone", "other"])
def test_what_waiting_does_not_mend_fails_at_once(place: Place, backup: Backup, storage: Storage, damage: str) -> None:
    started = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    if damage == "gone":
        storage.client.delete_object(Bucket="backups", Key=backup.offsite_key)
    else:
        storage.client.put_object(Bucket="backups", Key=backup.offsite_key, Body=b"other")
    with pytest.raises(OffsiteNotFound if damage == "gone" else OffsiteDamaged):
        run_restore(restore_id=started.pk)
    started.refresh_from_db()
    assert (started.phase, started.tries, price(place)) == ("failed", 0, "9999.00")


def test_a_preview_and_a_proof_fetch_it(place: Place, backup: Backup) -> None:
    job = start_preview(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    run_job(str(job.pk))
    job = Job.objects.get(pk=job.pk)
    assert job.state == "succeeded", job.error
    assert job.result is not None
    assert job.result["rows"]["shop_product"][0]["change"] == "changed"
    file_of(backup).unlink()
    assert prove_backup(Backup.objects.get(pk=backup.pk)).proven_at is not None


def test_a_restore_from_an_address(place: Place, backup: Backup, storage: Storage) -> None:
    storage.client.copy_object(Bucket="backups", Key="elsewhere/ab", CopySource={"Bucket": "backups", "Key": backup.offsite_key})
    Backup.objects.all().delete()
    path = fetch_bundle("s3://backups/elsewhere/ab")
    assert path == fetch_bundle("s3://backups/elsewhere/ab")
    started = start_restore(cafeteria_uuid=place.ref.uuid, file=str(path))
    assert run_restore(restore_id=started.pk).phase == "done"
    assert price(place) == "1000.00"


def test_addresses_that_lead_nowhere(storage: Storage, settings: Settings) -> None:
    with pytest.raises(BadAddress):
        fetch_bundle("https://backups/elsewhere")
    with pytest.raises(OffsiteNotFound, match="elsewhere/x"):
        fetch_bundle("s3://backups/elsewhere/x")
    settings.S3_ACCESS_KEY = ""
    with pytest.raises(OffsiteNotSetUp):
        fetch_bundle("s3://backups/elsewhere/x")
    assert left(settings) == []
