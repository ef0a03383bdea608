from decimal import Decimal
from typing import Any

import pytest

from core.audit.models import AuditEntry
from payments.ledger.errors import CannotAccept, NotInReview
from payments.ledger.models import Charge, Payment, Refund
from payments.ledger.reviews import accept_charge, return_charge
from shop.orders.models import Order
from tenants.scope import tenant_scope
from tests.payments.till import BOSS, Till
from tests.world import World

D = Decimal


def came(till: Till, **changes: Any) -> tuple[Order, Payment, Charge]:
    """An order, its payment, and money that is not what it should be."""
    order = till.order(waits=True)
    payment = till.checkout(order)
    mp_id = till.pay(payment, **changes)
    till.told(mp_id)
    assert till.now(order).payment_status == "review"
    assert till.open_alerts() == [("payments.review", mp_id)]
    return order, payment, till.charge(mp_id)


def accept(till: Till, charge: Charge) -> Charge:
    with tenant_scope(till.place.ref):
        return accept_charge(cafeteria_uuid=till.uuid, charge_id=charge.pk, actor=BOSS)


def give_back(till: Till, charge: Charge) -> Refund:
    with tenant_scope(till.place.ref):
        return return_charge(cafeteria_uuid=till.uuid, charge_id=charge.pk, actor=BOSS)


def money(till: Till, order: Order) -> tuple[str, Decimal, Decimal]:
    now = till.now(order)
    return now.payment_status, now.paid, now.refunded


def test_less_money_is_accepted_and_leaves_the_rest_due(till: Till) -> None:
    order, payment, charge = came(till, amount=600)
    accepted = accept(till, charge)
    assert (accepted.verdict, accepted.reviewed_by, till.open_alerts()) == ("accepted", "boss@people.test", [])
    assert till.entries(order) == [("payment", D(600))]
    assert money(till, order) == ("pending", D(600), D(0))
    payment.refresh_from_db()
    assert (payment.status, payment.amount, payment.closed_at is not None) == ("paid", D(600), True)
    entry = AuditEntry.objects.get(action="payment.review_accepted")
    assert (entry.target, entry.actor_label, entry.cafeteria_uuid) == (charge.mp_id, "boss@people.test", till.uuid)
    rest = till.checkout(order, amount=D(400))
    assert rest.pk != payment.pk
    till.told(till.pay(rest))
    assert money(till, order) == ("paid", D(1000), D(0))
    assert till.now(order).pay_by is None
    with pytest.raises(NotInReview):
        accept(till, charge)


def test_less_money_accepted_is_not_ended_by_the_clock(till: Till) -> None:
    order, payment, charge = came(till, amount=600)
    accept(till, charge)
    Payment.objects.filter(pk=payment.pk).update(expires_at=payment.created_at)
    till.look()
    payment.refresh_from_db()
    assert (payment.status, till.now(order).status, money(till, order)) == ("paid", "pending", ("pending", D(600), D(0)))
    till.take(order)
    assert (money(till, order), till.payment(order).amount) == (("paid", D(1000), D(0)), D(400))


def test_two_parts_of_one_checkout_make_the_whole(till: Till) -> None:
    order, payment, charge = came(till, amount=600)
    second = till.pay(payment, amount=400)
    till.told(second)
    accept(till, charge)
    assert money(till, order)[1] == D(600)
    accept(till, till.charge(second))
    assert money(till, order) == ("paid", D(1000), D(0))
    assert till.send_refunds() == []


def test_more_money_is_accepted_and_the_rest_goes_back(till: Till) -> None:
    order, payment, charge = came(till, amount=1500)
    accept(till, charge)
    [refund] = till.send_refunds()
    assert (refund.amount, refund.reason, till.refunded(charge.mp_id)) == (D(500), "twice", 500)
    assert money(till, order) == ("paid", D(1000), D(500))
    payment.refresh_from_db()
    assert (payment.status, payment.amount, payment.closed_at is not None) == ("paid", D(1000), True)
    assert till.entries(order) == [("payment", D(1500)), ("refund", D(-500))]


@pytest.mark.parametrize("changes", [{"amount": 999}, {"currency": "BRL"}, {"currency": "USD"}, {"collector_id": 4711}])
def test_it_is_given_back(till: Till, changes: dict[str, Any]) -> None:
    order, _, charge = came(till, **changes)
    refund = give_back(till, charge)
    assert give_back(till, charge).pk == refund.pk
    assert (refund.reason, refund.amount, refund.currency) == ("review", charge.amount, charge.currency)
    assert till.charge(charge.mp_id).in_review
    till.send_refunds()
    settled = till.charge(charge.mp_id)
    assert (settled.verdict, settled.in_review, settled.status, till.open_alerts()) == ("returned", False, "refunded", [])
    assert (money(till, order), till.entries(order)) == (("pending", D(0), D(0)), [])
    with pytest.raises(NotInReview):
        give_back(till, charge)
    with pytest.raises(NotInReview):
        accept(till, charge)


