from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import requests
from django.utils import timezone

from core.errors import IdempotencyConflict
from core.jobs.models import Job
from payments.gateway.errors import GatewayRefused, GatewayUnavailable, TokenRefused
from payments.gateway.gateway import gateway
from payments.ledger.actions import (
    _checkout_request,
    close_checkout,
    expire_payment,
    is_left_open,
    open_checkout,
    payment_of,
    start_payment,
    take_at_counter,
)
from payments.ledger.data import Actor, OrderFacts, RequestKey
from payments.ledger.errors import (
    AmountNotDue,
    CheckoutIsOver,
    InexactAmount,
    NotConnected,
    NothingDue,
    OrderIsCancelled,
    PaymentNotFound,
)
from payments.ledger.jobs import close_checkout as close_job
from payments.ledger.models import Payment
from payments.ledger.reviews import accept_charge
from shop.menu.models import Category, Product
from shop.orders.actions import place_order
from shop.orders.data import Guest, NewLine, NewOrder
from shop.orders.models import Order
from shop.orders.payments.actions import facts_of
from shop.orders.queries import order_by_secret
from tenants.actions import open_cafeteria
from tenants.queries import ref_for
from tenants.scope import tenant_scope
from tests.emulator.process import Emulator
from tests.payments.till import BOSS, Till, open_till
from tests.world import Place, World

D = Decimal
pytestmark = pytest.mark.usefixtures("no_pauses")


def preference(till: Till, payment: Payment) -> dict[str, Any]:
    """As Mercado Pago has it."""
    headers = {"Authorization": f"Bearer {till.seller.access_token}"}
    return dict(requests.get(f"{till.emulator.url}/checkout/preferences/{payment.preference_id}", headers=headers, timeout=10).json())


def begin(till: Till, order: Order, *, facts: OrderFacts | None = None, amount: Decimal | None = None, **request: str) -> Payment:
    with tenant_scope(till.place.ref):
        facts = facts or facts_of(order_by_secret(order.secret), with_copy=True)
        return start_payment(
            cafeteria_uuid=till.uuid,
            order=facts,
            amount=facts.total if amount is None else amount,
            return_url="http://luna.localhost:8000/o/1",
            actor=Actor(),
            request=RequestKey(**request),
        )


def facts(till: Till, order: Order) -> OrderFacts:
    with tenant_scope(till.place.ref):
        return facts_of(order_by_secret(order.secret), with_copy=True)


def order_of(till: Till, *lines: tuple[int, int], tip: str = "0", name: str = "Ana", email: str = "ana@guests.test") -> Order:
    with tenant_scope(till.place.ref):
        made = tuple(NewLine(product_id=product, quantity=quantity) for product, quantity in lines)
        placed = place_order(order=NewOrder(lines=made, guest=Guest(name=name, email=email), tip=D(tip)), caller=None)
        return order_by_secret(placed.secret)


def opened_in(world: World, emulator: Emulator, currency: str, site: str, price: str) -> tuple[Till, int]:
    """A cafeteria in another country, and its one product."""
    zones = {"CLP": "America/Santiago", "COP": "America/Bogota"}
    zone = zones.get(currency, "America/Sao_Paulo")
    ref = ref_for(open_cafeteria(owner_id=world.owner_a, name=f"Café {currency}", currency=currency, timezone=zone))
    with tenant_scope(ref):
        product = Product.objects.create(category=Category.objects.create(name="Todo"), name="Té", price=price).pk
    return open_till(Place(ref=ref, canary=currency, coffee=product), emulator, site=site), product


# --- What the buyer is asked for ---------------------------------------------------------------------------------------------


def test_the_checkout_has_the_orders_lines_and_the_tip_as_items(till: Till) -> None:
    order = order_of(till, (till.place.coffee, 2), (till.place.cake, 1), tip="300.25", name="Ana de la Peña")
    shown = preference(till, till.checkout(order))
    items = [(item["quantity"], item["unit_price"], item["currency_id"]) for item in shown["items"]]
    assert items == [(2, 1000, "ARS"), (1, 2500.5, "ARS"), (1, 300.25, "ARS")]
    assert [item["id"] for item in shown["items"]] == [str(till.place.coffee), str(till.place.cake), "tip"]
    assert sum(D(str(item["unit_price"])) * item["quantity"] for item in shown["items"]) == order.total == D("4800.75")
    assert (shown["binary_mode"], shown["expires"], "shipments" in shown) == (False, True, False)
    assert shown["payer"] == {"email": "ana@guests.test", "name": "Ana", "surname": "de la Peña"}
    assert shown["external_reference"].startswith("cmd-")
    assert shown["notification_url"].endswith(f"/webhooks/mp/{till.seller.webhook_key}?source_news=webhooks")
    assert shown["statement_descriptor"] == "CAFE LUNA"


