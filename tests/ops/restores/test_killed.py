"""A restore that is killed: the live cafeteria is whole every time, the restore goes on, and nothing is left behind."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from core.alerts.models import Alert
from core.jobs.actions import cancel_job
from core.jobs.errors import JobCancelled
from core.jobs.models import Job
from core.jobs.runner import run_job
from ops.backups.actions import take_backup
from ops.backups.models import Backup
from ops.restores import actions
from ops.restores.actions import run_restore, start_restore, sweep_schemas, undo_restore
from ops.restores.errors import CafeteriaBusy, CannotUndo, RestoreFailed
from ops.restores.models import Restore
from shop.menu.models import Product
from tenants.models import Cafeteria
from tenants.provisioning.heads import current_head
from tenants.queries import ref_by_uuid
from tenants.scope import tenant_scope
from tests.ops.backups.bundles import written_bundle
from tests.processes import UNMEASURED, committed_queue, manage, wait_for
from tests.world import Place, World


class Killed(BaseException):
    """As if the process were gone: nobody catches it."""


@pytest.fixture
def place(committed_world: World, settings: Settings, tmp_path: Path) -> Iterator[Place]:
    settings.BACKUP_FOLDER = tmp_path / "backups"
    with committed_queue():
        yield committed_world.a


@pytest.fixture
def backup(place: Place) -> Backup:
    taken = take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")
    with tenant_scope(place.ref):
        Product.objects.filter(pk=place.coffee).update(price="9999.00")
    return taken


def price(place: Place) -> str:
    with tenant_scope(ref_by_uuid(place.ref.uuid)):
        return str(Product.objects.get(pk=place.coffee).price)


def schemas(place: Place) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ %s", [f"^{place.ref.schema_name}(_|$)"])
        return {name for (name,) in cursor.fetchall()}


def end_undo_time(place: Place) -> None:
    Restore.objects.filter(cafeteria_uuid=place.ref.uuid).update(undo_until=timezone.now() - timedelta(seconds=1))
    sweep_schemas()


def test_killed_at_every_step(place: Place, backup: Backup, tmp_path: Path) -> None:
    steps: list[str] = []
    first = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    run_restore(restore_id=first.pk, step=lambda _fraction, what: steps.append(what))
    undo_restore(restore_id=first.pk)
    before = written_bundle(ref_by_uuid(place.ref.uuid), tmp_path / "before").manifest.tables
    assert len(steps) > 40

    for number in range(0, len(steps), 3):
        passed = iter(range(number, -1, -1))

        def step(_fraction: float, _what: str, passed: Iterator[int] = passed) -> None:
            if next(passed, 1) == 0:
                raise Killed

        restore = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
        with pytest.raises(Killed):
            run_restore(restore_id=restore.pk, step=step)
        restore.refresh_from_db()
        exchanged = restore.phase in {"exchanged", "done"}
        assert price(place) == ("1000.00" if exchanged else "9999.00"), steps[number]
        run_restore(restore_id=restore.pk)
        assert price(place) == "1000.00"
        undo_restore(restore_id=restore.pk)
        assert price(place) == "9999.00"
    end_undo_time(place)
    assert schemas(place) == {place.ref.schema_name}
    after = written_bundle(ref_by_uuid(place.ref.uuid), tmp_path / "after").manifest.tables
    assert {table.name: table.sha256 for table in after} == {table.name: table.sha256 for table in before}


def test_the_process_is_killed(place: Place, backup: Backup, tmp_path: Path) -> None:
    chance = random.Random(11)
    for _ in range(4):
        env = {"BACKUP_FOLDER": str(tmp_path / "backups")}
        with manage("restore", place.ref.slug, "--backup", str(backup.pk), "--force", data_folder=tmp_path, **UNMEASURED, **env) as process:
            while (
                not Restore.objects.filter(cafeteria_uuid=place.ref.uuid, phase__in=("waiting", "built")).exists()
                and process.poll() is None
            ):
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.6))
        Cafeteria.objects.filter(pk=place.ref.id).update(fenced_until=None)  # It falls by itself in half a minute.
        assert price(place) in {"1000.00", "9999.00"}
        restore = Restore.objects.filter(cafeteria_uuid=place.ref.uuid).latest("started_at")
        assert restore.job_id is not None
        Job.objects.filter(pk=restore.job_id, state="running").update(lease_until=timezone.now() - timedelta(seconds=1))
        run_job(str(restore.job_id))
        restore.refresh_from_db()
        assert (restore.phase, price(place)) == ("done", "1000.00")
        undo_restore(restore_id=restore.pk)
    end_undo_time(place)
    assert schemas(place) == {place.ref.schema_name}


def test_the_disk_is_full(place: Place, backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ops.backups.actions.write_bundle", full)
    restore = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    with pytest.raises(OSError, match="No space"):
        run_restore(restore_id=restore.pk)
    restore.refresh_from_db()
    assert (restore.phase, "No space" in restore.error, price(place)) == ("failed", True, "9999.00")
    assert schemas(place) == {place.ref.schema_name}


def test_a_cancelled_restore_stands_in_nobodys_way(place: Place, backup: Backup) -> None:
    first = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    assert first.job_id is not None
    cancel_job(job_id=first.job_id)
    second = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    with pytest.raises(RestoreFailed):
        run_restore(restore_id=first.pk)

    def step(fraction: float, _what: str) -> None:
        if fraction > 0.5:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        run_restore(restore_id=second.pk, step=step)
    second.refresh_from_db()
    assert (second.phase, price(place), schemas(place)) == ("failed", "9999.00", {place.ref.schema_name})


def test_the_sweep_ends_what_nobody_goes_on_with(place: Place, backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_arguments: object, **_options: object) -> None:
        raise Killed

    restore = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    with monkeypatch.context() as patch:
        patch.setattr(actions, "_exchange", killed)
        with pytest.raises(Killed):
            run_restore(restore_id=restore.pk)
    assert sweep_schemas() == []  # Its job goes on with it.
    assert len(schemas(place)) == 2
    Job.objects.filter(pk=restore.job_id or restore.pk).update(state="failed")
    sweep_schemas()
    restore.refresh_from_db()
    assert (restore.phase, price(place), schemas(place)) == ("failed", "9999.00", {place.ref.schema_name})


def test_one_whose_worker_died_after_the_exchange_is_finished(place: Place, backup: Backup) -> None:
    def step(_fraction: float, what: str) -> None:
        if what == "money":
            raise Killed

    first = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    with pytest.raises(Killed):
        run_restore(restore_id=first.pk, step=step)
    Job.objects.filter(cafeteria_uuid=place.ref.uuid).update(state="failed")
    start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    first.refresh_from_db()
    assert (first.phase, "money" in first.report) == ("done", True)


def test_one_that_cannot_be_finished_is_told_until_it_can(place: Place, backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_options: object) -> None:
        raise ValueError("no such thing")

    restore = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    told = Alert.objects.filter(kind="restores.not_ended", cafeteria_uuid=place.ref.uuid, severity="critical", resolved_at=None)
    with monkeypatch.context() as patch:
        patch.setattr(actions, "reconcile_money", broken)
        with pytest.raises(ValueError, match="no such thing"):
            run_restore(restore_id=restore.pk)
        Job.objects.filter(pk=restore.job_id or restore.pk).update(state="failed")
        sweep_schemas()
    assert "no such thing" in told.get().detail
    sweep_schemas()
    restore.refresh_from_db()
    assert (restore.phase, "money" in restore.report, told.exists()) == ("done", True, False)


def test_one_that_was_ended_meanwhile_does_not_go_live(place: Place, backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when its worker stood still for longer than its lease, and the sweep has ended it."""
    restore = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    monkeypatch.setattr(actions, "fence", lambda *_, **__: Restore.objects.filter(pk=restore.pk).update(phase="failed"))
    with pytest.raises(RestoreFailed, match="cancelled"):
        run_restore(restore_id=restore.pk)
    restore.refresh_from_db()
    assert (restore.phase, price(place)) == ("failed", "9999.00")
    sweep_schemas()
    assert schemas(place) == {place.ref.schema_name}


