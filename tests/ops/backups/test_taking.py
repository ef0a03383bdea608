import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from PIL import Image
from pytest_django.fixtures import Settings

from core.alerts.models import Alert
from core.jobs import enqueue
from core.jobs.models import Job
from core.jobs.run import Claim, JobRun
from core.jobs.runner import run_job
from ops.backups import actions, jobs
from ops.backups.actions import (
    claim_due_turns,
    file_of,
    fingerprints,
    forget_old_backups,
    forget_where_no_turn_comes,
    kept_of,
    sweep_files,
    take_backup,
    take_turn,
    tell_of_old_ones,
)
from ops.backups.bundles.reading import read_manifest
from ops.backups.errors import BackupsNotSetUp, BundleRefused
from ops.backups.models import Backup, BackupTurn
from ops.backups.proofs import prove_backup, prove_due_backups
from ops.backups.queries import standings
from shop.menu.models import Product
from shop.menu.pictures.actions import picture_key, store_picture, use_picture
from tenants.models import Cafeteria
from tenants.pulse import bump_menu
from tenants.scope import tenant_scope
from tests.ops.backups.bundles import Members, members_of, put_together
from tests.processes import committed_queue
from tests.world import Place, World


@pytest.fixture
def place(committed_world: World, settings: Settings, tmp_path: Path) -> Place:
    settings.BACKUP_FOLDER = tmp_path / "backups"
    settings.MEDIA_ROOT = tmp_path / "media"
    return committed_world.a


def ticked() -> None:
    run_job(str(enqueue("ops.backups.jobs.tick").pk))


def show_a_picture(place: Place) -> str:
    """The key of its large file."""
    raw = io.BytesIO()
    Image.new("RGB", (500, 300), "teal").save(raw, "PNG")
    digest = store_picture(cafeteria=place.ref, raw=raw.getvalue())
    with tenant_scope(place.ref):
        use_picture(product_id=place.coffee, digest=digest)
    return picture_key(place.ref.uuid, f"{digest}-1200.webp")


def turn_of(place: Place) -> BackupTurn:
    return BackupTurn.objects.get(cafeteria_uuid=place.ref.uuid)


def claimed(place: Place) -> list[str]:
    """The fingerprint of this cafeteria's turn, if it was due and has changed."""
    return [found for uuid, found in claim_due_turns() if uuid == place.ref.uuid]


def make_due(place: Place) -> None:
    BackupTurn.objects.filter(cafeteria_uuid=place.ref.uuid).update(due_at=timezone.now() - timedelta(seconds=1))


def test_a_backup_is_a_file_and_a_row(place: Place) -> None:
    backup = take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")
    manifest = read_manifest(file_of(backup))
    assert (backup.rows, backup.taken_at, backup.head, backup.size) == (
        manifest.rows,
        manifest.moment,
        manifest.head,
        file_of(backup).stat().st_size,
    )
    assert not list(file_of(backup).parent.glob("*.part"))


def test_pictures_are_in_whole_backups_and_listed_in_hourly_ones(place: Place) -> None:
    key = show_a_picture(place)
    whole, hourly = (take_backup(cafeteria_uuid=place.ref.uuid, kind=kind) for kind in ("manual", "hourly"))
    assert f"media/{key}" in dict(members_of(file_of(whole)))
    assert not [name for name, _ in members_of(file_of(hourly)) if name.startswith("media/")]
    assert read_manifest(file_of(hourly)).media[0].key == key


def test_a_picture_that_is_gone_is_told(place: Place, settings: Settings) -> None:
    file = Path(settings.MEDIA_ROOT) / show_a_picture(place)
    file.rename(file.with_suffix(".gone"))
    told = Alert.objects.filter(kind="backups.media_missing", cafeteria_uuid=place.ref.uuid, resolved_at=None)
    take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")
    assert told.exists()
    file.with_suffix(".gone").rename(file)
    take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")
    assert not told.exists()


def test_an_interrupted_backup_leaves_nothing(place: Place, settings: Settings) -> None:
    class Stop(Exception):
        pass

    def stop(fraction: float, _what: str) -> None:
        if fraction > 0.5:
            raise Stop

    with pytest.raises(Stop):
        take_backup(cafeteria_uuid=place.ref.uuid, kind="manual", step=stop)
    assert not Backup.objects.filter(cafeteria_uuid=place.ref.uuid).exists()
    assert not [path for path in Path(settings.BACKUP_FOLDER).rglob("*") if path.is_file()]


def test_without_a_key_there_is_no_backup(place: Place, settings: Settings) -> None:
    settings.BACKUP_KEYS = []
    with pytest.raises(BackupsNotSetUp):
        take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")


