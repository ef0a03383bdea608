from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from core.jobs.models import Job
from ops.backups.actions import file_of, take_backup
from ops.backups.bundles.reading import read_manifest
from ops.backups.errors import BundleRefused
from ops.backups.models import Backup
from ops.restores.actions import run_restore, start_restore, sweep_schemas, undo_restore
from ops.restores.errors import CannotUndo, RestoreUnderWay
from ops.restores.models import Restore
from ops.restores.preview import preview_restore
from payments.ledger.actions import take_at_counter
from payments.ledger.data import Actor
from shop.menu.models import Product
from shop.orders.models import Order
from shop.orders.payments.actions import facts_of
from shop.orders.queries import order_by_secret
from tenants.queries import ref_by_uuid
from tenants.scope import tenant_scope
from tenants.snapshots import snapshot
from tests.ops.backups.bundles import written_bundle
from tests.world import Place, World

D = Decimal


@pytest.fixture
def place(committed_world: World, settings: Settings, tmp_path: Path) -> Place:
    settings.BACKUP_FOLDER = tmp_path / "backups"
    return committed_world.a


def placed(place: Place, count: int = 1) -> list[str]:
    """The secrets of new orders of one coffee each."""
    fresh = ref_by_uuid(place.ref.uuid)
    client = place.client()
    guest = {"guest": {"name": "Ana"}}
    answers = [client.post("/api/v1/orders", place.order(**guest), content_type="application/json") for _ in range(count)]
    assert [answer.status_code for answer in answers] == [201] * count, (fresh, answers[0].content)
    return [answer.json()["secret"] for answer in answers]


def numbers(place: Place) -> list[int]:
    with tenant_scope(ref_by_uuid(place.ref.uuid)):
        return list(Order.objects.order_by("id").values_list("number", flat=True))


def restored(backup: Backup) -> Restore:
    started = start_restore(cafeteria_uuid=backup.cafeteria_uuid, backup_id=backup.pk, by="ops@comanda.test")
    return run_restore(restore_id=started.pk)


def schemas(place: Place) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE %s ORDER BY 1", [f"{place.ref.schema_name}%"])
        return [name for (name,) in cursor.fetchall() if name.removeprefix(place.ref.schema_name)[:1] in {"", "_"}]


def contents(place: Place, folder: Path, name: str) -> dict[str, str]:
    """A digest of each table."""
    manifest = written_bundle(ref_by_uuid(place.ref.uuid), folder / name).manifest
    return {table.name: table.sha256 for table in manifest.tables}


def test_back_to_a_backup_and_forth_again(place: Place, tmp_path: Path) -> None:
    placed(place, 3)
    before = contents(place, tmp_path, "before")
    backup = take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")
    placed(place, 2)
    with tenant_scope(place.ref):
        Product.objects.filter(pk=place.coffee).update(price="9999.00")
    later = contents(place, tmp_path, "later")

    restore = restored(backup)
    assert restore.phase == "done"
    assert restore.away_seconds is not None
    after = contents(place, tmp_path, "after")
    assert {name for name in after if after[name] != before[name]} == {"shop_daycounter"}
    assert ref_by_uuid(place.ref.uuid).generation == place.ref.generation + 1

    undo_restore(restore_id=restore.pk, by="ops@comanda.test")
    assert contents(place, tmp_path, "undone") == later
    with pytest.raises(CannotUndo):
        undo_restore(restore_id=restore.pk)


def test_numbers_and_ids_are_never_given_twice(place: Place) -> None:
    backup = take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")
    placed(place, 3)
    with tenant_scope(place.ref):
        newest = Order.objects.order_by("-id").values_list("id", flat=True)[0]
    restored(backup)
    assert numbers(place) == []
    placed(place, 1)
    assert numbers(place) == [4]
    with tenant_scope(ref_by_uuid(place.ref.uuid)):
        assert Order.objects.get().pk > newest


