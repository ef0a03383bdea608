"""Threads that want the same money at the same moment: all committed, each with a connection of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, connections

from core.errors import AppError
from payments.gateway.gateway import gateway
from payments.inbox.actions import work_off
from payments.ledger.actions import open_checkout, start_payment, take_at_counter
from payments.ledger.charges import record_charge
from payments.ledger.data import Actor, RequestKey
from payments.ledger.models import Payment, Refund
from payments.ledger.refunds import request_refund
from payments.ledger.sending import send_refund
from payments.reconciliation.actions import check_due_payments
from shop.orders import actions
from shop.orders.models import Order
from shop.orders.payments.actions import facts_of
from tenants.scope import tenant_scope
from tests.payments.till import BOSS, Till, long_ago
from tests.processes import wait_for

D = Decimal


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What each has answered, or the AppError that it has raised."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            gate.wait(20)
            return call()
        except AppError as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def codes(found: list[Any]) -> list[str]:
    return sorted(each.code if isinstance(each, AppError) else "done" for each in found)


def paid(till: Till) -> tuple[Order, str]:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    return order, mp_id


def refund(till: Till, payment: Payment, amount: int | None, *, key: str = "", fingerprint: str = "f") -> list[Refund]:
    """What the button does: written down in the scope, then sent outside of it."""
    with tenant_scope(till.place.ref):
        made = request_refund(
            cafeteria_uuid=till.uuid,
            payment_id=payment.pk,
            amount=None if amount is None else D(amount),
            actor=BOSS,
            request=RequestKey(caller="person:1", key=key, fingerprint=fingerprint),
        )
    return [send_refund(refund_id=each.pk) for each in made]


@pytest.mark.parametrize("key", ["", "button-1"], ids=["without a key", "with a key"])
def test_the_button_twice_is_one_refund(committed_till: Till, key: str) -> None:
    till = committed_till
    order, mp_id = paid(till)
    payment = till.payment(order)
    found = at_once(*[lambda: refund(till, payment, None, key=key)] * 4)
    assert codes(found) == (["done"] * 4 if key else ["already_refunded"] * 3 + ["done"])
    assert (till.refunded(mp_id), len(till.theirs(mp_id)["refunds"])) == (1000, 1)
    assert Refund.objects.filter(payment=payment).count() == 1
    assert till.entries(order) == [("payment", D(1000)), ("refund", D(-1000))]
    assert till.now(order).payment_status == "refunded"


def test_two_parts_at_once_are_no_more_than_the_whole(committed_till: Till) -> None:
    till = committed_till
    order, mp_id = paid(till)
    payment = till.payment(order)
    found = at_once(*[lambda: refund(till, payment, 600)] * 3)
    assert codes(found) == ["done", "refund_too_large", "refund_too_large"]
    assert (till.refunded(mp_id), till.now(order).refunded) == (600, D(600))
    assert codes(at_once(*[lambda: refund(till, payment, 200)] * 3)) == ["already_refunded", "done", "done"]
    assert (till.refunded(mp_id), till.now(order).payment_status) == (1000, "refunded")


def test_one_key_for_two_orders_at_once_is_a_conflict(committed_till: Till) -> None:
    till = committed_till
    payments = [till.payment(paid(till)[0]) for _ in range(2)]
    calls = [partial(refund, till, each, None, key="k", fingerprint=str(each.pk)) for each in payments]
    assert codes(at_once(*calls)) == ["done", "idempotency_conflict"]


def test_one_refund_sent_by_many_workers(committed_till: Till) -> None:
    till = committed_till
    order, mp_id = paid(till)
    [made] = till.refund(till.payment(order), 250)
    found = at_once(*[lambda: send_refund(refund_id=made.pk)] * 4)
    assert {each.state for each in found} == {"approved"}
    assert len(till.theirs(mp_id)["refunds"]) == 1
    assert till.entries(order) == [("payment", D(1000)), ("refund", D(-250))]


def start(till: Till, order: Order, *, key: str = "") -> UUID:
    with tenant_scope(till.place.ref):
        facts = facts_of(order)
        request = RequestKey(caller="person:1", key=key, fingerprint=order.secret)
        payment = start_payment(
            cafeteria_uuid=till.uuid, order=facts, amount=order.total, return_url="http://luna.localhost/o", actor=Actor(), request=request
        )
    return open_checkout(payment_id=payment.pk).pk


def take(till: Till, order: Order) -> Payment:
    with tenant_scope(till.place.ref):
        return take_at_counter(cafeteria_uuid=till.uuid, order=facts_of(order), method="cash", actor=BOSS)


@pytest.mark.parametrize("key", ["", "k"], ids=["without a key", "with a key"])
def test_paying_begins_once(committed_till: Till, key: str) -> None:
    till = committed_till
    order = till.order()
    found = at_once(*[lambda: start(till, order, key=key)] * 4)
    assert len(set(found)) == 1
    made = {entry["idempotency_key"] for entry in till.emulator.entries("request", method="POST", path="/checkout/preferences")}
    assert (Payment.objects.filter(order_key=order.secret).count(), made) == (1, {f"open-{found[0]}"})


def test_the_till_takes_it_once(committed_till: Till) -> None:
    till = committed_till
    order = till.order()
    assert codes(at_once(*[lambda: take(till, order)] * 4)) == ["done", "nothing_due", "nothing_due", "nothing_due"]
    assert till.entries(order) == [("payment", D(1000))]


def test_the_till_and_the_buyer_at_once_pay_once(committed_till: Till) -> None:
    till = committed_till
    for _ in range(4):
        order = till.order()
        mp_id = till.pay(till.checkout(order))
        till.notify(mp_id)
        at_once(partial(take, till, order), work_off, work_off)
        till.work()
        till.send_refunds()
        now = till.now(order)
        assert (now.payment_status, now.paid) == ("paid", D(1000))
        by_cash = Payment.objects.filter(order_key=order.secret, method="cash").exists()
        assert till.refunded(mp_id) == (1000 if by_cash else 0)


def test_paid_and_cancelled_at_once_goes_back_once(committed_till: Till) -> None:
    till = committed_till
    for _ in range(4):
        order = till.order(product=till.place.cake)
        stock = till.stock(till.place.cake)
        mp_id = till.pay(till.checkout(order))
        till.notify(mp_id)
        assert codes(at_once(work_off, partial(till.cancel, order), work_off))[0] == "done"
        till.work()
        till.send_refunds()
        now = till.now(order)
        assert (now.status, now.payment_status, now.paid) == ("cancelled", "refunded", D(0))
        assert (till.refunded(mp_id), len(till.theirs(mp_id)["refunds"])) == (D("2500.5"), 1)
        assert till.stock(till.place.cake) == (stock or 0) + 1


def test_an_order_placed_while_another_is_cancelled_and_given_back(committed_till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both want the product's row and the pulse: whoever gives back must not hold the pulse while it waits for the product."""
    till = committed_till
    order = till.order(product=till.place.cake)
    till.take(order)
    give_back, giving, placed = actions._give_stock_back, threading.Event(), threading.Event()

    def slowly(order: Order) -> bool:
        giving.set()
        wait_for(lambda: placed.is_set() or waits_for_a_lock())
        return give_back(order)

    def place() -> Order:
        assert giving.wait(20)
        try:
            return till.order(product=till.place.cake)
        finally:
            placed.set()

    monkeypatch.setattr(actions, "_give_stock_back", slowly)
    stock = till.stock(till.place.cake)
    assert codes(at_once(partial(till.cancel, order), place)) == ["done"] * 2
    assert (till.now(order).payment_status, till.stock(till.place.cake)) == ("refunded", stock)


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


def test_reconciliation_by_two_workers_at_once(committed_till: Till) -> None:
    till = committed_till
    orders = [till.order(waits=True) for _ in range(6)]
    for order in orders:
        till.pay(till.checkout(order))
    Payment.objects.filter(cafeteria_uuid=till.uuid).update(next_check_at=long_ago())
    found = at_once(check_due_payments, check_due_payments)
    assert (sum(looked.checked for looked in found), sum(looked.failed for looked in found)) == (6, 0)
    assert set(Payment.objects.filter(cafeteria_uuid=till.uuid).values_list("checks", "status")) == {(1, "paid")}
    assert {tuple(till.entries(order)) for order in orders} == {(("payment", D(1000)),)}


def test_one_snapshot_taken_in_by_many(committed_till: Till) -> None:
    till = committed_till
    order = till.order()
    payment = till.checkout(order)
    mp_id = till.pay(payment)
    till.told(mp_id)
    till.emulator.transition(mp_id, "partially_refunded", amount=100)
    snapshot = gateway(till.seller.access_token).charge(mp_id)
    at_once(*[lambda: record_charge(seller=till.seller, snapshot=snapshot)] * 5)
    assert till.entries(order) == [("payment", D(1000)), ("refund", D(-100))]