def test_the_tick_without_a_key_tells_and_adds_nothing(place: Place, settings: Settings) -> None:
    with committed_queue():
        keys, settings.BACKUP_KEYS = settings.BACKUP_KEYS, []
        ticked()
        open_ones = Alert.objects.filter(kind="backups.not_set_up", resolved_at=None)
        assert (open_ones.count(), Job.objects.filter(kind="ops.backups.jobs.backup").count()) == (1, 0)
        settings.BACKUP_KEYS = keys
        BackupTurn.objects.all().delete()
        claim_due_turns()
        make_due(place)
        ticked()
        assert not open_ones.exists()
        (job,) = Job.objects.filter(kind="ops.backups.jobs.backup", cafeteria_uuid=place.ref.uuid)
        run_job(str(job.pk))
        assert Backup.objects.get(cafeteria_uuid=place.ref.uuid).kind == "weekly"


def test_what_a_killed_backup_left_is_swept(settings: Settings, tmp_path: Path) -> None:
    settings.BACKUP_FOLDER = tmp_path
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.part").write_bytes(b"half")
    (tmp_path / "a" / "y.bundle").write_bytes(b"whole")
    assert sweep_files() == 0
    assert sweep_files(older_than=timedelta(0)) == 1
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["y.bundle"]


def test_only_what_has_changed_is_due(place: Place) -> None:
    claim_due_turns()
    make_due(place)
    (first,) = claimed(place)
    assert claimed(place) == []  # an hour later
    backup = take_turn(cafeteria_uuid=place.ref.uuid, fingerprint=first)
    assert backup.kind == "weekly"
    make_due(place)
    if claimed(place):  # The server counts writes a little later than they are made.
        take_turn(cafeteria_uuid=place.ref.uuid, fingerprint=fingerprints()[str(place.ref.uuid)])
        make_due(place)
        assert claimed(place) == []
    looked_at = turn_of(place).newest_at
    with tenant_scope(place.ref):
        Product.objects.filter(pk=place.coffee).update(price="1.00")
        bump_menu()
    make_due(place)
    (second,) = claimed(place)
    assert take_turn(cafeteria_uuid=place.ref.uuid, fingerprint=second).kind == "hourly"
    assert (turn_of(place).newest_at or timezone.now()) > (looked_at or timezone.now())


def test_a_backup_that_fails_is_counted_and_due_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    claim_due_turns()
    monkeypatch.setattr(actions, "write_bundle", full)
    with pytest.raises(OSError, match="No space"):
        take_turn(cafeteria_uuid=place.ref.uuid, fingerprint="x")
    assert turn_of(place).failures == 1


def test_one_that_never_had_a_backup_is_told(place: Place) -> None:
    """However often it was tried: each attempt moves the next one on."""

    def told() -> bool:
        tell_of_old_ones()
        return Alert.objects.filter(kind="backups.too_old", cafeteria_uuid=place.ref.uuid, resolved_at=None).exists()

    claim_due_turns()
    make_due(place)
    assert claimed(place)
    assert not told()  # It was opened just now.
    Cafeteria.objects.filter(pk=place.ref.id).update(created_at=timezone.now() - timedelta(hours=3))
    assert told()


def test_a_tick_that_dies_loses_no_turn(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def killed(*_arguments: object, **_options: object) -> None:
        raise Killed

    claim_due_turns()
    make_due(place)
    due = turn_of(place).due_at
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "enqueue", killed)
        with pytest.raises(Killed):
            jobs.tick(JobRun(Claim(job_id=uuid4(), token=uuid4(), kind="", queue="short", attempt=1, cafeteria_uuid=None, arguments={})))
    assert turn_of(place).due_at == due


def test_old_ones_go_where_no_turn_comes(place: Place) -> None:
    """As from a closed cafeteria, or from a copy that somebody backed up by hand."""
    moment = take_backup(cafeteria_uuid=place.ref.uuid, kind="moment")
    long_ago = timezone.now() - timedelta(days=3)
    Backup.objects.filter(pk=moment.pk).update(finished_at=long_ago, taken_at=long_ago)
    take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")
    assert forget_where_no_turn_comes() == 0
    Cafeteria.objects.filter(pk=place.ref.id).update(status="closed", closed_at=timezone.now())
    assert forget_where_no_turn_comes() == 1
    assert (file_of(moment).exists(), Backup.objects.filter(cafeteria_uuid=place.ref.uuid).count()) == (False, 1)