def test_a_line_that_is_free_or_only_the_rest_makes_one_item(till: Till) -> None:
    with tenant_scope(till.place.ref):
        gift = Product.objects.create(category=Category.objects.all()[0], name="Regalo", price="0.00").pk
    order = order_of(till, (till.place.coffee, 1), (gift, 1))
    assert [(item["id"], item["unit_price"]) for item in preference(till, till.checkout(order))["items"]] == [
        (f"order-{order.number}", 1000)
    ]
    partly = till.order(quantity=2)
    short = till.pay(till.checkout(partly), amount=500)
    till.told(short)
    with tenant_scope(till.place.ref):
        accept_charge(cafeteria_uuid=till.uuid, charge_id=till.charge(short).pk, actor=BOSS)
    rest = till.checkout(partly, amount=D(1500))
    assert [(item["title"], item["unit_price"]) for item in preference(till, rest)["items"]] == [(f"Pedido #{partly.number}", 1500)]


def test_long_and_strange_names_are_taken(till: Till) -> None:
    with tenant_scope(till.place.ref):
        Product.objects.filter(pk=till.place.coffee).update(name="Ñ☕" * 60)
    order = order_of(till, (till.place.coffee, 1), name="  " + "x" * 70)
    shown = preference(till, till.checkout(order))
    assert shown["items"][0]["title"] == "Ñ☕" * 60
    assert len(shown["payer"]["name"]) == 70


@pytest.mark.parametrize(("currency", "site"), [("CLP", "MLC"), ("COP", "MCO")])
def test_whole_currencies_never_have_a_decimal_on_the_wire(
    world: World, emulator: Emulator, settings: Any, currency: str, site: str
) -> None:
    settings.PLATFORM_FEE_PERCENT = D("2.5")
    till, product = opened_in(world, emulator, currency, site, "1990")
    order = order_of(till, (product, 3), tip="10")
    payment = till.checkout(order)
    shown = preference(till, payment)
    numbers = [item["unit_price"] for item in shown["items"]] + [shown["marketplace_fee"]]
    assert numbers == [1990, 10, 150]  # 2.5 % of 5980 is 149.5: halves go up
    assert {type(number) for number in numbers} == {int}
    mp_id = till.pay(payment)
    till.told(mp_id)
    assert till.now(order).payment_status == "paid"
    with pytest.raises(InexactAmount):
        till.refund(payment, D("0.5"))
    till.refund(payment, 90)
    till.send_refunds()
    assert till.theirs(mp_id)["refunds"][0]["amount"] == 90
    assert till.now(order).refunded == D(90)


@pytest.mark.parametrize(("percent", "fee"), [("0", None), ("2.5", 25), ("0.333", 3.33)])
def test_the_platforms_fee_goes_with_it(till: Till, settings: Any, percent: str, fee: float | None) -> None:
    settings.PLATFORM_FEE_PERCENT = D(percent)
    order = till.order()
    payment = till.checkout(order)
    assert preference(till, payment).get("marketplace_fee") == fee
    till.told(till.pay(payment))
    theirs = D("62.90") + D(str(fee or 0))
    assert (till.charges(payment)[0].fee, till.charges(payment)[0].net) == (theirs, D(1000) - theirs)


def test_a_fee_that_would_be_all_of_it_is_not_taken(world: World, emulator: Emulator, settings: Any) -> None:
    settings.PLATFORM_FEE_PERCENT = D(60)
    till, product = opened_in(world, emulator, "CLP", "MLC", "1")
    payment = till.checkout(order_of(till, (product, 1)))
    assert (payment.platform_fee, payment.preference_id != "") == (D(0), True)


# --- Beginning ---------------------------------------------------------------------------------------------------------------


def test_an_open_payment_is_used_again_as_long_as_there_is_time(till: Till) -> None:
    order = till.order()
    first = till.checkout(order)
    assert till.checkout(order).pk == first.pk
    Payment.objects.filter(pk=first.pk).update(expires_at=timezone.now() + timedelta(minutes=2))
    second = till.checkout(order)
    assert second.pk != first.pk
    assert (second.reference != first.reference, second.preference_id != first.preference_id) == (True, True)


def test_what_cannot_begin(till: Till) -> None:
    order = till.order()
    for amount, error in ((D("0.001"), InexactAmount), (D("NaN"), InexactAmount), (D(999), AmountNotDue), (D(-1000), AmountNotDue)):
        with pytest.raises(error):
            begin(till, order, amount=amount)
    till.take(order)
    with pytest.raises(NothingDue):
        begin(till, order)
    with pytest.raises(NothingDue):
        till.take(order)
    with tenant_scope(till.place.ref), pytest.raises(ValueError, match="counter"):
        till.take(till.order(), "mercadopago")


