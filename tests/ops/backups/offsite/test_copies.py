"""Backups and their copies: made after each backup, caught up with, let go here, erased there; and what happens when S3 does not answer."""

import hashlib
import os
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from core.alerts.models import Alert
from core.jobs import enqueue
from core.jobs.models import Job
from core.jobs.runner import run_job
from ops.backups.actions import file_of, forget_old_backups, take_backup
from ops.backups.models import Backup
from ops.backups.offsite import actions, gateway
from ops.backups.offsite.actions import (
    copy_backup,
    enqueue_copy,
    enqueue_waiting,
    erase_forgotten,
    is_resting,
    let_go_local_copies,
    sweep_leftovers,
)
from ops.backups.offsite.errors import LocalCopyUnusable, OffsiteDamaged, OffsiteUnavailable
from ops.backups.offsite.files import PART
from ops.backups.offsite.models import OffsiteErasure, OffsiteStanding
from tenants.scope import tenant_scope
from tests.ops.backups.offsite.storage import ACCESS_KEY, SECRET_KEY, Storage
from tests.servers import free_port
from tests.world import Place

COPY = "ops.backups.offsite.jobs.copy"


def taken(place: Place, *, days_ago: int = 0, kind: str = "hourly") -> Backup:
    backup = take_backup(cafeteria_uuid=place.ref.uuid, kind=kind)
    if days_ago:
        Backup.objects.filter(pk=backup.pk).update(taken_at=backup.taken_at - timedelta(days=days_ago))
    return backup


def copied(place: Place, *, days_ago: int = 0) -> Backup:
    backup = taken(place, days_ago=days_ago)
    assert copy_backup(backup_id=backup.pk)
    backup.refresh_from_db()
    return backup


