from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.alerts.models import Alert
from payments.gateway.gateway import gateway
from payments.ledger.charges import record_charge
from payments.ledger.models import Charge, LedgerEntry, Payment, Refund
from payments.ledger.reviews import accept_charge
from shop.orders.actions import cancel_order
from tenants.scope import tenant_scope
from tests.payments.till import BOSS, Till

D = Decimal


def test_paid_once_told(till: Till) -> None:
    order = till.order(quantity=2)
    payment = till.checkout(order)
    mp_id = till.pay(payment)
    assert till.now(order).payment_status == "pending"
    till.told(mp_id)
    paid = till.now(order)
    assert (paid.payment_status, paid.paid, paid.refunded) == ("paid", D("2000.00"), D(0))
    assert till.entries(order) == [("payment", D("2000.00"))]
    assert LedgerEntry.objects.get(order_key=order.secret).fee > 0
    till.told(mp_id)  # the next day
    assert till.entries(order) == [("payment", D("2000.00"))]


def test_rejected_then_approved_in_the_same_checkout(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    till.told(till.pay(payment, "rejected"))
    assert till.now(order).payment_status == "failed"
    assert till.checkout(order).pk == payment.pk
    till.told(till.pay(payment))
    assert till.now(order).payment_status == "paid"
    assert [charge.status for charge in till.charges(payment)] == ["rejected", "approved"]


def test_paid_twice_is_refunded_once(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    first, second = till.pay(payment), till.pay(payment)
    till.told(first)
    till.told(second)
    till.told(second)
    till.send_refunds()
    till.send_refunds()
    assert till.now(order).payment_status == "paid"
    assert [till.theirs(mp_id)["transaction_amount_refunded"] for mp_id in (first, second)] == [0, 1000]
    assert sum(amount for _, amount in till.entries(order)) == D("1000.00")


@pytest.mark.parametrize(
    ("changes", "review"),
    [({"amount": 999}, "amount"), ({"currency": "BRL"}, "currency"), ({"collector_id": 4711}, "collector")],
)
def test_what_does_not_match_is_reviewed_and_not_paid(till: Till, changes: dict[str, Any], review: str) -> None:
    order = till.order()
    payment = till.checkout(order)
    till.told(till.pay(payment, **changes))
    assert till.now(order).payment_status == "review"
    assert till.entries(order) == []
    assert [charge.review for charge in till.charges(payment)] == [review]
    assert Alert.objects.filter(kind="payments.review", cafeteria_uuid=till.uuid, severity="critical").count() == 1


def test_approved_after_the_order_was_cancelled(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    with tenant_scope(till.place.ref):
        cancel_order(order_id=order.pk, actor=None)
    mp_id = till.pay(payment)
    till.told(mp_id)
    till.told(mp_id)
    till.send_refunds()
    assert till.theirs(mp_id)["transaction_amount_refunded"] == 1000
    late = till.now(order)
    assert (late.status, late.payment_status, late.paid) == ("cancelled", "refunded", D(0))
    assert till.entries(order) == [("payment", D("1000.00")), ("refund", D("-1000.00"))]


def test_a_paid_order_that_is_cancelled_gets_its_money_back(till: Till) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    with tenant_scope(till.place.ref):
        cancel_order(order_id=order.pk, actor=None)
    till.send_refunds()
    assert till.now(order).payment_status == "refunded"
    assert Payment.objects.get(order_key=order.secret).status == "refunded"


def test_older_snapshots_change_nothing(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    mp_id = till.pay(payment)
    till.told(mp_id)
    charge = Charge.objects.get(payment=payment)
    newer = charge.last_updated.replace(year=charge.last_updated.year + 1)
    Charge.objects.filter(pk=charge.pk).update(last_updated=newer)
    till.emulator.transition(mp_id, "refunded")
    till.told(mp_id)
    assert till.now(order).payment_status == "paid"


def test_charged_back_and_returned(till: Till) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    till.emulator.transition(mp_id, "charged_back")
    till.told(mp_id)
    assert till.now(order).payment_status == "charged_back"
    assert Alert.objects.filter(kind="payments.dispute", resolved_at=None).count() == 1
    till.emulator.transition(mp_id, "approved")
    till.told(mp_id)
    assert till.now(order).payment_status == "paid"
    assert Alert.objects.filter(kind="payments.dispute", resolved_at=None).count() == 0
    assert sum(amount for _, amount in till.entries(order)) == D("1000.00")


def test_unpaid_orders_end_with_their_time_and_give_the_stock_back(till: Till) -> None:
    before = till.stock(till.place.cake)
    order = till.order(product=till.place.cake, waits=True)
    payment = till.checkout(order)
    Payment.objects.filter(pk=payment.pk).update(expires_at=payment.created_at)
    looked = till.look()
    assert (looked.checked, looked.failed, looked.expired) == (1, 0, 1)
    ended = till.now(order)
    assert (ended.status, ended.payment_status) == ("cancelled", "pending")
    assert till.stock(till.place.cake) == before
    assert Payment.objects.get(pk=payment.pk).status == "cancelled"


def test_found_without_any_notification(till: Till) -> None:
    order = till.order(waits=True)
    till.pay(till.checkout(order))
    looked = till.look()
    assert (looked.checked, looked.failed) == (1, 0)
    found = till.now(order)
    assert (found.payment_status, found.pay_by) == ("paid", None)


@pytest.mark.parametrize("dispute", ["in_mediation", "charged_back"])
def test_a_dispute_that_is_won_after_the_order_was_cancelled_goes_back(till: Till, dispute: str) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.emulator.transition(mp_id, dispute)
    till.told(mp_id)  # the first that is heard of it
    till.emulator.settings(refunds="rejected")  # as Mercado Pago does with what is disputed
    till.cancel(order)
    till.send_refunds()
    till.emulator.settings(refunds="approved")
    till.emulator.transition(mp_id, "approved")
    till.told(mp_id)
    till.told(mp_id)
    till.send_refunds()
    assert till.refunded(mp_id) == 1000
    assert (till.now(order).payment_status, till.now(order).paid) == ("refunded", D(0))
    assert sum(amount for _, amount in till.entries(order)) == 0


def test_charged_back_paid_again_in_cash_and_then_won_goes_back_once(till: Till) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    till.emulator.transition(mp_id, "charged_back")
    till.told(mp_id)
    assert till.take(order).amount == D(1000)
    assert till.now(order).payment_status == "paid"
    till.emulator.transition(mp_id, "approved")
    till.told(mp_id)
    till.told(mp_id)
    [refund] = till.send_refunds()
    assert (refund.reason, till.refunded(mp_id), till.now(order).payment_status, till.now(order).paid) == ("twice", 1000, "paid", D(1000))


def test_in_mediation_it_is_paid_and_disputed(till: Till) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    till.emulator.transition(mp_id, "in_mediation")
    till.told(mp_id)
    assert (till.now(order).payment_status, till.charge(mp_id).disputed) == ("paid", True)
    assert till.open_alerts() == [("payments.dispute", mp_id)]
    till.emulator.transition(mp_id, "refunded")
    till.told(mp_id)
    assert (till.now(order).payment_status, till.charge(mp_id).disputed, till.open_alerts()) == ("refunded", False, [])


def test_lost_and_covered_after_a_part_was_given_back(till: Till) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.emulator.transition(mp_id, "partially_refunded", amount=100)
    till.emulator.transition(mp_id, "charged_back")
    till.told(mp_id)  # all of it in one snapshot
    assert till.entries(order) == [("payment", D(1000)), ("refund", D(-100)), ("chargeback", D(-900))]
    assert (till.now(order).payment_status, till.now(order).paid) == ("charged_back", D(0))
    till.emulator.transition(mp_id, "approved")
    till.told(mp_id)
    assert till.entries(order)[-1] == ("chargeback", D(900))
    assert (till.now(order).payment_status, till.now(order).paid) == ("partially_refunded", D(900))
    assert till.send_refunds() == []


def test_a_fee_that_is_known_later_and_changes_is_written_once_each(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    snapshot = gateway(till.seller.access_token).charge(till.pay(payment))
    values = {name: getattr(snapshot, name) for name in snapshot.__slots__}
    for later, net in enumerate((None, D("937.10"), D("930.00"), D("930.00"))):
        changed = values | {"net": net, "last_updated": snapshot.last_updated + timedelta(seconds=later)}
        record_charge(seller=till.seller, snapshot=type(snapshot)(**changed))
    entries = LedgerEntry.objects.order_by("id").values_list("kind", "amount", "fee")
    assert list(entries) == [("payment", D(1000), D(0)), ("adjustment", D(0), D("62.90")), ("adjustment", D(0), D("7.10"))]
    assert till.now(order).payment_status == "paid"


def test_a_late_first_sight_of_money_that_has_gone_back_already(till: Till) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.emulator.transition(mp_id, "refunded")
    till.told(mp_id)
    assert till.entries(order) == [("payment", D(1000)), ("refund", D(-1000))]
    assert (till.now(order).payment_status, till.send_refunds()) == ("refunded", [])


def test_created_and_updated_in_the_wrong_order(till: Till) -> None:
    """The newest that Mercado Pago says wins, in whatever order the answers are taken in."""
    order = till.order()
    payment = till.checkout(order)
    mp_id = till.pay(payment, "in_process")
    outside = gateway(till.seller.access_token)
    old = outside.charge(mp_id)
    till.emulator.transition(mp_id, "approved")
    new = outside.charge(mp_id)
    assert record_charge(seller=till.seller, snapshot=new) is not None
    assert record_charge(seller=till.seller, snapshot=old) is None
    assert (till.now(order).payment_status, till.charge(mp_id).status) == ("paid", "approved")
    assert record_charge(seller=till.seller, snapshot=new) is not None
    assert till.entries(order) == [("payment", D(1000))]


def test_three_times_paid_keeps_one(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    mp_ids = [till.pay(payment) for _ in range(3)]
    for mp_id in mp_ids:
        till.told(mp_id)
    till.send_refunds()
    assert [till.refunded(mp_id) for mp_id in mp_ids] == [0, 1000, 1000]
    assert (till.now(order).paid, till.now(order).payment_status) == (D(1000), "paid")


def test_kindness_to_a_paid_order_is_no_reason_to_keep_a_second_payment(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    first, second = till.pay(payment), till.pay(payment)
    till.told(first)
    till.refund(payment, 300)
    till.send_refunds()
    till.told(second)
    till.send_refunds()
    assert (till.refunded(first), till.refunded(second)) == (300, 1000)
    assert till.now(order).paid == D(700)


def test_sent_back_once_and_after_a_won_dispute_once_more(till: Till) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order), amount=1500)
    till.told(mp_id)
    with tenant_scope(till.place.ref):
        accept_charge(cafeteria_uuid=till.uuid, charge_id=till.charge(mp_id).pk, actor=BOSS)
    till.send_refunds()
    till.emulator.transition(mp_id, "charged_back")
    till.told(mp_id)
    till.take(order)
    till.emulator.transition(mp_id, "approved")
    till.told(mp_id)
    till.told(mp_id)
    till.send_refunds()
    assert list(Refund.objects.order_by("pk").values_list("key", "amount")) == [(f"twice-{mp_id}", D(500)), (f"twice-{mp_id}-1", D(1000))]
    assert (till.refunded(mp_id), till.now(order).paid, till.open_alerts()) == (1500, D(1000), [])


def test_a_refund_on_its_way_is_not_asked_for_again_when_the_dispute_is_won(till: Till) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    till.emulator.transition(mp_id, "in_mediation")
    till.told(mp_id)
    till.cancel(order)  # and its refund waits for its worker
    till.emulator.transition(mp_id, "approved")
    till.told(mp_id)
    [refund] = till.send_refunds()
    assert (refund.reason, till.refunded(mp_id), till.open_alerts()) == ("cancelled", 1000, [])
