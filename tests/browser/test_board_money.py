"""The staff with the customers' money in its hands: cash and its change, what waits, what goes back."""

import re
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pytest_django.fixtures import Settings

from payments.ledger.models import Payment
from tests.browser.conftest import DESK, PHONE, Site
from tests.browser.test_journeys import tab_to
from tests.browser.test_payments import SLOW, till
from tests.browser.test_quality import LOOKS, Findings
from tests.payments.till import Till
from tests.shop.kitchen.test_board_money import bring

__all__ = ["till"]
NBSP = "\N{NO-BREAK SPACE}"


def at_the_board(site: Site, role: str = "cashier", **options: Any) -> Page:
    page = site.staff(role, **({"size": DESK} | options))
    page.goto("/staff/")
    return page


def test_a_paid_order_is_opened_partly_refunded_and_cancelled(site: Site, till: Till, settings: Settings) -> None:
    settings.PUBLIC_PORT = site.port  # where Mercado Pago is to send its notifications
    order = till.order(quantity=2, waits=True)
    board = at_the_board(site, "manager")
    expect(board.locator("#waiting > summary")).to_contain_text("Esperando el pago 1")
    expect(board.locator(".board-new .order")).to_have_count(0)
    mp_id = till.pay(till.checkout(order))
    card = board.locator(".board-new .order")
    expect(card).to_contain_text("pagado · Mercado Pago", timeout=SLOW)
    expect(board.locator("#said")).to_contain_text(f"Pedido {order.number}")
    expect(board.locator("#waiting")).to_have_count(0)
    card.locator(".order-number a").click()
    expect(board).to_have_url(f"{site.address}/staff/orders/{order.pk}")
    expect(board.locator(".mp-id")).to_have_text(mp_id)
    board.get_by_role("link", name="Devolver dinero").click()
    sheet = board.locator("#sheet")
    sheet.get_by_label("Una parte").check()
    sheet.get_by_label("Importe").fill("2000.01")
    sheet.get_by_role("button", name="Seguir").click()
    expect(sheet.locator(".error")).to_contain_text(f"${NBSP}2.000 como máximo")
    sheet.get_by_label("Importe").fill("500")
    sheet.get_by_role("button", name="Seguir").click()
    sheet.get_by_role("button", name=f"Sí, devolver ${NBSP}500").click()
    expect(board.locator(".toast")).to_contain_text(f"Se devolvieron ${NBSP}500")
    expect(board.locator("#order-title + .badge + .badge")).to_have_text("reembolsado en parte · Mercado Pago")
    assert till.theirs(mp_id)["transaction_amount_refunded"] == 500
    board.get_by_role("link", name="Cancelar el pedido").click()
    expect(sheet).to_contain_text(f"${NBSP}1.500 se devuelven solos por Mercado Pago.")
    sheet.get_by_role("button", name="Sí, cancelar").click()
    expect(board.locator("#order-title + .badge")).to_have_text("cancelado")
    expect(board.locator("#order-title + .badge + .badge")).to_have_text("reembolsado · Mercado Pago", timeout=SLOW)
    assert till.theirs(mp_id)["transaction_amount_refunded"] == 2000
    assert till.now(order).paid == Decimal(0)


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_cash_is_taken_with_its_change_and_the_order_handed_over(site: Site, till: Till, size: dict[str, int]) -> None:
    order = bring(till, till.order(), "confirmed", "preparing", "ready")
    board = at_the_board(site, size=size)
    if size == PHONE:
        board.click('[data-tab-to="ready"]')
    board.click(f"#step-{order.pk}")
    sheet = board.locator("#sheet")
    expect(sheet).to_contain_text("Sin pagar")
    sheet.get_by_role("link", name="Cobrar").click()
    sheet.get_by_role("button", name=f"${NBSP}2.000", exact=True).click()
    expect(sheet.locator(".take-change")).to_have_text(f"Vuelto ${NBSP}1.000")
    sheet.get_by_label("Otro monto").fill("900")
    expect(sheet.locator(".take-change")).to_have_text(f"Faltan ${NBSP}100")
    sheet.get_by_role("button", name="Cobrado en efectivo").click()
    expect(sheet.locator(".error")).to_contain_text(f"faltan ${NBSP}100")
    sheet.get_by_label("Otro monto").fill("1500.50")
    expect(sheet.locator(".take-change")).to_have_text(f"Vuelto ${NBSP}500,50")
    sheet.get_by_role("button", name="Cobrado en efectivo").click()
    expect(sheet.locator(".take-due")).to_have_text(re.compile(rf"Dar de vuelto\s*\${NBSP}500,50"))
    expect(board.locator(f"#order-{order.pk} .badge")).to_have_text("pagado · efectivo")
    sheet.get_by_role("button", name="Entregar").click()
    expect(sheet).not_to_be_visible()
    expect(board.locator(f"#order-{order.pk}")).to_have_count(0)
    assert till.now(order).status == "completed"
    assert till.entries(order) == [("payment", Decimal("1000.00"))]


