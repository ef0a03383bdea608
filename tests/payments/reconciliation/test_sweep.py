from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DataError
from django.utils import timezone
from structlog.testing import capture_logs

from payments.gateway.errors import ChargeNotFound, GatewayUnavailable, TokenRefused
from payments.gateway.mercadopago import MercadoPago
from payments.gateway.wire import read_charge
from payments.ledger.charges import record_charge
from payments.ledger.models import Charge, Payment
from payments.reconciliation.actions import sweep_seller
from payments.sellers.models import Seller
from tests.emulator.process import Emulator
from tests.payments.till import Till, open_till, sweep_all
from tests.world import World

D = Decimal
pytestmark = pytest.mark.usefixtures("no_pauses")


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payments.gateway.mercadopago.PAGE", 3)


def swept(till: Till) -> Any:
    return Seller.objects.get(pk=till.seller.pk).swept_until


def searches(till: Till) -> list[dict[str, Any]]:
    return [entry["query"] for entry in till.emulator.entries("request", path="/v1/payments/search")]


def test_refunds_and_disputes_of_long_ago_are_found(till: Till) -> None:
    orders = [till.order() for _ in range(3)]
    mp_ids = [till.pay(till.checkout(order)) for order in orders]
    for mp_id in mp_ids:
        till.told(mp_id)
    Payment.objects.update(next_check_at=None)
    till.emulator.transition(mp_ids[0], "partially_refunded", amount=100)
    till.emulator.transition(mp_ids[1], "charged_back")
    assert sweep_all() == {"sellers": 1, "charges": 3, "failed": 0}
    assert [till.now(order).payment_status for order in orders] == ["partially_refunded", "charged_back", "paid"]
    assert swept(till) is not None
    assert [kind for kind, _ in till.open_alerts()] == ["payments.dispute"]


def test_the_next_one_begins_where_the_last_one_ended(till: Till) -> None:
    till.seller.swept_until = timezone.now() - timedelta(days=9)
    till.seller.save()
    sweep_seller(till.seller)
    until = swept(till)
    till.seller.refresh_from_db()
    sweep_seller(till.seller)
    begins = [query["begin_date"][:16] for query in searches(till)]
    overlapped = timedelta(minutes=10)
    assert begins == [f"{moment - overlapped:%Y-%m-%dT%H:%M}" for moment in (timezone.now() - timedelta(days=9), until)]


def test_many_pages_are_walked_by_time(till: Till, small_pages: None) -> None:
    orders = [till.order() for _ in range(8)]
    for order in orders:
        till.pay(till.checkout(order))
    assert sweep_seller(till.seller) == 8
    assert {till.now(order).payment_status for order in orders} == {"paid"}
    asked = searches(till)
    assert {query["offset"] for query in asked} == {"0"}
    assert len({query["begin_date"] for query in asked}) == len(asked) > 2
    assert len([entry for entry in till.emulator.entries("request") if entry["path"].removeprefix("/v1/payments/").isdecimal()]) == 8


