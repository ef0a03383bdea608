"""Customers who pay, on their phones: the shop's pages and Mercado Pago's, in one browser, with the notifications and jobs in between."""

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.fixtures import Settings

from core.alerts.models import Alert
from core.jobs.models import Job
from payments.inbox.models import Notification
from payments.ledger.models import Charge, LedgerEntry, Payment, Refund
from payments.sellers.models import Seller
from shop.orders.models import Order
from tenants.scope import tenant_scope
from tests.browser.conftest import Site
from tests.browser.test_quality import LOOKS, Findings
from tests.emulator.process import Emulator
from tests.payments.application import point_to
from tests.payments.till import Till, open_till

SLOW = 25_000  # ms: a notification, a job, and the next poll
PAID = "Pagado: la cafetería ya tiene tu pedido"
CONFIRMING = "Estamos confirmando tu pago"
PRICE = Decimal(1000)
PESOS = "$\N{NO-BREAK SPACE}1.000"


@pytest.fixture
def till(site: Site, mercadopago: Emulator, worker: None, settings: Settings) -> Iterator[Till]:
    """The cafeteria takes Mercado Pago, which notifies at once."""
    mercadopago.control("DELETE", "/_emu/all")
    point_to(mercadopago, settings)
    till = open_till(site.place, mercadopago)
    mercadopago.settings(webhooks="auto", **{"return": "webhook_before_redirect"})
    yield till
    mercadopago.control("DELETE", "/_emu/all")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # The ledger lets nobody erase it.
        for model in (LedgerEntry, Refund, Charge, Payment, Notification, Seller, Job, Alert):
            cursor.execute(f"DELETE FROM public.{model._meta.db_table} WHERE cafeteria_uuid = %s", [till.uuid])


def choose(page: Page, product: int) -> None:
    """The product in the cart, and the guest's name in the checkout."""
    page.goto(f"/p/{product}")
    page.click(".buy [type=submit]")
    page.wait_for_url(lambda url: "/p/" not in url)
    page.goto("/cart")
    page.fill("#name", "Ana")


def go_to_mercado_pago(page: Page, till: Till, product: int = 0) -> Order:
    """The order, placed, and the page at Mercado Pago."""
    choose(page, product or till.place.coffee)
    expect(page.locator("#pay-online")).to_be_checked()
    page.get_by_role("button", name="Pedir y pagar").click()
    expect(page).to_have_url(re.compile(r"/checkout/v1/redirect\?pref_id="))
    return the_order(till)


def the_order(till: Till) -> Order:
    with tenant_scope(till.place.ref):
        return Order.objects.get()


def press(page: Page, *testids: str) -> None:
    """Buttons and links of Mercado Pago's page."""
    for testid in testids:
        page.get_by_test_id(testid).click()


def expect_headline(page: Page, words: str) -> None:
    expect(page.locator("h1 + p")).to_have_text(words, timeout=SLOW)


def test_a_guest_pays_and_the_cafeteria_has_the_order(site: Site, till: Till) -> None:
    phone = site.visitor()
    order = go_to_mercado_pago(phone, till)
    assert order.pay_by is not None
    expect(phone.get_by_test_id("seller")).to_have_text("Luna")
    expect(phone.get_by_test_id("total")).to_contain_text("1.000,00")
    press(phone, "pay", "return")
    expect(phone).to_have_url(f"{site.address}/o/{order.secret}?back=1")
    expect_headline(phone, PAID)
    expect(phone.locator(".ticket")).to_contain_text("Pagado con Mercado Pago")
    order = the_order(till)
    assert (order.payment_status, order.paid, order.pay_by) == ("paid", PRICE, None)


def test_a_rejected_card_can_be_tried_again(site: Site, till: Till) -> None:
    phone = site.visitor()
    order = go_to_mercado_pago(phone, till)
    press(phone, "reject", "return")
    expect_headline(phone, "El pago no se hizo")
    expect(phone.locator(".track-pay")).to_contain_text("No se cobró nada")
    phone.get_by_role("button", name="Volver a intentar").click()
    press(phone, "pay", "return")
    expect_headline(phone, PAID)
    payment = Payment.objects.get(order_key=order.secret)
    assert [charge.status for charge in till.charges(payment)] == ["rejected", "approved"]
    assert till.entries(order) == [("payment", PRICE)]


def test_an_undecided_payment_is_confirmed_while_the_guest_looks(site: Site, till: Till) -> None:
    phone = site.visitor()
    order = go_to_mercado_pago(phone, till)
    press(phone, "pending", "return")
    expect_headline(phone, CONFIRMING)
    expect(phone.locator(".track-pay")).to_contain_text("todavía está revisando tu pago")
    expect(phone.get_by_role("button", name="Pagar $")).to_have_count(0)
    [charge] = till.charges(Payment.objects.get(order_key=order.secret))
    till.emulator.transition(charge.mp_id, "approved")
    expect_headline(phone, PAID)


