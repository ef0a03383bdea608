from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from payments.ledger.actions import LONGEST_DECISION, expire_payment
from payments.ledger.models import Payment
from payments.ledger.reviews import return_charge
from shop.orders.actions import change_status
from shop.orders.models import Order
from shop.orders.payments.actions import take_now
from tenants.scope import tenant_scope
from tests.payments.till import BOSS, Till

D = Decimal


def over(payment: Payment, ago: timedelta = timedelta(seconds=1)) -> None:
    Payment.objects.filter(pk=payment.pk).update(expires_at=timezone.now() - ago)


def ordered(till: Till) -> tuple[Order, Payment]:
    order = till.order(product=till.place.cake, waits=True)
    return order, till.checkout(order)


@pytest.mark.parametrize("attempt", ["", "rejected"])
def test_nobody_paid_it_is_cancelled_and_the_stock_comes_back(till: Till, attempt: str) -> None:
    before = till.stock(till.place.cake)
    order, payment = ordered(till)
    assert till.stock(till.place.cake) == (before or 0) - 1
    if attempt:
        till.told(till.pay(payment, attempt))
    assert expire_payment(payment_id=payment.pk) is False  # not yet
    over(payment)
    assert till.look().expired == 1
    assert till.now(order).status == "cancelled"
    assert till.stock(till.place.cake) == before
    payment.refresh_from_db()
    assert (payment.status, payment.preference_closed_at is not None) == ("failed" if attempt else "cancelled", True)
    assert till.look().expired == 0
    assert till.history(order).count("cancelled") == 1
    assert till.stock(till.place.cake) == before


def test_paid_in_the_last_moment_it_is_paid(till: Till) -> None:
    order, payment = ordered(till)
    till.pay(payment)
    over(payment)
    looked = till.look()
    assert (looked.checked, looked.expired) == (1, 0)
    assert (till.now(order).status, till.now(order).payment_status) == ("pending", "paid")


def test_a_card_that_is_being_looked_at_keeps_the_order_and_is_then_paid(till: Till) -> None:
    before = till.stock(till.place.cake)
    order, payment = ordered(till)
    mp_id = till.pay(payment, "in_process")
    over(payment, LONGEST_DECISION - timedelta(minutes=5))
    assert till.look().expired == 0
    assert (till.now(order).status, till.now(order).pay_by is not None) == ("pending", True)
    assert till.stock(till.place.cake) == (before or 0) - 1
    till.emulator.transition(mp_id, "approved")
    till.look()
    assert (till.now(order).payment_status, till.now(order).pay_by) == ("paid", None)


def test_a_card_that_is_looked_at_for_too_long_is_cancelled_there_and_here(till: Till) -> None:
    before = till.stock(till.place.cake)
    order, payment = ordered(till)
    mp_id = till.pay(payment, "in_process")
    over(payment, LONGEST_DECISION + timedelta(minutes=1))
    assert till.look().expired == 1
    assert (till.theirs(mp_id)["status"], till.now(order).status, till.stock(till.place.cake)) == ("cancelled", "cancelled", before)
    till.look()
    payment.refresh_from_db()
    assert (payment.status, till.charges(payment)[0].status) == ("cancelled", "cancelled")


def test_approved_after_the_end_goes_back_once(till: Till) -> None:
    order, payment = ordered(till)
    over(payment)
    till.look()
    mp_id = till.pay(payment, force=True)
    for _ in range(2):
        till.told(mp_id)
    [refund] = till.send_refunds()
    assert (refund.key, refund.reason) == (f"late-{mp_id}", "late")
    now = till.now(order)
    assert (now.status, now.payment_status, now.paid, now.refunded) == ("cancelled", "refunded", D(0), D("2500.50"))
    assert len(till.theirs(mp_id)["refunds"]) == 1


def test_approved_after_the_end_and_never_told_is_found_and_goes_back(till: Till) -> None:
    _, payment = ordered(till)
    over(payment)
    till.look()
    mp_id = till.pay(payment, force=True)
    till.look()
    till.send_refunds()
    assert till.refunded(mp_id) == D("2500.5")


def test_what_the_staff_have_taken_up_is_not_cancelled(till: Till) -> None:
    order, payment = ordered(till)
    with tenant_scope(till.place.ref):
        change_status(order_id=order.pk, status="confirmed", actor=till.place.caller("cashier"))
    over(payment)
    assert till.look().expired == 1  # the payment alone
    payment.refresh_from_db()
    assert (till.now(order).status, payment.status) == ("confirmed", "cancelled")


def test_what_will_be_paid_at_the_counter_is_not_cancelled(till: Till) -> None:
    order, payment = ordered(till)
    with tenant_scope(till.place.ref):
        take_now(order_id=order.pk)
    over(payment)
    till.look()
    assert till.now(order).status == "pending"
    till.take(order)
    assert till.now(order).payment_status == "paid"


def test_another_open_payment_keeps_the_order(till: Till) -> None:
    order, payment = ordered(till)
    over(payment)
    second = till.checkout(order)
    assert till.look().expired == 1
    assert till.now(order).status == "pending"
    over(second)
    assert till.look().expired == 1
    assert till.now(order).status == "cancelled"


def test_an_order_that_is_gone_ends_its_payment_alone(till: Till) -> None:
    order, payment = ordered(till)
    with tenant_scope(till.place.ref):
        Order.objects.filter(pk=order.pk).delete()
    over(payment)
    assert till.look().expired == 1
    payment.refresh_from_db()
    assert payment.status == "cancelled"


def test_when_mercado_pago_cannot_be_asked_to_the_end_the_stock_comes_back_all_the_same(till: Till) -> None:
    before = till.stock(till.place.cake)
    order, payment = ordered(till)
    over(payment, timedelta(hours=40))
    till.emulator.control("POST", f"/_emu/sellers/{till.seller.mp_user_id}/deauthorize")
    looked = till.look()
    assert (looked.failed, looked.expired, till.now(order).status) == (1, 0, "pending")
    over(payment, timedelta(hours=48, seconds=1))
    looked = till.look()
    assert (looked.failed, looked.expired, till.now(order).status) == (1, 1, "cancelled")
    assert till.stock(till.place.cake) == before
    assert Payment.objects.get(pk=payment.pk).next_check_at is None


def test_doubtful_money_that_goes_back_days_later_ends_the_order(till: Till) -> None:
    before = till.stock(till.place.cake)
    order, payment = ordered(till)
    mp_id = till.pay(payment, amount=1)
    over(payment, timedelta(hours=49))
    till.look()
    payment.refresh_from_db()
    assert (payment.status, payment.next_check_at, till.now(order).status) == ("review", None, "pending")
    with tenant_scope(till.place.ref):
        return_charge(cafeteria_uuid=till.uuid, charge_id=till.charge(mp_id).pk, actor=BOSS)
    till.send_refunds()
    assert till.look().expired == 1
    assert (till.now(order).status, till.stock(till.place.cake)) == ("cancelled", before)
    payment.refresh_from_db()
    assert (payment.status, payment.next_check_at) == ("cancelled", None)