def test_the_locked_order_decides_not_what_was_read_of_it(till: Till) -> None:
    """Cancelled or erased by somebody else since the page was read."""
    order = till.order()
    old = facts(till, order)
    till.cancel(order)
    with pytest.raises(OrderIsCancelled):
        begin(till, order, facts=old)
    gone = till.order()
    old = facts(till, gone)
    with tenant_scope(till.place.ref):
        Order.objects.filter(pk=gone.pk).delete()
    with pytest.raises(OrderIsCancelled):
        begin(till, gone, facts=old)
    assert Payment.objects.count() == 0


def test_a_free_order_is_paid_and_waits_for_nothing(till: Till) -> None:
    with tenant_scope(till.place.ref):
        Product.objects.filter(pk=till.place.coffee).update(price="0.00")
    order = till.order(waits=True)
    assert (order.total, order.payment_status, order.pay_by) == (D(0), "paid", None)
    with pytest.raises(NothingDue):
        begin(till, order)
    with pytest.raises(NothingDue):
        till.take(order)
    till.cancel(order)
    assert (till.now(order).status, till.entries(order)) == ("cancelled", [])


@pytest.mark.parametrize("change", ["needs_reconnect", "disconnected", "expired", "currency"])
def test_without_a_usable_account_nothing_begins(till: Till, change: str) -> None:
    order = till.order()
    if change == "expired":
        till.seller.expires_at = timezone.now() - timedelta(seconds=1)
    elif change == "currency":
        till.seller.currency = "BRL"
    else:
        till.seller.status = change
    till.seller.save()
    with pytest.raises(NotConnected):
        begin(till, order)


def test_the_same_request_gets_the_same_payment(till: Till) -> None:
    order = till.order()
    first = begin(till, order, caller="guest", key="k", fingerprint="f")
    assert begin(till, order, caller="guest", key="k", fingerprint="f").pk == first.pk
    with pytest.raises(IdempotencyConflict):
        begin(till, order, caller="guest", key="k", fingerprint="g")
    assert begin(till, till.order(), caller="another", key="k", fingerprint="g").pk != first.pk


def test_the_same_request_at_the_counter_takes_it_once(till: Till) -> None:
    order = till.order()
    key = RequestKey(caller="person:1", key="k", fingerprint="f")
    with tenant_scope(till.place.ref):
        known = facts_of(order_by_secret(order.secret))
        taken = [take_at_counter(cafeteria_uuid=till.uuid, order=known, method="cash", actor=BOSS, request=key) for _ in range(2)]
    assert taken[0].pk == taken[1].pk
    assert till.entries(order) == [("payment", D(1000))]


def test_a_payment_is_found_in_its_cafeteria_alone(till: Till, world: World) -> None:
    payment = till.checkout(till.order())
    assert payment_of(till.uuid, str(payment.pk)).pk == payment.pk
    for cafeteria, named in ((world.b.ref.uuid, str(payment.pk)), (till.uuid, str(uuid4())), (till.uuid, "7"), (till.uuid, "")):
        with pytest.raises(PaymentNotFound):
            payment_of(cafeteria, named)


# --- Opening -----------------------------------------------------------------------------------------------------------------


def made(till: Till) -> list[str]:
    return [entry["idempotency_key"] for entry in till.emulator.entries("request", method="POST", path="/checkout/preferences")]


def test_opened_once_also_after_a_kill(till: Till) -> None:
    payment = begin(till, till.order())
    till.emulator.fault("commit_then_timeout", 1, match={"path": "preferences"}, seconds=11.0)
    Payment.objects.filter(pk=payment.pk).update(next_check_at=None)
    gate = gateway(till.seller.access_token, attempts=1, timeout=0.3)
    with pytest.raises(GatewayUnavailable):
        gate.create_checkout(_checkout_request(payment, till.seller.webhook_key), key=f"open-{payment.pk}")
    opened = open_checkout(payment_id=payment.pk)
    assert open_checkout(payment_id=payment.pk).init_point == opened.init_point != ""
    assert made(till) == [f"open-{payment.pk}"] * 2
    assert till.emulator.control("GET", "/_emu/state")["counts"]["preference"] == 1


def test_a_refused_token_is_noted(till: Till) -> None:
    payment = begin(till, till.order())
    till.emulator.control("POST", f"/_emu/sellers/{till.seller.mp_user_id}/deauthorize")
    with pytest.raises(TokenRefused):
        open_checkout(payment_id=payment.pk)
    till.seller.refresh_from_db()
    assert till.seller.status == "needs_reconnect"
    till.seller.delete()
    with pytest.raises(NotConnected):
        open_checkout(payment_id=payment.pk)