def test_whoever_closes_the_tab_finds_the_order_paid(site: Site, till: Till) -> None:
    phone = site.visitor()
    till.emulator.settings(**{"return": "close_tab"})
    order = go_to_mercado_pago(phone, till)
    press(phone, "pay")
    expect(phone.get_by_test_id("message")).to_contain_text("Cerraste la pestaña")
    phone.close()
    later = phone.context.new_page()
    later.goto("/")
    later.get_by_role("link", name=f"Pedido {order.number}").first.click()
    expect_headline(later, PAID)


def test_what_was_paid_twice_goes_back_once(site: Site, till: Till) -> None:
    phone = site.visitor()
    order = go_to_mercado_pago(phone, till)
    press(phone, "pay-twice", "return")
    expect_headline(phone, PAID)
    notice = phone.locator(".notice-good")
    expect(notice).to_contain_text("Pagaste dos veces", timeout=SLOW)
    expect(notice).to_contain_text(f"Te devolvimos {PESOS}")
    assert sorted(till.entries(order)) == [("payment", PRICE), ("payment", PRICE), ("refund", -PRICE)]
    assert Refund.objects.get(cafeteria_uuid=till.uuid).state == "approved"


def test_the_money_of_a_cancelled_order_goes_back(site: Site, till: Till) -> None:
    phone = site.visitor()
    order = go_to_mercado_pago(phone, till)
    press(phone, "pay", "return")
    expect_headline(phone, PAID)
    phone.get_by_text("Cancelar el pedido").click()
    expect(phone.locator("details")).to_contain_text(f"te devolvemos {PESOS}")
    phone.get_by_role("button", name="Sí, cancelarlo").click()
    expect_headline(phone, "Este pedido se canceló")
    expect(phone.locator(".notice-good")).to_contain_text(f"Te devolvimos {PESOS}", timeout=SLOW)
    order = the_order(till)
    assert (order.payment_status, order.paid, order.refunded) == ("refunded", Decimal(0), PRICE)
    assert till.entries(order) == [("payment", PRICE), ("refund", -PRICE)]


def test_the_buyer_comes_back_before_the_notification(site: Site, till: Till) -> None:
    phone = site.visitor()
    till.emulator.settings(**{"return": "redirect_before_webhook", "return_delay": 3600})
    order = go_to_mercado_pago(phone, till)
    press(phone, "pay", "return")
    expect_headline(phone, PAID)
    assert not Notification.objects.filter(cafeteria_uuid=till.uuid).exists()
    till.emulator.flush()
    phone.reload()
    expect_headline(phone, PAID)
    assert till.entries(order) == [("payment", PRICE)]


def test_the_page_waits_for_the_notification_when_mercado_pago_cannot_be_asked(site: Site, till: Till) -> None:
    phone = site.visitor()
    till.emulator.settings(**{"return": "redirect_before_webhook", "return_delay": 3600})
    till.emulator.fault("status_500", match={"path": "/v1/payments/search"})
    order = go_to_mercado_pago(phone, till)
    press(phone, "pay", "return")
    expect_headline(phone, CONFIRMING)
    assert the_order(till).payment_status == "pending"
    till.emulator.flush()
    expect_headline(phone, PAID)
    assert till.entries(order) == [("payment", PRICE)]


def test_a_forged_return_is_not_believed(site: Site, till: Till) -> None:
    phone = site.visitor()
    order = go_to_mercado_pago(phone, till)
    forged = f"/o/{order.secret}/back?collection_status=approved&status=approved&payment_id=1&external_reference=x"
    phone.goto(f"{site.address}{forged}")
    expect(phone).to_have_url(f"{site.address}/o/{order.secret}?back=1")
    expect_headline(phone, CONFIRMING)
    order = the_order(till)
    assert (order.payment_status, order.paid, order.pay_by is None) == ("pending", Decimal(0), False)
    phone.get_by_role("button", name=f"Pagar {PESOS} ahora").click()
    press(phone, "pay", "return")
    expect_headline(phone, PAID)


def test_whoever_turns_back_can_still_pay_or_choose_the_counter(site: Site, till: Till) -> None:
    phone = site.visitor()
    go_to_mercado_pago(phone, till)
    press(phone, "back")
    expect_headline(phone, CONFIRMING)
    phone.get_by_role("button", name="Pagar en el mostrador").click()
    expect_headline(phone, "La cafetería recibió el pedido")
    expect(phone.locator(".ticket .badge")).to_have_text("se paga en el mostrador")
    assert the_order(till).pay_by is None
    phone.get_by_role("button", name="Pagar ahora con Mercado Pago").click()
    press(phone, "pay", "return")
    expect_headline(phone, PAID)


