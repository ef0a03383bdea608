from datetime import timedelta

from django.utils import timezone

from core.alerts.models import Alert
from core.jobs import enqueue
from core.jobs.models import Job
from core.jobs.runner import run_job
from ops.backups.actions import file_of, take_backup
from ops.backups.models import Backup
from ops.backups.offsite.actions import copy_backup
from ops.backups.offsite.checks import check_copies, tell_of_waiting
from tests.ops.backups.offsite.storage import Storage
from tests.world import Place, World


def copied(place: Place) -> Backup:
    backup = take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")
    assert copy_backup(backup_id=backup.pk)
    Backup.objects.update(offsite_at=timezone.now() - timedelta(hours=2))
    return Backup.objects.get(pk=backup.pk)


def late() -> list[str]:
    return [alert.detail for alert in Alert.objects.filter(kind="backups.offsite", subject="late", resolved_at=None)]


def test_what_is_late_is_told_once_until_it_is_there(committed_world: World, place: Place) -> None:
    copied(place)
    assert tell_of_waiting() == 0
    backups = [take_backup(cafeteria_uuid=place.ref.uuid, kind="manual") for place in (committed_world.a, committed_world.b)]
    assert tell_of_waiting() == 0
    Backup.objects.update(finished_at=timezone.now() - timedelta(hours=4))
    assert tell_of_waiting() == 2
    assert len(late()) == 1
    assert late()[0].startswith("The newest backups of 2 cafeterias are on this machine only, among them")
    for backup in backups:
        assert copy_backup(backup_id=backup.pk)
    assert (tell_of_waiting(), late()) == (0, [])


def test_copies_that_are_gone_are_found(place: Place, storage: Storage) -> None:
    fine, gone, cut, only = (copied(place) for _ in range(4))
    file_of(only).unlink()
    Backup.objects.filter(pk=only.pk).update(file="")
    assert check_copies() == 0
    for backup in (gone, only):
        storage.client.delete_object(Bucket="backups", Key=backup.offsite_key)
    storage.client.put_object(Bucket="backups", Key=cut.offsite_key, Body=file_of(cut).read_bytes()[:-1])
    run_job(str(enqueue("ops.backups.offsite.jobs.check", queue="long").pk))
    assert Job.objects.get().result == {"lost": 3, "lost_pictures": 0}
    told = Alert.objects.filter(kind="backups.offsite_damaged", resolved_at=None)
    assert {alert.subject for alert in told} == {str(backup.pk) for backup in (gone, cut, only)}
    locations = {backup.pk: backup.location for backup in Backup.objects.all()}
    assert locations == {fine.pk: "both", gone.pk: "local", cut.pk: "local", only.pk: "offsite"}
    for backup in (gone, cut):
        assert copy_backup(backup_id=backup.pk)
    assert [alert.subject for alert in told.all()] == [str(only.pk)]