def test_retention() -> None:
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    hours = [(uuid4(), "hourly", now - timedelta(hours=age)) for age in range(24 * 400)]
    kept = kept_of(hours, now=now)
    ages = sorted((now - at).total_seconds() / 3600 for pk, _, at in hours if pk in kept)
    assert ages[:48] == list(range(48))
    assert len(ages) == 48 + 4 + 2 + 11  # further days, weeks and months
    assert ages[-1] > 24 * 320


@pytest.mark.parametrize(
    ("kind", "days", "kept"), [("safety", 29, True), ("safety", 31, False), ("final", 900, True), ("manual", 29, True)]
)
def test_special_backups_are_kept_longer(kind: str, days: int, kept: bool) -> None:
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    special = (UUID(int=1), kind, now - timedelta(days=days, hours=1))
    newer = [(uuid4(), "hourly", now - timedelta(hours=age)) for age in range(24 * 400)]
    everything = sorted([special, *newer], key=lambda backup: backup[2], reverse=True)
    assert (special[0] in kept_of(everything, now=now)) is kept


def test_old_backups_go_with_their_files(place: Place) -> None:
    old = take_backup(cafeteria_uuid=place.ref.uuid, kind="hourly")
    new = take_backup(cafeteria_uuid=place.ref.uuid, kind="hourly")
    Backup.objects.filter(pk=old.pk).update(taken_at=timezone.now() - timedelta(days=800))
    Backup.objects.filter(pk=new.pk).update(taken_at=timezone.now())
    assert forget_old_backups(cafeteria_uuid=place.ref.uuid) == 0  # It is the only one of its month.
    for days in range(31, 31 * 12, 31):
        more = take_backup(cafeteria_uuid=place.ref.uuid, kind="hourly")
        Backup.objects.filter(pk=more.pk).update(taken_at=timezone.now() - timedelta(days=days))
    assert forget_old_backups(cafeteria_uuid=place.ref.uuid) == 1
    assert (file_of(old).exists(), file_of(new).exists()) == (False, True)


def test_a_good_backup_is_proven(place: Place) -> None:
    show_a_picture(place)
    backup = prove_backup(take_backup(cafeteria_uuid=place.ref.uuid, kind="hourly"))
    assert backup.proven_at is not None
    found = prove_due_backups(only=place.ref.slug)
    assert (found.proven, found.unchanged, found.failed, found.missing) == (0, 1, [], [])
    assert prove_due_backups(only=place.ref.slug, again=True).proven == 1


def test_a_bad_backup_fails_its_proof_and_is_told(place: Place) -> None:
    backup = take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")
    members: Members = members_of(file_of(backup))
    put_together([(name, content) for name, content in members if "shop_product/" not in name], file_of(backup))
    with pytest.raises(BundleRefused):
        prove_backup(backup)
    backup.refresh_from_db()
    assert (backup.proven_at, "other tables" in backup.error) == (None, True)
    assert Alert.objects.filter(kind="backups.proof_failed", cafeteria_uuid=place.ref.uuid, severity="critical", resolved_at=None).exists()


def test_an_hourly_backup_whose_pictures_are_gone_fails_its_proof(place: Place, settings: Settings) -> None:
    key = show_a_picture(place)
    backup = take_backup(cafeteria_uuid=place.ref.uuid, kind="hourly")
    (Path(settings.MEDIA_ROOT) / key).unlink()
    with pytest.raises(BundleRefused, match="pictures"):
        prove_backup(backup)


def test_standings(place: Place) -> None:
    def ours() -> bool:
        return next(standing.ok for standing in standings() if standing.cafeteria.uuid == place.ref.uuid)

    assert ours()  # It was opened just now.
    place_row = next(standing.cafeteria for standing in standings() if standing.cafeteria.uuid == place.ref.uuid)
    type(place_row).objects.filter(pk=place_row.pk).update(created_at=timezone.now() - timedelta(hours=3))
    assert not ours()
    backup = take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")
    assert ours()
    Backup.objects.filter(pk=backup.pk).update(taken_at=timezone.now() - timedelta(hours=3))
    assert not ours()


def test_commands(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("backup", place.ref.slug)
    call_command("prove_backups", place.ref.slug)
    call_command("backup_status", place.ref.slug)
    said = capsys.readouterr().out
    assert f"{place.ref.slug}: backup " in said
    assert "1 proven" in said
    assert str(Backup.objects.get(cafeteria_uuid=place.ref.uuid).pk) in said
    with pytest.raises(CommandError, match="Name one"):
        call_command("backup")
    call_command("new_backup_key")
    assert capsys.readouterr().out.startswith("AGE-SECRET-KEY-1")