def test_more_of_one_moment_than_a_page_holds(till: Till, small_pages: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bulk change at Mercado Pago: then the pages go by offset until the moment is over."""
    orders = [till.order() for _ in range(7)]
    for order in orders:
        till.pay(till.checkout(order))
    moment = timezone.now()

    def at_one_moment(body: Any) -> Any:
        found = read_charge(body)
        return type(found)(**{name: getattr(found, name) for name in found.__slots__} | {"last_updated": moment})

    monkeypatch.setattr("payments.gateway.mercadopago.read_charge", at_one_moment)
    monkeypatch.setattr("payments.reconciliation.actions.OVERLAP", timedelta(0))
    search = MercadoPago._search
    before = {"begin_date": "NOW-1DAYS"}  # what is searched for is not what the payments say here
    monkeypatch.setattr(MercadoPago, "_search", lambda self, filters: search(self, filters | before))
    till.seller.swept_until = moment
    assert sweep_seller(till.seller) == 7
    assert [query["offset"] for query in searches(till)] == ["0", "3", "6"]


def test_other_sales_of_the_account_are_none_of_ours(till: Till, small_pages: None) -> None:
    order = till.order()
    payment = till.checkout(order)
    for number in range(7):
        till.pay(payment, external_reference=f"shop-{number}")
    till.pay(payment)
    assert sweep_seller(till.seller) == 1
    assert (Charge.objects.count(), till.now(order).payment_status) == (1, "paid")


@pytest.mark.parametrize("reference", ["shop-1", None])
def test_other_sales_that_cannot_be_read_are_passed_by_however_many(
    till: Till, small_pages: None, monkeypatch: pytest.MonkeyPatch, reference: str | None
) -> None:
    """Pages of nothing else: the walk goes on behind them."""
    order = till.order()
    payment = till.checkout(order)
    for _ in range(7):
        till.pay(payment, external_reference="shop-1")
    till.pay(payment)
    unreadable(monkeypatch, "shop-1", shown=reference)
    assert sweep_seller(till.seller) == 1
    assert till.now(order).payment_status == "paid"


def test_one_of_ours_that_cannot_be_read_fails_it_and_is_told(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = till.checkout(till.order())
    till.pay(payment)
    unreadable(monkeypatch, payment.reference, shown=payment.reference)
    assert sweep_all() == {"sellers": 0, "charges": 0, "failed": 1}
    assert (till.open_alerts(), swept(till)) == ([("payments.reconciliation", "sweep")], None)
    monkeypatch.undo()
    assert sweep_all()["charges"] == 1
    assert till.open_alerts() == []


def test_what_is_known_as_it_stands_is_not_asked_for_again(till: Till) -> None:
    """A day has thousands of payments, of which a handful has changed without a word."""
    known, moved = (till.pay(till.checkout(till.order())) for _ in range(2))
    for mp_id in (known, moved):
        till.told(mp_id)
    till.emulator.transition(moved, "partially_refunded", amount=100)
    before = {mp_id: len(till.emulator.entries("request", path=f"/v1/payments/{mp_id}")) for mp_id in (known, moved)}
    assert sweep_seller(till.seller) == 2
    asked = {mp_id: len(till.emulator.entries("request", path=f"/v1/payments/{mp_id}")) - count for mp_id, count in before.items()}
    assert asked == {known: 0, moved: 1}
    assert till.charge(moved).refunded == 100


def unreadable(monkeypatch: pytest.MonkeyPatch, reference: str, *, shown: str | None) -> None:
    """What the search answers of the reference has no amount."""
    search = MercadoPago._search

    def broken(self: Any, filters: dict[str, Any]) -> Any:
        page, total = search(self, filters)
        for body in page:
            if body["external_reference"] == reference:
                del body["transaction_amount"]
                body["external_reference"] = shown
        return page, total

    monkeypatch.setattr(MercadoPago, "_search", broken)


def test_killed_in_the_middle_it_goes_on(till: Till, small_pages: None, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [till.order() for _ in range(8)]
    mp_ids = [till.pay(till.checkout(order)) for order in orders]

    class Killed(BaseException):
        pass

    def killed_at_the_sixth(**facts: Any) -> Any:
        if facts["snapshot"].mp_id == mp_ids[5]:
            raise Killed
        return record_charge(**facts)

    with monkeypatch.context() as patch:
        patch.setattr("payments.reconciliation.actions.record_charge", killed_at_the_sixth)
        with pytest.raises(Killed):
            sweep_seller(till.seller)
    assert [till.now(order).payment_status for order in orders] == ["paid"] * 5 + ["pending"] * 3
    half = swept(till)
    assert half is not None
    till.seller.refresh_from_db()
    sweep_seller(till.seller)
    assert {till.now(order).payment_status for order in orders} == {"paid"}
    assert swept(till) > half


def test_one_that_vanishes_between_search_and_look_is_passed_by(till: Till) -> None:
    order, other = till.order(), till.order()
    gone = till.pay(till.checkout(order))
    till.pay(till.checkout(other))
    charge = MercadoPago.charge

    def looked(self: Any, mp_id: str) -> Any:
        if mp_id == gone:
            raise ChargeNotFound
        return charge(self, mp_id)

    with pytest.MonkeyPatch.context() as patch, capture_logs() as lines:
        patch.setattr(MercadoPago, "charge", looked)
        sweep_seller(till.seller)
    assert "charge_vanished" in {line["event"] for line in lines}
    assert till.now(other).payment_status == "paid"


@pytest.mark.parametrize("kind", ["status_500", "status_429", "html_502", "truncated_json", "connection_reset"])
def test_an_error_is_a_failed_sweep_of_that_account_alone(till: Till, world: World, emulator: Emulator, kind: str) -> None:
    sol = open_till(world.b, emulator)
    mine, theirs = till.order(), sol.order()
    till.pay(till.checkout(mine))
    sol.pay(sol.checkout(theirs))
    emulator.fault(kind, None, match={"path": "search", "user_id": till.seller.mp_user_id})
    assert sweep_all() == {"sellers": 1, "charges": 1, "failed": 1}
    assert (till.now(mine).payment_status, sol.now(theirs).payment_status) == ("pending", "paid")
    assert (till.open_alerts(), sol.open_alerts(), swept(till)) == ([("payments.reconciliation", "sweep")], [], None)
    with pytest.raises(GatewayUnavailable):
        sweep_seller(till.seller)


def test_a_fault_of_ours_with_one_account_keeps_nobody_from_the_others(
    till: Till, world: World, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sol = open_till(world.b, emulator)
    mine, theirs = till.order(), sol.order()
    till.pay(till.checkout(mine))
    sol.pay(sol.checkout(theirs))

    def poisoned(**facts: Any) -> Any:
        if facts["seller"].pk == till.seller.pk:
            raise DataError("value too long")
        return record_charge(**facts)

    monkeypatch.setattr("payments.reconciliation.actions.record_charge", poisoned)
    assert sweep_all() == {"sellers": 1, "charges": 1, "failed": 1}
    assert sol.now(theirs).payment_status == "paid"


def test_a_revoked_connection_is_noted(till: Till) -> None:
    till.emulator.control("POST", f"/_emu/sellers/{till.seller.mp_user_id}/deauthorize")
    with pytest.raises(TokenRefused):
        sweep_seller(till.seller)
    till.seller.refresh_from_db()
    assert till.seller.status == "needs_reconnect"
    assert sweep_all() == {"sellers": 0, "charges": 0, "failed": 0}


def test_an_account_that_was_left_is_swept_while_its_payments_can_be_refunded(till: Till) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    till.seller.status = "disconnected"
    till.seller.save()
    till.emulator.transition(mp_id, "refunded")
    assert sweep_all()["sellers"] == 1
    assert till.now(order).payment_status == "refunded"
    Charge.objects.update(approved_at=timezone.now() - timedelta(days=181))
    assert sweep_all()["sellers"] == 0