def test_cancelled_when_it_is_live_it_is_finished(place: Place, backup: Backup) -> None:
    """Somebody asked while the exchange was being made."""

    def step(fraction: float, _what: str) -> None:
        if fraction > 0.85:
            raise JobCancelled

    restore = run_restore(restore_id=start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk).pk, step=step)
    assert (restore.phase, "money" in restore.report, price(place)) == ("done", True, "1000.00")


def test_an_undo_that_died_before_the_money_is_finished(place: Place, backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(**_options: object) -> None:
        raise Killed

    restore = run_restore(restore_id=start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk).pk)
    with monkeypatch.context() as patch:
        patch.setattr(actions, "reconcile_money", killed)
        with pytest.raises(Killed):
            undo_restore(restore_id=restore.pk)
    assert price(place) == "9999.00"
    assert "undo" in undo_restore(restore_id=restore.pk).report
    with pytest.raises(CannotUndo):
        undo_restore(restore_id=restore.pk)
    # And where no job goes on with it, the sweep does.
    Restore.objects.filter(pk=restore.pk).update(report={}, finished_at=timezone.now() - timedelta(hours=1))
    sweep_schemas()
    restore.refresh_from_db()
    assert "undo" in restore.report


def test_tables_that_somebody_holds(place: Place, backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is changed, the cafeteria is not away, and the side is dropped."""
    monkeypatch.setattr(actions, "EXCHANGE_ATTEMPTS", 1)
    monkeypatch.setattr("tenants.sides.LOCK_SECONDS", 0.2)
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f'SELECT count(*) FROM "{place.ref.schema_name}".shop_order')
        restore = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
        with pytest.raises(CafeteriaBusy):
            run_restore(restore_id=restore.pk)
    finally:
        other.close()
    restore.refresh_from_db()
    assert (restore.phase, price(place)) == ("failed", "9999.00")
    assert schemas(place) == {place.ref.schema_name}


def test_an_order_that_is_being_placed_is_never_the_victim_of_a_deadlock(place: Place, backup: Backup) -> None:
    """It has read the products, and writes when the exchange has waited for them longer than PostgreSQL takes to look for deadlocks."""
    schema = place.ref.schema_name
    restore = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    other = connection.copy()

    def order() -> None:
        with other.cursor() as cursor:
            waits = f"SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '\"{schema}\".shop_product'::regclass"
            wait_for(lambda: cursor.execute(waits) or cursor.fetchone()[0])
            time.sleep(1.2)
            cursor.execute(f'UPDATE "{schema}".shop_order SET notes = notes')
            cursor.execute("COMMIT")

    try:
        with other.cursor() as cursor:
            cursor.execute(f'BEGIN; SELECT count(*) FROM "{schema}".shop_product')
        other.inc_thread_sharing()
        with ThreadPoolExecutor(1) as threads:
            placed = threads.submit(order)
            assert run_restore(restore_id=restore.pk).phase == "done"
            placed.result()
    finally:
        other.close()
    assert price(place) != "9999.00"


def test_a_connection_that_is_lost_in_the_exchange_ends_nothing(place: Place, backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the exchange was committed is not known then: the next attempt goes on from what is there."""

    def lost(*_arguments: object, **_options: object) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    restore = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    with monkeypatch.context() as patch:
        patch.setattr(actions, "exchange_schemas", lost)
        with pytest.raises(OperationalError, match="closed"):
            run_restore(restore_id=restore.pk)
    restore.refresh_from_db()
    assert restore.phase == "built"
    assert run_restore(restore_id=restore.pk).phase == "done"


def test_an_error_in_the_exchange_takes_all_of_it_back(place: Place, backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise Killed

    restore = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    with monkeypatch.context() as patch:
        patch.setattr("tenants.sides._never_below", broken)
        with pytest.raises(Killed):
            run_restore(restore_id=restore.pk)
    restore.refresh_from_db()
    assert (restore.phase, price(place)) == ("built", "9999.00")
    # It was built by the code of before a deploy.
    Restore.objects.filter(pk=restore.pk).update(head="older")
    restore = run_restore(restore_id=restore.pk)
    assert price(place) == "1000.00"
    assert (restore.head, Cafeteria.objects.get(pk=place.ref.id).schema_head) == (current_head(), current_head())
