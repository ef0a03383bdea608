"""The pictures off-site: once each, encrypted, for as long as a kept backup lists them; and back again when the machine is lost."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone
from pytest_django.fixtures import Settings

from core.alerts.models import Alert
from core.jobs import JobPostponed
from core.jobs.models import Job
from core.jobs.runner import run_job
from ops.backups.actions import take_backup
from ops.backups.bundles.keys import new_key
from ops.backups.jobs import backup as backup_job
from ops.backups.models import Backup
from ops.backups.offsite import gateway
from ops.backups.offsite.actions import erase_forgotten
from ops.backups.offsite.errors import OffsiteUnavailable
from ops.backups.offsite.media import check_media, copy_media, enqueue_media, let_go_media
from ops.backups.offsite.models import OffsiteErasure, OffsiteMedia, OffsiteStanding
from ops.restores.actions import run_restore, start_restore
from shop.menu.models import Product
from tenants.scope import tenant_scope
from tests.ops.backups.offsite.storage import Storage
from tests.world import Place, World

PICTURES = {"a": b"one picture", "b": b"another picture"}
COPY = "ops.backups.offsite.jobs.copy_media"


def key(place: Place, letter: str, size: int) -> str:
    return f"cafeterias/{place.ref.uuid}/{letter * 64}-{size}.webp"


def show(place: Place, letter: str, product: int | None = None) -> None:
    for size in (400, 1200):
        default_storage.save(key(place, letter, size), ContentFile(PICTURES[letter] + str(size).encode()))
    with tenant_scope(place.ref):
        Product.objects.filter(pk=product or place.coffee).update(image=letter * 64)


def taken(place: Place) -> Backup:
    return take_backup(cafeteria_uuid=place.ref.uuid, kind="hourly")


@pytest.fixture(autouse=True)
def _alone(place: Place) -> None:
    OffsiteMedia.objects.all().delete()


def names(storage: Storage) -> list[str]:
    return [name for name in storage.names() if "/media/" in name]


def test_new_ones_go_off_site_and_none_twice(place: Place, storage: Storage) -> None:
    show(place, "a")
    first = taken(place)
    assert (copy_media(backup_id=first.pk), copy_media(backup_id=first.pk)) == (2, 0)
    before = names(storage)
    assert len(before) == 2
    show(place, "b", place.cake)
    assert copy_media(backup_id=taken(place).pk) == 2
    assert set(before) < set(names(storage))
    stored = storage.client.get_object(Bucket="backups", Key=before[0])["Body"].read()
    assert stored.startswith(b"age-encryption.org/")
    assert b"picture" not in stored


def test_the_job_of_a_backup_adds_the_copy(place: Place, storage: Storage) -> None:
    show(place, "a")
    run = type("Run", (), {"cafeteria": place.ref, "progress": lambda *_: None, "check_cancelled": lambda *_: None})()
    backup_job(run, kind="hourly")
    job = Job.objects.get(kind=COPY)
    run_job(str(job.pk))
    assert len(names(storage)) == 2
    backup_job(run, kind="hourly")
    assert (Job.objects.filter(kind=COPY).count(), enqueue_media()) == (1, 0)


def test_a_listed_picture_comes_back_when_the_machine_is_lost(place: Place, storage: Storage) -> None:
    show(place, "a")
    backup = taken(place)
    copy_media(backup_id=backup.pk)
    for size in (400, 1200):
        default_storage.delete(key(place, "a", size))
    OffsiteMedia.objects.all().delete()  # So is the database.
    restore = run_restore(restore_id=start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk).pk)
    assert (restore.phase, restore.report["files_put_back"], restore.report["files_missing"]) == ("done", 2, [])
    with default_storage.open(key(place, "a", 400)) as file:
        assert file.read() == PICTURES["a"] + b"400"


def test_one_that_is_nowhere_is_told(place: Place, storage: Storage) -> None:
    show(place, "a")
    backup = taken(place)
    default_storage.delete(key(place, "a", 400))
    assert copy_media(backup_id=backup.pk) == 1
    assert Alert.objects.filter(kind="backups.media_missing", cafeteria_uuid=place.ref.uuid, resolved_at=None).exists()
    default_storage.save(key(place, "a", 400), ContentFile(PICTURES["a"] + b"400"))
    assert copy_media(backup_id=backup.pk) == 1
    assert not Alert.objects.filter(kind="backups.media_missing", cafeteria_uuid=place.ref.uuid, resolved_at=None).exists()


def with_lost(backup: Backup, number: int) -> Backup:
    """As if it had listed so many more pictures, which are nowhere."""
    backup.refresh_from_db()
    like = backup.manifest["media"][0]
    lost = [{**like, "sha256": f"{one:064x}", "key": like["key"].replace("a" * 64, f"{one:064x}")} for one in range(number)]
    backup.manifest["media"] = [*lost, *backup.manifest["media"]]
    backup.save(update_fields=["manifest"])
    return backup


def test_very_many_lost_ones_keep_neither_their_own_nor_others_waiting(place: Place, storage: Storage) -> None:
    """Each run has time for four of 32: what is there is copied all the same, and a run that finds nothing ends."""
    show(place, "a")
    backup = with_lost(taken(place), 30)
    opened = {"kind": "backups.media_missing", "cafeteria_uuid": place.ref.uuid, "resolved_at": None}
    copied = runs = 0
    while copied < 2 and runs < 500:
        left, runs = iter(range(4)), runs + 1

        def step(_fraction: float, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise JobPostponed(delay=timedelta(seconds=1))

        with suppress(JobPostponed):
            copy_media(backup_id=backup.pk, step=step)
        copied = len(names(storage))
    assert copied == 2
    assert (copy_media(backup_id=backup.pk, step=no_time), Job.objects.filter(kind=COPY).count()) == (0, 0)
    assert copy_media(backup_id=backup.pk) == 0
    assert Alert.objects.get(**opened).detail.startswith("30 pictures")
    left = iter(range(5))
    assert copy_media(backup_id=backup.pk, step=lambda _: None if next(left, None) is not None else no_time(0)) == 0
    assert Alert.objects.get(**opened).detail.startswith("At least 5 pictures")


def no_time(_fraction: float) -> None:
    raise JobPostponed(delay=timedelta(seconds=1))


def test_lost_ones_cost_one_look_at_the_storage(place: Place, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    show(place, "a")
    backup = with_lost(taken(place), 30)
    looks, look = list[str](), gateway.list_objects

    def counted(bucket: gateway.Bucket, prefix: str) -> Iterator[tuple[str, int]]:
        looks.append(prefix)
        return look(bucket, prefix)

    monkeypatch.setattr(gateway, "list_objects", counted)
    assert copy_media(backup_id=backup.pk) == 2
    assert len(looks) == 1


def test_a_cafeteria_whose_copy_is_under_way_keeps_no_other_out(place: Place, committed_world: World, storage: Storage) -> None:
    show(place, "a")
    first = with_lost(taken(place), 3)
    assert enqueue_media() == 1  # It waits, and goes on for long.
    assert enqueue_media() == 0
    show(committed_world.b, "b")
    other = taken(committed_world.b)
    assert enqueue_media(limit=1) == 0  # At most so many wait.
    assert enqueue_media() == 1
    assert {job.arguments["backup_id"] for job in Job.objects.filter(kind=COPY)} == {str(first.pk), str(other.pk)}


def test_what_no_kept_backup_lists_is_let_go(place: Place, storage: Storage) -> None:
    show(place, "a")
    first = taken(place)
    copy_media(backup_id=first.pk)
    show(place, "b")
    second = taken(place)
    copy_media(backup_id=second.pk)
    OffsiteMedia.objects.update(noted_at=timezone.now() - timedelta(days=2))
    assert let_go_media() == 0
    first.delete()
    assert let_go_media() == 2
    erase_forgotten()
    assert len(names(storage)) == 2
    assert {row["sha256"] for row in second.manifest["media"]} == {name.rsplit("/", 1)[1][:64] for name in names(storage)}


def test_a_new_key_takes_over(place: Place, storage: Storage, settings: Settings) -> None:
    show(place, "a")
    backup = taken(place)
    copy_media(backup_id=backup.pk)
    old = names(storage)
    settings.BACKUP_KEYS = [new_key(), *settings.BACKUP_KEYS]
    assert enqueue_media() == 1
    assert copy_media(backup_id=backup.pk) == 2
    OffsiteMedia.objects.filter(offsite_key__in=old).update(noted_at=timezone.now() - timedelta(days=2))
    assert let_go_media() == 2
    erase_forgotten()
    settings.BACKUP_KEYS = settings.BACKUP_KEYS[:1]
    default_storage.delete(key(place, "a", 400))
    assert set(names(storage)).isdisjoint(old)
    assert copy_media(backup_id=backup.pk) == 0


def test_those_that_are_gone_off_site_are_copied_again(place: Place, storage: Storage) -> None:
    show(place, "a")
    backup = taken(place)
    copy_media(backup_id=backup.pk)
    storage.client.delete_object(Bucket="backups", Key=names(storage)[0])
    OffsiteMedia.objects.update(copied_at=timezone.now() - timedelta(hours=2))
    assert (check_media(), enqueue_media(), copy_media(backup_id=backup.pk), check_media()) == (1, 1, 1, 0)
    assert len(names(storage)) == 2


def test_s3_that_is_gone_in_the_midst(place: Place, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    show(place, "a")
    backup = taken(place)
    put, calls = gateway.put_file, iter(range(9))

    def gone_after_one(*arguments: object, **options: object) -> None:
        if next(calls):
            raise OffsiteUnavailable("nothing answers at S3_ENDPOINT.")
        put(*arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(gateway, "put_file", gone_after_one)
        with pytest.raises(OffsiteUnavailable):
            copy_media(backup_id=backup.pk)
    assert (copy_media(backup_id=backup.pk), len(names(storage))) == (0, 1)  # It rests.
    OffsiteStanding.objects.all().delete()
    assert (copy_media(backup_id=backup.pk), len(names(storage))) == (1, 2)
    assert not OffsiteErasure.objects.exists()
