"""Two screens, two hands: the same money taken and given back at the same moment, with real commits and Mercado Pago's process."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from core.jobs.models import Job
from payments.ledger.models import Payment, Refund
from tests.emulator.process import Emulator
from tests.payments.till import Till, open_till
from tests.shop.orders.payments.test_at_once import together
from tests.shop.pages import visitor
from tests.world import World

D = Decimal
PRESSED = 4


@pytest.fixture
def till(committed_world: World, emulator: Emulator) -> Iterator[Till]:
    """Committed. What other tests would stumble on is taken away: jobs, what reconciliation watches, the account."""
    till = open_till(committed_world.a, emulator)
    yield till
    Job.objects.filter(cafeteria_uuid=till.uuid).delete()
    Payment.objects.filter(cafeteria_uuid=till.uuid).update(next_check_at=None)
    till.seller.delete()


@pytest.mark.parametrize("keys", [["k"] * PRESSED, [f"k{n}" for n in range(PRESSED)]], ids=["one form", "several screens"])
def test_money_at_the_counter_is_taken_once(till: Till, keys: list[str]) -> None:
    order, client = till.order(), visitor(till.place, "cashier")
    address = f"/staff/orders/{order.pk}/take"
    presses = [lambda key=key: client.post(address, {"do": "cash", "due": "1000.00", "key": key}).status_code for key in keys]
    answers = together(*presses)
    assert sorted(answers) == ([302] * PRESSED if len(set(keys)) == 1 else [302, *[422] * (PRESSED - 1)])
    assert till.entries(order) == [("payment", D("1000.00"))]


@pytest.mark.parametrize("keys", [["k"] * PRESSED, [f"k{n}" for n in range(PRESSED)]], ids=["one form", "several screens"])
def test_money_goes_back_once(till: Till, keys: list[str]) -> None:
    order, client = till.order(), visitor(till.place, "manager")
    payment = till.checkout(order)
    mp_id = till.pay(payment)
    till.told(mp_id)
    address = f"/staff/orders/{order.pk}/refund/{payment.pk}"
    fields = {"which": "rest", "wanted": "1000.00", "sure": "yes"}
    answers = together(*[lambda key=key: client.post(address, fields | {"key": key}).status_code for key in keys])
    assert sorted(answers) == ([302] * PRESSED if len(set(keys)) == 1 else [302, *[422] * (PRESSED - 1)])
    till.send_refunds()
    assert Refund.objects.filter(payment=payment).count() == 1
    assert (till.theirs(mp_id)["transaction_amount_refunded"], len(till.theirs(mp_id)["refunds"])) == (1000, 1)


def test_a_step_is_taken_once(till: Till) -> None:
    order, client = till.order(), visitor(till.place, "cashier")
    fields = {"from": "pending", "to": "confirmed"}
    together(*[lambda: client.post(f"/staff/orders/{order.pk}/step", fields).status_code] * PRESSED)
    moved = till.now(order)
    assert (moved.status, [event.kind for event in moved.events.all()]) == ("confirmed", ["placed", "confirmed"])