def test_paid_orders_come_back_from_the_ledger(place: Place) -> None:
    kept, refunded_later = placed(place, 2)
    backup = take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")
    paid, unpaid = placed(place, 2)
    with tenant_scope(place.ref):
        for secret in (kept, paid):
            order = order_by_secret(secret)
            take_at_counter(cafeteria_uuid=place.ref.uuid, order=facts_of(order, with_copy=True), method="cash", actor=Actor())
    restore = restored(backup)
    with tenant_scope(ref_by_uuid(place.ref.uuid)):
        orders = {order.secret: order for order in Order.objects.prefetch_related("items")}
    assert set(orders) == {kept, refunded_later, paid}
    assert {secret: (order.payment_status, order.paid) for secret, order in orders.items()} == {
        kept: ("paid", D("1000.00")),
        refunded_later: ("pending", D(0)),
        paid: ("paid", D("1000.00")),
    }
    assert [item.name for item in orders[paid].items.all()] == [f"Café {place.canary}"]
    assert orders[paid].number == 3
    money = restore.report["money"]["report"]
    assert (money["payments"], money["paid"], [order["number"] for order in money["recreated"]]) == (2, "2000.00", [3])
    assert unpaid not in orders


def test_one_at_a_time(place: Place) -> None:
    backup = take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")
    first = start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    with pytest.raises(RestoreUnderWay):
        start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)
    assert [job.pk for job in Job.objects.filter(kind="ops.restores.jobs.restore", cafeteria_uuid=place.ref.uuid)] == [first.job_id]
    run_restore(restore_id=first.pk)
    start_restore(cafeteria_uuid=place.ref.uuid, backup_id=backup.pk)


def test_another_cafeterias_bundle_is_refused(committed_world: World, place: Place, tmp_path: Path) -> None:
    written_bundle(committed_world.b.ref, tmp_path / "b.bundle")
    before = contents(place, tmp_path, "before")
    started = start_restore(cafeteria_uuid=place.ref.uuid, file=str(tmp_path / "b.bundle"))
    with pytest.raises(BundleRefused, match="another cafeteria"):
        run_restore(restore_id=started.pk)
    started.refresh_from_db()
    assert (started.phase, "another cafeteria" in started.error) == ("failed", True)
    assert contents(place, tmp_path, "after") == before
    assert schemas(place) == [place.ref.schema_name]


def test_what_is_kept_for_undoing_is_dropped_in_time(place: Place) -> None:
    restore = restored(take_backup(cafeteria_uuid=place.ref.uuid, kind="manual"))
    assert len(schemas(place)) == 2
    assert sweep_schemas() == []
    Restore.objects.filter(pk=restore.pk).update(undo_until=timezone.now() - timedelta(seconds=1))
    assert sweep_schemas() == [restore.kept_schema]
    assert schemas(place) == [place.ref.schema_name]
    with pytest.raises(CannotUndo):
        undo_restore(restore_id=restore.pk)


def test_a_preview_tells_and_changes_nothing(place: Place, tmp_path: Path) -> None:
    placed(place, 1)
    backup = take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")
    placed(place, 2)
    with tenant_scope(place.ref):
        Product.objects.filter(pk=place.coffee).update(price="9999.00")
    before = contents(place, tmp_path, "before")
    preview = preview_restore(place.ref, file_of(backup), read_manifest(file_of(backup)))
    orders = next(change for change in preview["tables"] if change["table"] == "shop_order")
    assert (orders["now"], orders["then"], orders["lost"], orders["back"], orders["changed"]) == (3, 1, 2, 0, 0)
    assert [row["change"] for row in preview["rows"]["shop_order"]] == ["lost", "lost"]
    product = preview["rows"]["shop_product"][0]
    assert (product["change"], product["now"]["price"], product["then"]["price"]) == ("changed", 9999.00, 1000.00)
    assert contents(place, tmp_path, "after") == before
    assert schemas(place) == [place.ref.schema_name]


def test_the_neighbour_is_not_touched(committed_world: World, place: Place, tmp_path: Path) -> None:
    before = contents(committed_world.b, tmp_path, "b-before")
    restored(take_backup(cafeteria_uuid=place.ref.uuid, kind="manual"))
    assert contents(committed_world.b, tmp_path, "b-after") == before


def test_old_sign_ins_end_with_a_restore(place: Place) -> None:
    client = place.client("manager")
    assert client.get("/api/v1/auth/me").status_code == 200
    restored(take_backup(cafeteria_uuid=place.ref.uuid, kind="manual"))
    assert client.get("/api/v1/auth/me").status_code == 401


def test_a_snapshot_of_a_restored_cafeteria_is_the_new_one(place: Place) -> None:
    placed(place, 1)
    restored(take_backup(cafeteria_uuid=place.ref.uuid, kind="manual"))
    with snapshot(ref_by_uuid(place.ref.uuid)) as moment:
        assert moment.rows("SELECT count(*) FROM shop_order") == [(1,)]
