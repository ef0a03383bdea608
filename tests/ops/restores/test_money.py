"""Rows go back, money does not: what Mercado Pago and the till have done since stays done, once."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from ops.backups.actions import take_backup
from ops.backups.models import Backup
from ops.restores.actions import run_restore, start_restore, undo_restore
from ops.restores.models import Restore
from payments.ledger.actions import take_at_counter
from payments.ledger.data import Actor
from payments.ledger.models import LedgerEntry, Payment
from payments.ledger.refunds import request_refund
from shop.orders.actions import cancel_order
from shop.orders.models import Order
from shop.orders.payments.actions import facts_of
from shop.orders.queries import order_by_secret
from tenants.queries import ref_by_uuid
from tenants.scope import tenant_scope
from tests.emulator.process import Emulator
from tests.payments.till import Till, open_till
from tests.processes import committed_queue
from tests.world import World

D = Decimal


@pytest.fixture
def till(committed_world: World, emulator: Emulator, settings: Settings, tmp_path: Path) -> Iterator[Till]:
    settings.BACKUP_FOLDER = tmp_path / "backups"
    with committed_queue():
        yield open_till(committed_world.a, emulator)


def restored(till: Till, backup: Backup) -> Restore:
    restore = run_restore(restore_id=start_restore(cafeteria_uuid=till.uuid, backup_id=backup.pk).pk)
    till.place.ref = ref_by_uuid(till.uuid)
    return restore


def bought(till: Till) -> tuple[Order, str]:
    """A paid order, and what Mercado Pago calls its payment."""
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    return order, mp_id


def standing(till: Till) -> dict[str, tuple[str, str, Decimal]]:
    with tenant_scope(ref_by_uuid(till.uuid)):
        return {order.secret: (order.status, order.payment_status, order.paid) for order in Order.objects.all()}


def check_books(till: Till) -> None:
    call_command("check_money", "--cafeteria", till.place.ref.slug)


def test_six_hours_with_payments_and_refunds(till: Till) -> None:
    """Every payment is accounted for, no order that was paid is lost, and Mercado Pago is asked for nothing again."""
    before, before_id = bought(till)
    backup = take_backup(cafeteria_uuid=till.uuid, kind="manual")
    paid = [bought(till) for _ in range(4)]
    refunded, refunded_id = bought(till)
    with tenant_scope(till.place.ref):
        payment = Payment.objects.get(order_key=refunded.secret)
        request_refund(cafeteria_uuid=till.uuid, payment_id=payment.pk, amount=None, actor=Actor())
        cash = order_by_secret(till.order().secret)
        take_at_counter(cafeteria_uuid=till.uuid, order=facts_of(cash, with_copy=True), method="cash", actor=Actor())
    till.send_refunds()
    with tenant_scope(till.place.ref):
        cancel_order(order_id=before.pk, actor=till.place.caller("cashier"))
    till.send_refunds()
    entries = LedgerEntry.objects.filter(cafeteria_uuid=till.uuid).count()
    asked = len(till.emulator.entries("request", method="POST"))

    restore = restored(till, backup)
    found = standing(till)
    assert {order.secret: found[order.secret][1:] for order, _ in paid} == {order.secret: ("paid", D("1000.00")) for order, _ in paid}
    assert found[cash.secret][1:] == ("paid", D("1000.00"))
    assert found[refunded.secret] == ("cancelled", "refunded", D(0))
    assert found[before.secret] == ("cancelled", "refunded", D(0))  # It was paid before, and cancelled since.
    assert LedgerEntry.objects.filter(cafeteria_uuid=till.uuid).count() == entries
    assert len(till.emulator.entries("request", method="POST")) == asked
    assert [till.theirs(mp_id)["transaction_amount_refunded"] for _, mp_id in paid] == [0, 0, 0, 0]
    assert [till.theirs(mp_id)["transaction_amount_refunded"] for mp_id in (refunded_id, before_id)] == [1000, 1000]
    report = restore.report["money"]["report"]
    assert (report["orders"], report["settled"], len(report["recreated"]), report["problems"]) == (7, 7, 6, [])
    check_books(till)

    undo_restore(restore_id=restore.pk)
    till.place.ref = ref_by_uuid(till.uuid)
    assert standing(till)[before.secret][:2] == ("cancelled", "refunded")
    assert len(standing(till)) == 7
    check_books(till)


def test_a_checkout_that_is_open_is_paid_after_the_restore(till: Till) -> None:
    backup = take_backup(cafeteria_uuid=till.uuid, kind="manual")
    order = till.order(waits=True)
    payment = till.checkout(order)
    restored(till, backup)
    assert standing(till)[order.secret][1] == "pending"
    till.told(till.pay(payment))
    assert standing(till)[order.secret][1:] == ("paid", D("1000.00"))
    check_books(till)


def test_money_that_comes_after_the_restore_for_an_order_of_before(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    backup = take_backup(cafeteria_uuid=till.uuid, kind="manual")
    mp_id = till.pay(payment)
    restored(till, backup)
    till.told(mp_id)
    till.told(mp_id)
    assert standing(till)[order.secret][1:] == ("paid", D("1000.00"))
    assert till.entries(order) == [("payment", D("1000.00"))]
    check_books(till)


def test_money_that_was_recorded_before_the_snapshot_and_committed_after_it(till: Till) -> None:
    order, _ = bought(till)
    backup = take_backup(cafeteria_uuid=till.uuid, kind="manual")
    with tenant_scope(till.place.ref):  # As the snapshot would have seen it: the ledger's entry is older than its moment.
        Order.objects.filter(pk=order.pk).update(paid=0, payment_status="pending")
    torn = take_backup(cafeteria_uuid=till.uuid, kind="manual")
    assert torn.taken_at > backup.taken_at
    restored(till, torn)
    assert standing(till)[order.secret][1:] == ("paid", D("1000.00"))
    check_books(till)


def test_an_unpaid_order_of_since_is_gone(till: Till) -> None:
    backup = take_backup(cafeteria_uuid=till.uuid, kind="manual")
    order = till.order()
    restored(till, backup)
    assert order.secret not in standing(till)
    check_books(till)


def test_a_refund_that_is_under_way_is_sent_once(till: Till) -> None:
    order, mp_id = bought(till)
    backup = take_backup(cafeteria_uuid=till.uuid, kind="manual")
    with tenant_scope(till.place.ref):
        cancel_order(order_id=order.pk, actor=till.place.caller("cashier"))
    restored(till, backup)
    assert standing(till)[order.secret] == ("cancelled", "paid", D("1000.00"))  # Nobody cooks it.
    till.send_refunds()
    till.send_refunds()
    assert till.theirs(mp_id)["transaction_amount_refunded"] == 1000
    assert standing(till)[order.secret] == ("cancelled", "refunded", D(0))
    check_books(till)
