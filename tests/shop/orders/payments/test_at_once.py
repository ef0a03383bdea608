"""The same button pressed by several at once: threads with connections of their own, real commits, Mercado Pago's process."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connections

from core.jobs.models import Job
from payments.ledger.models import LedgerEntry, Payment, Refund
from tests.emulator.process import Emulator
from tests.payments.till import Till, open_till
from tests.shop.orders.payments.calls import ask, order_of, paid, refund, refund_requests
from tests.shop.orders.payments.test_reading import in_cash
from tests.world import World

KEY = "idempotency-key"
PRESSED = 4


@pytest.fixture
def till(committed_world: World, emulator: Emulator) -> Iterator[Till]:
    """Committed. What other tests would stumble on is taken away: jobs, what reconciliation watches, the account."""
    till = open_till(committed_world.a, emulator)
    yield till
    Job.objects.filter(cafeteria_uuid=till.uuid).delete()
    Payment.objects.filter(cafeteria_uuid=till.uuid).update(next_check_at=None)
    till.seller.delete()


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Their answers, all begun at the same moment."""
    barrier = Barrier(len(calls))

    def work(call: Callable[[], Any]) -> Any:
        try:
            barrier.wait(20)
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(work, calls))


def test_a_refund_pressed_several_times_at_once_is_one(till: Till) -> None:
    payment_id, mp_id = paid(till, order_of(till.place))
    till.emulator.fault("latency", None, match={"path": "/v1/payments"}, seconds=0.3)
    answers = together(*[lambda: refund(till.place, "owner", payment_id)] * PRESSED)
    assert sorted(answer.status_code for answer in answers) == [200, *[400] * (PRESSED - 1)]
    assert (till.theirs(mp_id)["transaction_amount_refunded"], refund_requests(till)) == (1000, 1)
    assert Refund.objects.filter(payment_id=payment_id).count() == 1


def test_pressed_several_times_under_one_key_it_is_one_and_no_error(till: Till) -> None:
    payment_id, mp_id = paid(till, order_of(till.place))
    answers = together(*[lambda: refund(till.place, "owner", payment_id, {"amount": "400.00"}, **{KEY: "k"})] * PRESSED)
    assert {answer.status_code for answer in answers} == {200}
    assert till.theirs(mp_id)["transaction_amount_refunded"] == 400
    assert len(till.theirs(mp_id)["refunds"]) == 1
    assert Refund.objects.filter(payment_id=payment_id).count() == 1
    assert sum(LedgerEntry.objects.filter(payment_id=payment_id).values_list("amount", flat=True)) == 600


def test_two_parts_at_once_that_are_more_than_the_whole(till: Till) -> None:
    payment_id, mp_id = paid(till, order_of(till.place))
    answers = together(*[lambda: refund(till.place, "owner", payment_id, {"amount": "600.00"})] * 2)
    assert sorted(answer.status_code for answer in answers) == [200, 400]
    assert till.theirs(mp_id)["transaction_amount_refunded"] == 600


def test_one_key_for_two_payments_at_once_is_a_conflict(till: Till) -> None:
    made = [in_cash(till.place, order_of(till.place)) for _ in range(2)]
    answers = together(*(lambda payment_id=payment_id: refund(till.place, "owner", payment_id, **{KEY: "k"}) for payment_id in made))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert Refund.objects.filter(cafeteria_uuid=till.uuid).count() == 1


@pytest.mark.parametrize("headers", [{}, {KEY: "k"}], ids=["no key", "one key"])
def test_an_order_asked_to_be_paid_several_times_at_once_has_one_checkout(till: Till, headers: dict[str, str]) -> None:
    order = order_of(till.place)
    answers = together(*[lambda: ask(till.place, "customer", order, **headers)] * PRESSED)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["payment_id"] for answer in answers}) == 1
    assert len({answer.json()["preference_id"] for answer in answers}) == 1
    assert Payment.objects.filter(cafeteria_uuid=till.uuid).count() == 1


def test_one_key_for_two_orders_at_once_pays_one(till: Till) -> None:
    orders = [order_of(till.place) for _ in range(2)]
    answers = together(*(lambda order=order: ask(till.place, "customer", order, **{KEY: "k"}) for order in orders))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert Payment.objects.filter(cafeteria_uuid=till.uuid).count() == 1


def test_nothing_is_held_open_while_mercado_pago_is_asked(till: Till) -> None:
    """What was begun is committed, and its order free for others, before Mercado Pago has answered."""
    paid_order, order = order_of(till.place), order_of(till.place)
    payment_id, _ = paid(till, paid_order)
    till.emulator.fault("latency", None, seconds=2)
    asking = (
        (lambda: ask(till.place, "customer", order), Payment.objects.filter(order_key=order["secret"]), order),
        (lambda: refund(till.place, "owner", payment_id), Refund.objects.filter(payment_id=payment_id), paid_order),
    )
    with ThreadPoolExecutor(1) as pool:
        for call, rows, about in asking:
            answer = pool.submit(call)
            while not (there := rows.exists()) and not answer.done():
                time.sleep(0.02)
            address = f"/api/v1/orders/{about['id']}/status"
            moved = till.place.client("kitchen").patch(address, {"status": "confirmed"}, content_type="application/json")
            assert (there, moved.status_code, answer.done()) == (True, 200, False)
            assert answer.result(60).status_code == 200
        pool.submit(connections.close_all).result()