def large(place: Place) -> Backup:
    """Of three parts. No copy looks into a bundle."""
    backup, content = taken(place), os.urandom(2 * PART + 1)
    file_of(backup).write_bytes(content)
    Backup.objects.filter(pk=backup.pk).update(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    return backup


def age_file(backup: Backup, *, days: int) -> None:
    moment = (timezone.now() - timedelta(days=days)).timestamp()
    os.utime(file_of(backup), (moment, moment))


def keys_of(backup: Backup) -> list[str]:
    stem = f"comanda/one/{backup.cafeteria_uuid}/{backup.pk}"
    return [f"{stem}.bundle", f"{stem}.json"]


def open_alerts(kind: str = "backups.offsite") -> list[str]:
    return list(Alert.objects.filter(kind=kind, resolved_at=None).values_list("subject", flat=True))


def rest_is_over() -> None:
    OffsiteStanding.objects.update(retry_at=timezone.now() - timedelta(seconds=1))


def test_a_backup_is_followed_by_its_copy(place: Place, storage: Storage) -> None:
    run_job(str(enqueue("ops.backups.jobs.backup", queue="long", cafeteria_uuid=place.ref.uuid, kind="manual").pk))
    backup = Backup.objects.get()
    assert backup.location == "local"
    job = Job.objects.get(kind=COPY)
    assert (job.queue, job.arguments) == ("long", {"backup_id": str(backup.pk)})
    run_job(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.result) == ("succeeded", {"copied": True})
    backup.refresh_from_db()
    assert (backup.location, backup.offsite_key) == ("both", keys_of(backup)[0])
    assert storage.names() == keys_of(backup)
    content = storage.client.get_object(Bucket="backups", Key=backup.offsite_key)["Body"].read()
    assert content == file_of(backup).read_bytes()
    assert not copy_backup(backup_id=backup.pk)


def test_the_card_tells_nothing_that_is_not_for_everybody(place: Place, storage: Storage) -> None:
    place.client().post("/api/v1/orders", place.order(guest={"name": "Ana"}), content_type="application/json")
    backup = copied(place)
    card = storage.client.get_object(Bucket="backups", Key=keys_of(backup)[1])["Body"].read().decode()
    assert backup.sha256 in card
    assert backup.manifest["sums"]["total"] == "1000.00"
    for private in ("1000.00", "sums", "shop_order", place.canary):
        assert private not in card


def test_without_a_bucket_nothing_happens(place: Place, settings: Settings) -> None:
    settings.S3_BUCKET = ""
    backup = taken(place)
    enqueue_copy(backup)
    assert (copy_backup(backup_id=backup.pk), enqueue_waiting(), Job.objects.filter(kind=COPY).count()) == (False, 0, 0)
    run_job(str(enqueue("ops.backups.offsite.jobs.tidy", queue="long").pk))
    assert Job.objects.get().result == {}


def test_what_waits_is_caught_up_with_the_newest_first(place: Place) -> None:
    backups = [taken(place, days_ago=days) for days in (3, 1, 2)]
    assert enqueue_waiting(limit=2) == 2
    wanted = [str(backups[1].pk), str(backups[2].pk)]
    assert [job.arguments["backup_id"] for job in Job.objects.filter(kind=COPY).order_by("id")] == wanted
    assert (enqueue_waiting(limit=2), enqueue_waiting(), enqueue_waiting()) == (0, 1, 0)
    Backup.objects.update(offsite_due_at=timezone.now() - timedelta(seconds=1))
    assert copy_backup(backup_id=backups[0].pk)
    assert enqueue_waiting() == 2


def test_the_tick_catches_up(place: Place) -> None:
    backup = taken(place)
    run_job(str(enqueue("ops.backups.jobs.tick").pk))
    result = Job.objects.get(kind="ops.backups.jobs.tick").result
    assert result is not None
    assert result["copies"] == 1
    run_job(str(Job.objects.get(kind=COPY).pk))
    assert Backup.objects.get(pk=backup.pk).location == "both"


def test_s3_that_is_gone_holds_up_nothing_and_is_told_after_a_while(place: Place, settings: Settings, storage: Storage) -> None:
    backup = taken(place)
    settings.S3_ENDPOINT = f"http://127.0.0.1:{free_port()}"
    for failures in (1, 2, 3, 4):
        with pytest.raises(OffsiteUnavailable, match="nothing answers"):
            copy_backup(backup_id=backup.pk)
        assert OffsiteStanding.objects.get().failures == failures
        assert open_alerts() == (["storage"] if failures >= 3 else [])
        assert (is_resting(), copy_backup(backup_id=backup.pk), enqueue_waiting()) == (True, False, 0)
        rest_is_over()
    run_job(str(enqueue("ops.backups.jobs.backup", queue="long", cafeteria_uuid=place.ref.uuid, kind="manual").pk))
    assert Job.objects.get(kind="ops.backups.jobs.backup").state == "succeeded"
    settings.S3_ENDPOINT = storage.url
    assert copy_backup(backup_id=backup.pk)
    assert (open_alerts(), OffsiteStanding.objects.get().failures, is_resting()) == ([], 0, False)


def test_the_pauses_grow_to_a_quarter_of_an_hour(place: Place) -> None:
    pauses = []
    for _ in range(8):
        actions._note_failure("it is full.")
        at = OffsiteStanding.objects.get().retry_at
        assert at is not None
        pauses.append(round((at - timezone.now()).total_seconds() / 30))
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_no_key_is_ever_told(place: Place, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.S3_ACCESS_KEY, settings.S3_SECRET_KEY = "AKWRONGWRONGWRONG", "wrong-secret-9b1dd4c07e"
    caplog.set_level("DEBUG")
    backup = taken(place)
    for _ in range(3):
        enqueue_copy(backup)
        run_job(str(Job.objects.filter(kind=COPY).latest("id").pk))
        rest_is_over()
    job = Job.objects.filter(kind=COPY).latest("id")
    assert "it does not let S3_ACCESS_KEY and S3_SECRET_KEY do this" in job.error
    told = caplog.text + job.error + "".join(alert.detail for alert in Alert.objects.all()) + OffsiteStanding.objects.get().error
    assert "job_refused" in told
    assert open_alerts() == ["storage"]
    for secret in ("AKWRONGWRONGWRONG", "wrong-secret-9b1dd4c07e", ACCESS_KEY, SECRET_KEY):
        assert secret not in told


def test_a_copy_that_takes_long_lets_others_pass_and_goes_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.backups.offsite.jobs.COPY_SECONDS", -1.0)
    backup = large(place)
    enqueue_copy(backup)
    job = Job.objects.get(kind=COPY)
    runs = 0
    while job.state in {"queued", "running"}:
        run_job(str(job.pk))
        job.refresh_from_db()
        runs += 1
        assert runs < 50
    assert (job.state, job.result, runs, job.attempts) == ("succeeded", {"copied": True}, 4, 1)


def test_no_cafeterias_transaction_waits_for_s3(place: Place) -> None:
    backup = taken(place)
    with tenant_scope(place.ref), pytest.raises(AssertionError, match="S3 is never asked"):
        copy_backup(backup_id=backup.pk)


class Killed(BaseException):
    """As if the process were gone: nobody catches it."""


def kill(_fraction: float) -> None:
    raise Killed


def test_a_killed_copy_is_no_copy_until_it_is_whole(place: Place, storage: Storage) -> None:
    backup = large(place)
    for _ in range(3):
        with pytest.raises(Killed):
            copy_backup(backup_id=backup.pk, step=kill)
        backup.refresh_from_db()
        assert (backup.location, backup.offsite_key, storage.names()) == ("local", keys_of(backup)[0], [])
    with pytest.raises(Killed):  # after the bundle, before its card
        copy_backup(backup_id=backup.pk, step=kill)
    assert storage.names() == keys_of(backup)[:1]
    assert copy_backup(backup_id=backup.pk, step=kill)
    assert (storage.names(), storage.uploads()) == (keys_of(backup), [])


def test_what_a_killed_copy_has_left_goes_with_the_backup(place: Place, storage: Storage) -> None:
    backup = large(place)
    with pytest.raises(Killed):
        copy_backup(backup_id=backup.pk, step=kill)
    Backup.objects.filter(pk=backup.pk).update(taken_at=timezone.now() - timedelta(days=800))
    for days in range(0, 31 * 12, 31):
        taken(place, days_ago=days)
    assert forget_old_backups(cafeteria_uuid=place.ref.uuid) == 1
    assert len(storage.uploads()) == 1
    assert erase_forgotten() == 1
    assert storage.uploads() == []


@pytest.mark.parametrize("damage", ["gone", "altered"])
def test_a_local_copy_that_cannot_be_used_is_told(place: Place, storage: Storage, damage: str) -> None:
    backup = taken(place)
    if damage == "gone":
        file_of(backup).unlink()
    else:
        content = bytearray(file_of(backup).read_bytes())
        content[100] ^= 1
        file_of(backup).write_bytes(content)
    with pytest.raises(LocalCopyUnusable):
        copy_backup(backup_id=backup.pk)
    assert (open_alerts(), storage.names(), is_resting()) == ([str(backup.pk)], [], False)
    assert enqueue_waiting() == 0


def test_a_key_that_was_taken_out_of_use_is_told(place: Place, settings: Settings) -> None:
    backup = taken(place)
    settings.BACKUP_KEYS = ["AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33"]
    with pytest.raises(LocalCopyUnusable, match="BACKUP_KEYS"):
        copy_backup(backup_id=backup.pk)


def test_what_is_not_right_once_it_is_there_is_told_and_put_anew(place: Place, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    backup = taken(place)
    whole = gateway._put_at_once

    def damage(*arguments: object) -> None:
        storage.client.put_object(Bucket="backups", Key=keys_of(backup)[0], Body=b"other", Metadata={"sha256": backup.sha256})

    monkeypatch.setattr(gateway, "_put_at_once", damage)
    with pytest.raises(OffsiteDamaged):
        copy_backup(backup_id=backup.pk)
    assert (storage.names(), open_alerts(), Backup.objects.get().location) == ([], [str(backup.pk)], "local")
    monkeypatch.setattr(gateway, "_put_at_once", whole)
    assert copy_backup(backup_id=backup.pk)
    assert open_alerts() == []


def forgotten(place: Place) -> tuple[Backup, Backup]:
    """(one that the retention has just let go, one that it keeps)."""
    old, new = copied(place, days_ago=3), copied(place)
    newer = timezone.now() - timedelta(days=3)
    Backup.objects.filter(pk=old.pk).update(taken_at=newer.replace(hour=1))
    same_day = taken(place)
    Backup.objects.filter(pk=same_day.pk).update(taken_at=newer.replace(hour=2))
    assert forget_old_backups(cafeteria_uuid=place.ref.uuid) == 1
    assert not file_of(old).exists()
    return old, new


def test_the_retention_erases_both_copies(place: Place, storage: Storage) -> None:
    old, new = forgotten(place)
    assert [erasure.key for erasure in OffsiteErasure.objects.all()] == [keys_of(old)[0]]
    assert storage.names() == sorted(keys_of(old) + keys_of(new))
    assert erase_forgotten() == 1
    assert storage.names() == keys_of(new)
    assert (erase_forgotten(), OffsiteErasure.objects.count()) == (0, 0)


def test_what_could_not_be_erased_is_erased_later(place: Place, settings: Settings, storage: Storage) -> None:
    old, new = forgotten(place)
    settings.S3_ENDPOINT = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(OffsiteUnavailable):
        erase_forgotten()
    assert OffsiteErasure.objects.count() == 1
    settings.S3_ENDPOINT = storage.url
    gateway.erase(storage.bucket(), keys_of(old)[1])  # As if killed in between.
    assert erase_forgotten() == 1
    assert storage.names() == keys_of(new)


def test_a_copy_of_what_is_forgotten_meanwhile_does_not_stay(place: Place, storage: Storage) -> None:
    backup = taken(place)

    def forget(_fraction: float) -> None:
        Backup.objects.filter(pk=backup.pk).delete()

    assert not copy_backup(backup_id=backup.pk, step=forget)
    assert storage.names() == keys_of(backup)
    assert erase_forgotten() == 1
    assert storage.names() == []


def test_old_local_copies_are_let_go_but_not_the_newest(place: Place, storage: Storage) -> None:
    old, young, newest = copied(place, days_ago=30), copied(place, days_ago=9), copied(place, days_ago=8)
    only_here = taken(place, days_ago=20)
    for backup in (old, newest, only_here):
        age_file(backup, days=8)
    assert let_go_local_copies() == 1
    assert [file_of(backup).exists() for backup in (old, young, newest, only_here)] == [False, True, True, True]
    old.refresh_from_db()
    assert (old.location, old.file) == ("offsite", "")
    assert let_go_local_copies() == 0


def test_what_is_not_off_site_any_more_is_not_let_go(place: Place, storage: Storage) -> None:
    lost, exchanged, _newest = copied(place, days_ago=30), copied(place, days_ago=29), copied(place)
    for backup in (lost, exchanged):
        age_file(backup, days=8)
    storage.client.delete_object(Bucket="backups", Key=lost.offsite_key)
    storage.client.put_object(Bucket="backups", Key=exchanged.offsite_key, Body=b"something else")
    assert let_go_local_copies() == 0
    assert sorted(open_alerts("backups.offsite_damaged")) == sorted([str(lost.pk), str(exchanged.pk)])
    assert enqueue_waiting() == 2
    for backup in (lost, exchanged):
        assert copy_backup(backup_id=backup.pk)
    assert let_go_local_copies() == 2


def test_the_hourly_tidying(place: Place, storage: Storage, settings: Settings) -> None:
    old, _new = forgotten(place)
    folder = Path(settings.BACKUP_FOLDER) / "fetched"
    folder.mkdir()
    (folder / "young.bundle").touch()
    run_job(str(enqueue("ops.backups.offsite.jobs.tidy", queue="long").pk))
    assert Job.objects.get(kind="ops.backups.offsite.jobs.tidy").result == {"late": 0, "erased": 1, "let_go": 0, "swept": 0}
    assert keys_of(old)[0] not in storage.names()
    settings.BACKUP_LOCAL_DAYS = -1
    storage.client.create_multipart_upload(Bucket="backups", Key=f"comanda/one/{uuid4()}/x.bundle")
    assert (sweep_leftovers(), list(folder.iterdir()), len(storage.uploads())) == (1, [], 1)