def test_what_is_not_paid_in_time_is_cancelled_and_its_stock_comes_back(site: Site, till: Till) -> None:
    phone = site.visitor()
    order = go_to_mercado_pago(phone, till, till.place.cake)
    phone.goto(f"{site.address}/o/{order.secret}")
    expect_headline(phone, "Esperamos tu pago")
    assert till.stock(till.place.cake) == 19
    Payment.objects.filter(order_key=order.secret).update(expires_at=timezone.now() - timedelta(seconds=1))
    till.look()
    expect_headline(phone, "Cancelado: no se pagó a tiempo")
    expect(phone.locator(".ticket")).to_contain_text("No se cobró nada")
    assert (the_order(till).status, till.stock(till.place.cake)) == ("cancelled", 20)


def test_while_mercado_pago_is_down_the_order_is_kept(site: Site, till: Till) -> None:
    phone = site.visitor()
    till.emulator.fault("status_500", times=None, match={"path": "/checkout/preferences"})
    choose(phone, till.place.coffee)
    phone.get_by_role("button", name="Pedir y pagar").click()
    expect(phone).to_have_url(re.compile(r"/o/[^/]+$"))
    expect_headline(phone, "Esperamos tu pago")
    expect(phone.locator(".track-pay")).to_contain_text("No se pudo abrir Mercado Pago")
    expect(phone.get_by_role("button", name="Pagar en el mostrador")).to_be_visible()
    phone.get_by_role("button", name=f"Pagar {PESOS} ahora").click()
    expect(phone.locator(".toast")).to_contain_text("No se pudo abrir Mercado Pago")
    till.emulator.control("DELETE", "/_emu/faults")
    phone.get_by_role("button", name=f"Pagar {PESOS} ahora").click()
    press(phone, "pay", "return")
    expect_headline(phone, PAID)


def test_without_javascript_an_order_is_paid(site: Site, till: Till) -> None:
    phone = site.visitor(java_script_enabled=False)
    order = go_to_mercado_pago(phone, till)
    press(phone, "pending", "return")
    expect_headline(phone, CONFIRMING)
    [charge] = till.charges(Payment.objects.get(order_key=order.secret))
    till.emulator.transition(charge.mp_id, "approved")
    till.look()
    phone.get_by_role("link", name="Ver cómo va").click()
    expect_headline(phone, PAID)


def test_the_counter_is_chosen_by_keyboard_and_stays_chosen(site: Site, till: Till) -> None:
    phone = site.visitor()
    choose(phone, till.place.coffee)
    phone.focus("#pay-online")
    phone.keyboard.press("ArrowDown")
    expect(phone.get_by_role("radio", name="En el mostrador En efectivo")).to_be_checked()
    phone.get_by_role("button", name="Hacer el pedido").click()
    expect_headline(phone, "La cafetería recibió el pedido")
    assert not Payment.objects.filter(cafeteria_uuid=till.uuid).exists()
    choose(phone, till.place.coffee)
    expect(phone.locator("#pay-counter")).to_be_checked()


@LOOKS
def test_axe_finds_nothing_and_nothing_jumps_where_money_is_shown(site: Site, till: Till, look: dict[str, Any]) -> None:
    guest = site.visitor(**look)
    findings = Findings(guest)
    choose(guest, till.place.coffee)
    findings.look("checkout", guest)
    guest.locator("#summary button.button-large").click()
    expect(guest).to_have_url(re.compile(r"/checkout/v1/redirect\?pref_id="))
    address = f"{site.address}/o/{the_order(till).secret}"
    till.emulator.settings(webhooks="manual")
    for name, steps in (("waiting", ()), ("confirming", ("back",)), ("rejected", ("reject", "return")), ("paid", ("pay", "return"))):
        if steps:
            guest.goto(Payment.objects.get(cafeteria_uuid=till.uuid).init_point)
            Payment.objects.filter(cafeteria_uuid=till.uuid).update(looked_at=None)
            press(guest, *steps)
        else:
            guest.goto(address)
        expect(guest.locator("#order")).to_be_visible()
        findings.look(name, guest)
    guest.locator("details summary").click()
    guest.locator("details button").click()
    findings.look("cancelled", guest)
    assert findings.found == {}


@pytest.mark.parametrize("width", [320, 360])
def test_paying_fits_a_small_phone(site: Site, till: Till, width: int) -> None:
    phone = site.visitor(size={"width": width, "height": 700})
    choose(phone, till.place.cake)
    too_wide = [name for name in ("checkout",) if phone.evaluate("document.documentElement.scrollWidth") > width]
    phone.get_by_role("button", name="Pedir y pagar").click()
    expect(phone).to_have_url(re.compile(r"/checkout/v1/redirect\?pref_id="))
    order = the_order(till)
    for name, steps in (("rejected", ("reject", "return")), ("paid", ("pay", "return"))):
        phone.goto(Payment.objects.get(order_key=order.secret).init_point)
        press(phone, *steps)
        expect(phone.locator("#order")).to_be_visible()
        too_wide += [name] if phone.evaluate("document.documentElement.scrollWidth") > width else []
    assert too_wide == []