@pytest.mark.parametrize("currency", ["BRL", "USD"])
def test_one_that_cannot_be_given_back_stays_in_review(till: Till, currency: str) -> None:
    _, _, charge = came(till, currency=currency)
    till.emulator.settings(refunds="rejected")
    give_back(till, charge)
    till.send_refunds()
    charge.refresh_from_db()
    assert (charge.review, charge.in_review) == ("currency", True)
    assert till.open_alerts() == [("payments.review", charge.mp_id), ("payments.refund_failed", charge.mp_id)]
    till.emulator.settings(refunds="approved")
    give_back(till, charge)
    till.send_refunds()
    assert (till.charge(charge.mp_id).verdict, till.open_alerts()) == ("returned", [])


def test_a_part_of_a_foreign_currency_was_given_back_by_hand(till: Till) -> None:
    _, _, charge = came(till, currency="USD")
    till.emulator.transition(charge.mp_id, "partially_refunded", amount=400)
    till.told(charge.mp_id)
    assert give_back(till, charge).amount == D(600)
    till.send_refunds()
    assert (till.refunded(charge.mp_id), till.charge(charge.mp_id).verdict) == (1000, "returned")


@pytest.mark.parametrize("changes", [{"currency": "BRL"}, {"collector_id": 4711}])
def test_another_currency_or_account_cannot_be_accepted(till: Till, changes: dict[str, Any]) -> None:
    order, _, charge = came(till, **changes)
    with pytest.raises(CannotAccept):
        accept(till, charge)
    assert (till.entries(order), till.charge(charge.mp_id).in_review) == ([], True)


def test_of_a_cancelled_order_it_can_only_go_back(till: Till) -> None:
    order, _, charge = came(till, amount=999)
    till.cancel(order)
    with pytest.raises(CannotAccept):
        accept(till, charge)
    give_back(till, charge)
    till.send_refunds()
    assert (till.refunded(charge.mp_id), till.now(order).status, till.entries(order)) == (999, "cancelled", [])


def test_of_an_order_that_is_gone_it_can_only_go_back(till: Till) -> None:
    order, _, charge = came(till, amount=999)
    with tenant_scope(till.place.ref):
        Order.objects.filter(pk=order.pk).delete()
    with pytest.raises(CannotAccept):
        accept(till, charge)
    give_back(till, charge)
    till.send_refunds()
    assert till.refunded(charge.mp_id) == 999


def test_what_is_in_no_review_is_not_decided(till: Till, world: World) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    for decide in (accept, give_back):
        with pytest.raises(NotInReview):
            decide(till, till.charge(mp_id))
    _, _, doubtful = came(till, amount=1)
    for action in (accept_charge, return_charge):
        with tenant_scope(world.b.ref), pytest.raises(NotInReview):
            action(cafeteria_uuid=world.b.ref.uuid, charge_id=doubtful.pk, actor=BOSS)


def test_doubtful_money_beside_good_money_leaves_the_order_paid(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    good, doubtful = till.pay(payment), till.pay(payment, amount=1)
    till.told(good)
    till.told(doubtful)
    assert money(till, order) == ("paid", D(1000), D(0))
    assert till.charge(doubtful).in_review
    accept(till, till.charge(doubtful))
    till.send_refunds()
    assert (till.refunded(doubtful), till.refunded(good), money(till, order)) == (1, 0, ("paid", D(1000), D(1)))
    payment.refresh_from_db()
    assert (payment.amount, payment.status) == (D(1000), "paid")


def test_rejected_money_is_no_mismatch(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    till.told(till.pay(payment, "rejected", amount=1))
    assert (till.now(order).payment_status, till.charges(payment)[0].review, till.open_alerts()) == ("failed", "", [])


def test_what_is_on_its_way_already_is_not_asked_back_too(till: Till) -> None:
    """A part failed, the rest is being given back by another way: nothing is left to ask for."""
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    till.emulator.settings(refunds="rejected")
    till.refund(till.payment(order), 100)
    till.send_refunds()
    till.refund(till.payment(order))
    with pytest.raises(NotInReview):
        give_back(till, till.charge(mp_id))