def test_closed_before_it_was_opened_or_while(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = begin(till, till.order())
    order = till.order()
    during = begin(till, order)
    Payment.objects.filter(pk=payment.pk).update(closed_at=timezone.now())
    with pytest.raises(CheckoutIsOver):
        open_checkout(payment_id=payment.pk)

    class Slow:
        def __init__(self, token: str, **options: Any) -> None:
            self.real = gateway(token, **options)

        def create_checkout(self, request: Any, *, key: str) -> Any:
            found = self.real.create_checkout(request, key=key)
            till.cancel(order)  # by somebody else, meanwhile
            return found

        def close_checkout(self, preference_id: str) -> None:
            self.real.close_checkout(preference_id)

    monkeypatch.setattr("payments.ledger.actions.gateway", Slow)
    with pytest.raises(CheckoutIsOver):
        open_checkout(payment_id=during.pk)
    during.refresh_from_db()
    assert (during.preference_id != "", during.preference_closed_at is not None) == (True, True)
    assert not till.emulator.request("POST", "/_emu/payments", {"preference_id": during.preference_id, "outcome": "approved"}).ok


# --- Closing -----------------------------------------------------------------------------------------------------------------


def test_paid_at_the_counter_closes_the_checkout_and_money_that_comes_all_the_same_goes_back(till: Till) -> None:
    order = till.order(waits=True)
    payment = till.checkout(order)
    till.told(till.pay(payment, "in_process"))
    by_card = till.take(order, "card")
    assert (by_card.method, by_card.status, till.now(order).payment_status, till.now(order).pay_by) == ("card", "paid", "paid", None)
    [job] = Job.objects.filter(kind="payments.ledger.jobs.close_checkout")
    assert job.arguments == {"payment_id": str(payment.pk)}
    assert close_job(None, payment_id=str(payment.pk)) is None  # type: ignore[arg-type]
    [undecided] = till.charges(payment)
    assert till.theirs(undecided.mp_id)["status"] == "cancelled"
    assert not till.emulator.request("POST", "/_emu/payments", {"preference_id": payment.preference_id, "outcome": "approved"}).ok
    late = till.pay(payment, force=True)
    till.told(late)
    till.send_refunds()
    assert (till.refunded(late), till.now(order).payment_status, till.now(order).paid) == (1000, "paid", D(1000))
    assert till.entries(order) == [("payment", D(1000)), ("payment", D(1000)), ("refund", D(-1000))]


def test_closing_twice_asks_once_and_what_fails_comes_again(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    till.told(till.pay(payment, "in_process"))
    till.cancel(order)
    till.emulator.fault("status_500", 1, match={"method": "PUT", "path": "v1/payments"})
    with pytest.raises(GatewayUnavailable):
        close_checkout(payment_id=payment.pk, attempts=1)
    payment.refresh_from_db()
    assert (payment.preference_closed_at is not None, is_left_open(payment)) == (True, True)
    till.look()  # reconciliation sees that something is left open
    [charge] = till.charges(payment)
    assert till.theirs(charge.mp_id)["status"] == "cancelled"
    till.look()
    payment.refresh_from_db()
    assert (is_left_open(payment), till.charges(payment)[0].status) == (False, "cancelled")
    puts = len(till.emulator.entries("request", method="PUT"))
    close_checkout(payment_id=payment.pk)
    assert len(till.emulator.entries("request", method="PUT")) == puts


def test_a_checkout_whose_job_never_ran_is_closed_by_reconciliation(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    till.cancel(order)
    till.emulator.fault("status_500", 1, match={"method": "PUT"})
    assert till.look().failed == 1
    assert till.look().checked == 1
    payment.refresh_from_db()
    assert payment.preference_closed_at is not None


def test_closing_with_a_refused_token_or_without_an_account(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    till.cancel(order)
    till.emulator.control("POST", f"/_emu/sellers/{till.seller.mp_user_id}/deauthorize")
    with pytest.raises(TokenRefused):
        close_checkout(payment_id=payment.pk)
    till.seller.refresh_from_db()
    assert till.seller.status == "needs_reconnect"
    till.seller.delete()
    close_checkout(payment_id=payment.pk)
    assert expire_payment(payment_id=payment.pk) is False


def test_mercado_pago_may_refuse_a_checkout(till: Till) -> None:
    payment = begin(till, till.order())
    Payment.objects.filter(pk=payment.pk).update(return_url="ftp://nowhere")
    with pytest.raises(GatewayRefused):
        open_checkout(payment_id=payment.pk)
    assert Payment.objects.get(pk=payment.pk).preference_id == ""
