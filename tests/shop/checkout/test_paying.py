"""How an order is paid is chosen with it; order and payment begin together or not at all."""

import re
from decimal import Decimal
from threading import Barrier, Thread
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from core.alerts.models import Alert
from core.vault import new_key
from payments.gateway import transport
from payments.ledger.models import Payment
from payments.sellers.models import Seller
from shop.menu.actions import update_product
from shop.orders.models import Order
from tenants.scope import current_tenant_or_none, tenant_scope
from tests.payments.till import Till
from tests.shop.pages import HTMX, checkout, fill_cart, order_of, visitor
from tests.world import World


def guest_with_a_cart(till: Till, **more: Any) -> Client:
    client = visitor(till.place)
    fill_cart(client, till.place, **more)
    return client


def lose_the_account(till: Till) -> None:
    Seller.objects.filter(cafeteria_uuid=till.uuid).update(status=Seller.Status.NEEDS_RECONNECT)


def test_without_an_account_everything_is_paid_at_the_counter(world: World) -> None:
    client = visitor(world.a)
    fill_cart(client, world.a)
    page = client.get("/cart").content.decode()
    assert 'name="pay"' not in page
    assert "Se paga en el mostrador" in page


def test_mercado_pago_is_offered_first_and_the_choice_is_remembered(till: Till) -> None:
    client = guest_with_a_cart(till)
    page = client.get("/cart").content.decode()
    assert re.search(r'id="pay-online"[^>]*\bchecked', page)
    client.post("/cart/update", {"q0": "1", "pay": "counter"})
    assert re.search(r'id="pay-counter"[^>]*\bchecked', client.get("/cart").content.decode())
    assert checkout(client, pay="counter").status_code == 302
    fill_cart(client, till.place)
    assert re.search(r'id="pay-counter"[^>]*\bchecked', client.get("/cart").content.decode())


def test_where_no_key_opens_the_account_the_counter_alone_is_offered(till: Till, settings: Any) -> None:
    client = guest_with_a_cart(till)
    assert 'id="pay-online"' in client.get("/cart").content.decode()
    settings.VAULT_KEYS = [new_key()]
    page = client.get("/cart").content.decode()
    assert 'name="pay"' not in page
    assert "Se paga en el mostrador" in page
    assert [alert.kind for alert in Alert.objects.filter(resolved_at=None)] == ["vault.keys_unknown"]
    refused = checkout(client, pay="online")  # from a page of before
    assert refused.status_code < 500
    assert not Payment.objects.exists()


@pytest.mark.parametrize("fields", [{"pay": "counter"}, {}], ids=["the counter", "nothing"])
def test_an_order_for_the_counter_waits_for_no_payment(till: Till, fields: dict[str, str]) -> None:
    client = guest_with_a_cart(till)
    assert checkout(client, **fields)["Location"] == f"/o/{order_of(till.place).secret}"
    assert order_of(till.place).pay_by is None
    assert not Payment.objects.filter(cafeteria_uuid=till.uuid).exists()


def test_a_free_order_is_asked_for_no_payment(till: Till) -> None:
    with tenant_scope(till.place.ref):
        update_product(product_id=till.place.coffee, price=Decimal(0))
    client = guest_with_a_cart(till)
    page = client.get("/cart").content.decode()
    assert 'name="pay"' not in page
    assert "Se paga en el mostrador" not in page
    assert checkout(client, pay="online")["Location"] == f"/o/{order_of(till.place).secret}"
    assert order_of(till.place).pay_by is None
    followed = client.get(f"/o/{order_of(till.place).secret}").content.decode()
    assert "mostrador</span>" not in followed


def test_a_tip_makes_a_free_order_one_to_be_paid(till: Till) -> None:
    with tenant_scope(till.place.ref):
        update_product(product_id=till.place.coffee, price=Decimal(0))
    client = guest_with_a_cart(till)
    part = client.post("/cart/update", {"q0": "1", "tip": "other", "tip_other": "100"}, headers=HTMX).content.decode()
    assert 'id="pay-online"' in part


def test_the_staff_orders_for_the_counter(till: Till) -> None:
    client = visitor(till.place, "cashier")
    fill_cart(client, till.place)
    assert 'name="pay"' not in client.get("/cart").content.decode()
    assert checkout(client, pay="online").status_code == 302
    assert not Payment.objects.filter(cafeteria_uuid=till.uuid).exists()


def test_placing_goes_on_to_mercado_pago_with_lines_tip_and_the_way_back(till: Till) -> None:
    client = guest_with_a_cart(till, quantity=2)
    response = checkout(client, pay="online", tip="10", contact="ana@guests.test")
    order, payment = order_of(till.place), Payment.objects.get(cafeteria_uuid=till.uuid)
    assert (response.status_code, response["Location"]) == (303, payment.init_point)
    assert (payment.amount, payment.order_key, order.pay_by) == (Decimal(2200), order.secret, payment.expires_at)
    assert payment.return_url == f"http://{till.place.host}/o/{order.secret}/back"
    [asked] = till.emulator.entries("request", path="/checkout/preferences")
    assert asked["idempotency_key"] == f"open-{payment.pk}"
    assert client.get("/cart").context["cart"].lines == []


def test_the_browser_may_be_sent_to_mercado_pago(till: Till) -> None:
    policy = guest_with_a_cart(till).get("/cart")["Content-Security-Policy"]
    targets = next(part for part in policy.split(";") if part.strip().startswith("form-action"))
    assert set(settings.FORM_TARGETS) <= set(targets.split())


def test_a_customers_payment_bears_their_name(till: Till) -> None:
    client = visitor(till.place, "customer")
    fill_cart(client, till.place)
    assert checkout(client, pay="online", name="").status_code == 303
    payment = Payment.objects.get(cafeteria_uuid=till.uuid)
    assert (payment.person_id, payment.order_copy["payer_email"]) == (till.place.people["customer"], "customer@people.test")