# Faster than any hand, the next key would meet a form that htmx has put there and not taken up yet: it is then sent as a whole page.
SETTLED = """window.settled = new Promise((done) => document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.id === "sheet-content") done(true);
}))"""


def test_money_is_taken_by_keyboard_alone(site: Site, till: Till) -> None:
    order = till.order()
    board = at_the_board(site)
    tab_to(board, f"#pay-{order.pk}")
    board.keyboard.press("Enter")
    expect(board.locator("#sheet-title")).to_be_focused()
    tab_to(board, "[name=given]")
    board.keyboard.type("1200")
    board.evaluate(f"() => {{ {SETTLED} }}")
    board.keyboard.press("Enter")  # In the field it counts, and never takes money by accident.
    board.evaluate("window.settled")
    expect(board.locator("#sheet .take-change")).to_have_text(f"Vuelto ${NBSP}200")
    assert till.entries(order) == []
    tab_to(board, "[name=do][value=cash]")
    board.keyboard.press("Enter")
    done = board.locator("#sheet").get_by_role("link", name="Listo")
    expect(done).to_be_focused()
    board.keyboard.press("Enter")
    expect(board.locator("#sheet")).not_to_be_visible()
    expect(board).to_have_url(f"{site.address}/staff/")
    expect(board.locator(f"#order-{order.pk} .badge")).to_have_text("pagado · efectivo")


def test_what_waits_is_taken_anyway(site: Site, till: Till) -> None:
    order = till.order(waits=True)
    board = at_the_board(site, "kitchen")
    board.click("#waiting > summary")
    expect(board.locator("[data-until]")).to_have_text(re.compile("^(30|29) min$"))
    board.click(f"#take-{order.pk} > summary")
    board.get_by_role("button", name=f"Sí, tomar el pedido {order.number}").click()
    expect(board.locator(".board-work .order")).to_contain_text("por pagar")
    expect(board.locator("#waiting")).to_have_count(0)


def test_without_javascript_cash_is_taken_and_given_back(site: Site, till: Till) -> None:
    order = till.order()
    board = at_the_board(site, "manager", java_script_enabled=False)
    board.click(f"#pay-{order.pk}")
    board.get_by_role("button", name=f"${NBSP}2.000", exact=True).click()
    expect(board.locator(".take-change")).to_have_text(f"Vuelto ${NBSP}1.000")
    board.get_by_role("button", name="Cobrado en efectivo").click()
    expect(board.locator(".take-due")).to_have_text(re.compile("Dar de vuelto"))
    board.get_by_role("link", name="Listo").click()
    expect(board).to_have_url(f"{site.address}/staff/")
    board.get_by_role("link", name="Buscar un pedido").click()
    board.get_by_label("Número, nombre").fill(f"#{order.number}")
    board.get_by_role("button", name="Buscar").click()
    board.locator(".found a").click()
    board.get_by_role("link", name="Devolver dinero").click()
    board.get_by_label("Una parte").check()
    board.get_by_label("Importe").fill("300")
    board.get_by_role("button", name="Seguir").click()
    board.get_by_role("button", name=f"Sí, devolver ${NBSP}300").click()
    expect(board.locator(".toast")).to_contain_text(f"Devolvé ${NBSP}300 de la caja.")
    assert till.entries(order) == [("payment", Decimal("1000.00")), ("refund", Decimal("-300.00"))]


@LOOKS
def test_axe_finds_nothing_and_nothing_jumps_where_the_staff_handles_money(site: Site, till: Till, look: dict[str, Any]) -> None:
    till.emulator.settings(webhooks="manual")
    paid = till.order(quantity=2)
    till.told(till.pay(till.checkout(paid)))
    ready = bring(till, till.order(), "confirmed", "preparing", "ready")
    till.order(waits=True)
    payment = Payment.objects.get(order_key=paid.secret)
    staff = site.staff("manager", **look)
    findings, too_wide = Findings(staff), []
    step, take = f"/staff/orders/{ready.pk}/hand-over", f"/staff/orders/{ready.pk}/take"
    about = f"/staff/orders/{paid.pk}"
    for address in (
        "/staff/",
        about,
        "/staff/orders",
        "/staff/orders?q=nobody",
        step,
        take,
        f"{about}/cancel",
        f"{about}/refund/{payment.pk}",
    ):
        staff.goto(address)
        findings.look(address, staff)
        if staff.evaluate("document.documentElement.scrollWidth > innerWidth"):
            too_wide.append(address)
    staff.goto("/staff/")
    staff.click("#waiting > summary")
    staff.locator("#waiting .order summary").first.click()
    findings.look("waiting", staff)
    staff.goto(about)
    staff.click("#movements > summary")
    findings.look("movements", staff)
    if staff.evaluate("document.documentElement.scrollWidth > innerWidth"):
        too_wide.append("movements")
    staff.goto("/staff/")
    staff.evaluate(f"document.getElementById('pay-{ready.pk}').click()")
    expect(staff.locator("#sheet[open]")).to_be_visible()
    staff.wait_for_timeout(300)  # until it has risen
    findings.look("sheet", staff)
    assert (findings.found, too_wide) == ({}, [])
