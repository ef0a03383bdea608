"""People at work: by keyboard alone, by phone, without JavaScript, without a connection."""

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import DESK, Site


def tab_to(page: Page, wanted: str, most: int = 60) -> None:
    """Presses Tab until the focus is on what matches."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("(wanted) => document.activeElement.matches(wanted)", wanted):
            return
    raise AssertionError(f"Tab never came to {wanted}.")


def test_an_order_is_completed_by_keyboard_alone(site: Site) -> None:
    page = site.visitor(size=DESK)
    page.goto("/")
    tab_to(page, f'.product-name[href="/p/{site.place.latte}"]')
    page.keyboard.press("Enter")
    expect(page.locator("#sheet[open]")).to_be_visible()
    expect(page.locator("#sheet-title")).to_be_focused()
    expect(page).to_have_url(f"{site.address}/p/{site.place.latte}")
    tab_to(page, "input[type=radio]")
    page.keyboard.press("ArrowDown")
    expect(page.locator("[data-amount]")).to_have_text("$\N{NO-BREAK SPACE}1.750")
    tab_to(page, "#sheet .buy [type=submit]")
    page.keyboard.press("Enter")
    expect(page.locator("#cart-bar .money")).to_have_text("$\N{NO-BREAK SPACE}1.750")
    expect(page.locator("#sheet")).not_to_be_visible()
    expect(page).to_have_url(f"{site.address}/")
    tab_to(page, "#cart-bar a")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site.address}/cart")
    tab_to(page, "#more-0")
    page.keyboard.press("Enter")
    expect(page.locator("#q0")).to_have_value("2")
    expect(page.locator("#more-0")).to_be_focused()
    tab_to(page, "#name")
    page.keyboard.type("Ana")
    page.keyboard.press("Enter")  # In a field it counts again, and never orders by accident.
    expect(page).to_have_url(f"{site.address}/cart")
    expect(page.locator("#name")).to_have_value("Ana")
    tab_to(page, "#summary button.button-large")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/o/\S+$"))
    expect(page.locator(".track-number span")).to_have_text("1")


def add(page: Page, product: int) -> None:
    page.click(f'.product-name[href="/p/{product}"]')
    page.click("#sheet .buy [type=submit]")
    expect(page.locator("#sheet")).not_to_be_visible()
    page.wait_for_url(lambda url: "/p/" not in url)  # The sheet goes one step back in the history.


def place(page: Page, name: str) -> None:
    page.click("#cart-bar a")
    page.fill("#name", name)
    page.click("#summary button.button-large")
    expect(page).to_have_url(re.compile(r"/o/\S+$"))


def test_a_guests_order_travels_from_the_phone_to_the_kitchen_and_back(site: Site) -> None:
    kitchen = site.staff(size=DESK)
    kitchen.goto("/staff/")
    phone = site.visitor()
    phone.goto("/")
    add(phone, site.place.cake)
    add(phone, site.place.latte)
    place(phone, "Ana")
    card = kitchen.locator(".board-new .order")
    expect(card).to_contain_text("Ana")
    expect(card).to_contain_text("Chico")
    kitchen.click(".board-new [data-next]")
    expect(phone.locator("h1 + p")).to_have_text("Aceptado: ya está en la fila")
    kitchen.click(".board-work [data-next]")
    expect(phone.locator("h1 + p")).to_have_text("Se está preparando")
    expect(phone.locator("#said")).to_have_text("Se está preparando")


def test_ready_waits_five_seconds_in_which_it_can_be_undone(site: Site) -> None:
    phone = site.visitor()
    phone.goto("/")
    add(phone, site.place.coffee)
    place(phone, "Ana")
    kitchen = site.staff(size=DESK)
    kitchen.goto("/staff/")
    for column in ("new", "work"):
        kitchen.click(f".board-{column} [data-next]")
        expect(kitchen.locator(".board-work .order")).to_be_visible()
    step = kitchen.locator('.board-work [data-hold$=":ready"] [data-next]')
    step.click()
    expect(step).to_contain_text("Deshacer")
    step.click()
    expect(step).to_contain_text("Listo")
    kitchen.wait_for_timeout(5_500)
    expect(kitchen.locator(".board-ready .order")).to_have_count(0)
    step.click()
    expect(kitchen.locator(".board-ready .order")).to_have_count(1, timeout=9_000)
    expect(phone.locator("h1 + p")).to_have_text("¡Está listo!")


def test_a_tap_survives_leaving_the_board(site: Site) -> None:
    phone = site.visitor()
    phone.goto("/")
    add(phone, site.place.coffee)
    place(phone, "Ana")
    kitchen = site.staff(size=DESK)
    kitchen.goto("/staff/")
    kitchen.click(".board-new [data-next]")
    kitchen.click(".board-work [data-next]")
    expect(kitchen.locator('[data-hold$=":ready"]')).to_be_visible()
    kitchen.click('[data-hold$=":ready"] [data-next]')
    kitchen.goto("/staff/menu")
    kitchen.goto("/staff/")
    expect(kitchen.locator(".board-ready .order")).to_have_count(1)


def test_without_javascript_an_order_is_placed_followed_and_handed_over(site: Site) -> None:
    guest = site.visitor(java_script_enabled=False)
    guest.goto("/")
    guest.fill("#search", "latte")
    guest.press("#search", "Enter")
    guest.click(f'.product-name[href="/p/{site.place.latte}"]')
    guest.get_by_label("Grande").check()
    guest.click(".buy [type=submit]")
    guest.click("#cart-bar a")
    guest.fill("#name", "Ana")
    guest.click("#more-0")
    expect(guest.locator("#q0")).to_have_value("2")
    expect(guest.locator("#name")).to_have_value("Ana")
    guest.locator("label", has=guest.locator("#tip-10")).click()
    guest.get_by_role("button", name="Volver a calcular el total").click()
    expect(guest.locator(".line-total .money")).to_have_text("$\N{NO-BREAK SPACE}3.850")
    guest.click("#summary button.button-large")
    expect(guest.locator(".track-number span")).to_have_text("1")
    kitchen = site.staff(java_script_enabled=False)
    for _ in range(4):
        kitchen.goto("/staff/")
        kitchen.click("[data-next]")
    kitchen.get_by_role("button", name="Entregar sin cobrar").click()
    expect(kitchen.locator(".order")).to_have_count(0)
    guest.get_by_role("link", name="Ver cómo va").click()
    expect(guest.locator("h1 + p")).to_have_text("¡Buen provecho!")


def test_a_lost_connection_is_said_and_caught_up_with(site: Site) -> None:
    phone = site.visitor()
    phone.goto("/")
    add(phone, site.place.coffee)
    place(phone, "Ana")
    order = phone.locator("#order")
    phone.context.set_offline(True)
    expect(order).to_have_attribute("data-connection", "lost", timeout=25_000)
    kitchen = site.staff(size=DESK)
    kitchen.goto("/staff/")
    kitchen.click("[data-next]")
    expect(kitchen.locator(".board-work .order")).to_be_visible()
    phone.context.set_offline(False)
    expect(phone.locator("h1 + p")).to_have_text("Aceptado: ya está en la fila", timeout=40_000)
    expect(order).not_to_have_attribute("data-connection", "lost")


def test_the_back_button_closes_the_sheet(site: Site) -> None:
    page = site.visitor()
    page.goto("/")
    page.click(f'.product-name[href="/p/{site.place.cake}"]')
    expect(page.locator("#sheet[open]")).to_be_visible()
    page.go_back()
    expect(page.locator("#sheet")).not_to_be_visible()
    expect(page).to_have_url(f"{site.address}/")


def test_a_refused_choice_is_said_in_the_sheet(site: Site) -> None:
    page = site.visitor()
    page.goto("/")
    page.click(f'.product-name[href="/p/{site.place.latte}"]')
    expect(page.locator("#sheet[open]")).to_be_visible()
    page.evaluate("document.querySelectorAll('#sheet input[type=radio]').forEach((input) => { input.checked = false; })")
    page.click("#sheet .buy [type=submit]")
    expect(page.locator("#sheet .error")).to_have_text("Hay que elegir una opción.")
    page.locator("#sheet input[type=radio]").first.check()
    page.click("#sheet .buy [type=submit]")
    expect(page.locator("#cart-bar .count")).to_have_text("1")


def test_the_search_hides_what_does_not_match(site: Site) -> None:
    page = site.visitor()
    page.goto("/")
    page.fill("#search", "TÓRTA")
    expect(page.locator(".product:visible")).to_have_count(1)
    page.fill("#search", "zzz")
    expect(page.locator("[data-none]")).to_be_visible()


def test_on_a_phone_the_board_shows_one_column_and_keys_walk_the_orders(site: Site) -> None:
    guest = site.visitor()
    for name in ("Ana", "Luz"):
        guest.goto("/")
        add(guest, site.place.coffee)
        place(guest, name)
    kitchen = site.staff()
    kitchen.goto("/staff/")
    expect(kitchen.locator(".board-new .order")).to_have_count(2)
    expect(kitchen.locator(".board-work")).not_to_be_visible()
    kitchen.keyboard.press("j")
    kitchen.keyboard.press("j")
    expect(kitchen.locator("[data-next]").nth(1)).to_be_focused()
    kitchen.keyboard.press("Enter")
    expect(kitchen.locator(".board-new .order")).to_have_count(1)
    kitchen.click('[data-tab-to="work"]')
    expect(kitchen.locator(".board-work .order")).to_contain_text("Luz")
    expect(kitchen.locator(".board-new")).not_to_be_visible()


def test_a_row_of_the_menu_is_saved_in_place(site: Site) -> None:
    manager = site.staff("manager", size=DESK)
    manager.goto("/staff/menu")
    row = manager.locator(f"#product-{site.place.coffee}")
    row.locator("[name=price]").fill("1300")
    row.get_by_role("button", name="Guardar").click()
    expect(row.get_by_role("button", name="Guardado")).to_be_visible()
    row.get_by_role("button", name="Marcar agotado").click()
    expect(row.locator(".badge")).to_have_text("Agotado")
    guest = site.visitor()
    guest.goto("/")
    expect(guest.locator(".product-gone .price")).to_have_text("$\N{NO-BREAK SPACE}1.300")