def test_a_double_tap_makes_one_order_and_one_checkout(till: Till) -> None:
    client = guest_with_a_cart(till)
    page = client.get("/cart")
    fields = {"name": "Ana", "where": "pickup", "tip": "0", "pay": "online", "key": page.context["key"], "seen": page.context["seen"]}
    cart = client.cookies["comanda"].value
    first = client.post("/cart/place", fields)
    after = client.cookies["comanda"].value
    client.cookies["comanda"] = cart  # The second tap left before the first answer came.
    second = client.post("/cart/place", fields)
    client.cookies["comanda"] = after
    third = client.post("/cart/place", fields)
    payment = Payment.objects.get(cafeteria_uuid=till.uuid)
    assert {first["Location"], second["Location"], third["Location"]} == {payment.init_point}
    assert order_of(till.place).secret == payment.order_key
    assert len(till.emulator.entries("request", path="/checkout/preferences")) == 1


def test_a_late_second_tap_does_not_make_a_paid_order_wait_again(till: Till) -> None:
    client = guest_with_a_cart(till)
    page = client.get("/cart")
    fields = {"name": "Ana", "where": "pickup", "tip": "0", "pay": "online", "key": page.context["key"], "seen": page.context["seen"]}
    cart = client.cookies["comanda"].value
    client.post("/cart/place", fields)
    till.told(till.pay(Payment.objects.get(cafeteria_uuid=till.uuid)))
    client.cookies["comanda"] = cart
    assert client.post("/cart/place", fields)["Location"] == f"/o/{order_of(till.place).secret}"
    assert (order_of(till.place).payment_status, order_of(till.place).pay_by) == ("paid", None)


def test_when_the_account_stops_in_between_nothing_is_placed_and_the_counter_is_offered(till: Till) -> None:
    client = guest_with_a_cart(till)
    client.get("/cart")
    lose_the_account(till)
    refused = checkout(client, pay="online", notes="Bien caliente")
    page = refused.content.decode()
    assert refused.status_code == 422
    assert "Por ahora esta cafetería no cobra en línea." in page
    assert "Todavía no se pidió nada" in page
    assert "Bien caliente" in page
    assert 'name="pay"' not in page
    with tenant_scope(till.place.ref):
        assert not Order.objects.exists()
    assert not Payment.objects.filter(cafeteria_uuid=till.uuid).exists()
    assert checkout(client, key=refused.context["key"]).status_code == 302


def test_what_is_refused_for_another_reason_keeps_how_it_is_paid(till: Till) -> None:
    client = guest_with_a_cart(till)
    refused = checkout(client, pay="counter", name="")
    assert refused.status_code == 422
    assert re.search(r'id="pay-counter"[^>]*\bchecked', refused.content.decode())


@pytest.mark.parametrize("kind", ["status_500", "connection_reset", "html_502"])
def test_while_mercado_pago_is_down_the_order_is_there_and_waits(till: Till, kind: str) -> None:
    till.emulator.fault(kind, times=None, match={"path": "/checkout/preferences"})
    client = guest_with_a_cart(till)
    response = checkout(client, pay="online")
    order = order_of(till.place)
    assert (response.status_code, response["Location"]) == (302, f"/o/{order.secret}")
    assert order.pay_by is not None
    page = client.get(f"/o/{order.secret}").content.decode()
    assert "No se pudo abrir Mercado Pago" in page
    assert f'action="/o/{order.secret}/pay"' in page
    assert f'action="/o/{order.secret}/counter"' in page


def test_a_connection_that_was_taken_away_leaves_the_counter(till: Till) -> None:
    till.emulator.control("POST", f"/_emu/sellers/{till.seller.mp_user_id}/deauthorize")
    client = guest_with_a_cart(till)
    order_page = checkout(client, pay="online")["Location"]
    page = client.get(order_page).content.decode()
    assert "Esta cafetería no cobra en línea por ahora" in page
    assert "/pay" not in page
    assert "/counter" in page


def test_mercado_pago_is_asked_with_no_scope_open(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    open_scopes: list[object] = []
    ask = transport.Client.request

    def noted(client: transport.Client, *args: Any, **options: Any) -> Any:
        open_scopes.append(current_tenant_or_none())
        return ask(client, *args, **options)

    monkeypatch.setattr(transport.Client, "request", noted)
    client = guest_with_a_cart(till)
    assert checkout(client, pay="online").status_code == 303
    secret = order_of(till.place).secret
    client.post(f"/o/{secret}/pay")
    client.get(f"/o/{secret}/back")
    assert open_scopes == [None] * len(open_scopes)
    assert len(open_scopes) >= 2


def test_taps_at_once_make_one_order_and_one_checkout(committed_till: Till) -> None:
    client = guest_with_a_cart(committed_till)
    page = client.get("/cart")
    fields = {"name": "Ana", "where": "pickup", "tip": "0", "pay": "online", "key": page.context["key"], "seen": page.context["seen"]}
    cookie, together, found = client.cookies["comanda"].value, Barrier(4), []

    def tap() -> None:
        browser = visitor(committed_till.place)
        browser.cookies["comanda"] = cookie
        together.wait()
        found.append(browser.post("/cart/place", fields)["Location"])
        connection.close()

    taps = [Thread(target=tap) for _ in range(4)]
    for thread in taps:
        thread.start()
    for thread in taps:
        thread.join(60)
    payment = Payment.objects.get(cafeteria_uuid=committed_till.uuid)
    assert found == [payment.init_point] * 4
    assert order_of(committed_till.place).secret == payment.order_key
