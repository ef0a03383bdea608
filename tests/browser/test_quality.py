"""What holds on every page: nothing for axe to find, nothing that jumps, little to load, no errors in the console."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from shop.menu.actions import import_menu
from tenants.scope import tenant_scope
from tests.browser.conftest import DESK, PHONE, Site, faults, shifts
from tests.processes import REPOSITORY

MOST_BYTES = 100 * 1024
BAKERY = REPOSITORY / "platform" / "config" / "demo" / "la-espiga.csv"


@pytest.fixture
def bakery(site: Site) -> Site:
    """With the demo bakery's menu, and as many more products as bring it to 94."""
    raw = BAKERY.read_bytes()
    missing = 94 - raw.decode().count("\n") + 1
    more = "".join(
        f"Del día,Especial número {number},Sale del horno a las {number % 12 + 6}.,2{number:02}0,,de la casa,gluten,\n"
        for number in range(missing)
    )
    with tenant_scope(site.place.ref):
        import_menu(raw=raw + more.encode())
    return site


def loaded(page: Page) -> Iterator[int]:
    """The bytes that the browser receives from now on, pictures left out."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    pictures: set[str] = set()
    received: list[int] = []
    session.on("Network.responseReceived", lambda event: pictures.add(event["requestId"]) if event["type"] == "Image" else None)
    session.on(
        "Network.loadingFinished",
        lambda event: received.append(int(event["encodedDataLength"])) if event["requestId"] not in pictures else None,
    )
    while True:
        yield sum(received)


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_the_first_load_of_a_large_menu_is_small_and_stands_still(bakery: Site, size: dict[str, int]) -> None:
    page = bakery.visitor(size=size)
    received = loaded(page)
    next(received)
    page.goto("/", wait_until="networkidle")
    assert page.locator(".product").count() >= 94
    assert 10_000 < next(received) <= MOST_BYTES
    page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
    page.wait_for_timeout(300)
    assert shifts(page) == []


class Findings:
    """What is wrong on the pages that were looked at, by the page's name."""

    def __init__(self, *pages: Page) -> None:
        self.found: dict[str, list[str]] = {}
        for page in pages:
            page.on("console", self.hear)
            page.on("pageerror", lambda error: self.found.setdefault("errors", []).append(str(error)))

    def hear(self, message: ConsoleMessage) -> None:
        # A refused form is an answer of 422, which the browser reports as well.
        if message.type in {"error", "warning"} and "422" not in message.text:
            self.found.setdefault("console", []).append(message.text)

    def look(self, name: str, page: Page) -> None:
        page.wait_for_load_state("networkidle")
        if wrong := faults(page) + shifts(page):
            self.found[name] = wrong


LOOKS = pytest.mark.parametrize(
    "look",
    [
        {"size": PHONE, "color_scheme": "light", "language": "es"},
        {"size": DESK, "color_scheme": "dark", "language": "en"},
    ],
    ids=["phone-light-es", "desk-dark-en"],
)


@LOOKS
def test_axe_finds_nothing_and_nothing_jumps_on_a_guests_pages(site: Site, look: dict[str, Any]) -> None:
    guest = site.visitor(**look)
    findings = Findings(guest)
    for name, address in (("empty cart", "/cart"), ("product", f"/p/{site.place.latte}"), ("menu", "/")):
        guest.goto(address)
        findings.look(name, guest)
    guest.click(f'.product-name[href="/p/{site.place.latte}"]')
    expect(guest.locator("#sheet[open]")).to_be_visible()
    guest.wait_for_timeout(300)  # until it has risen
    findings.look("sheet", guest)
    guest.click("#sheet .buy [type=submit]")
    expect(guest.locator("#sheet")).not_to_be_visible()
    guest.wait_for_url(re.compile(r":\d+/$"))  # The sheet goes one step back in the history, which would end a visit begun before.
    guest.goto("/cart")
    findings.look("cart", guest)
    guest.click("#summary button.button-large")
    expect(guest.locator("#name-error")).to_be_visible()
    expect(guest.locator("#name")).to_be_focused()
    findings.look("refused", guest)
    guest.fill("#name", "Ana")
    guest.click("#summary button.button-large")
    expect(guest).to_have_url(re.compile(r"/o/\S+$"))
    findings.look("tracking", guest)
    assert findings.found == {}


@LOOKS
def test_axe_finds_nothing_and_nothing_jumps_on_the_staffs_pages(site: Site, look: dict[str, Any]) -> None:
    guest, staff = site.visitor(), site.staff("manager", **look)
    for _ in range(2):
        guest.goto(f"/p/{site.place.latte}")
        guest.click(".buy [type=submit]")
        guest.wait_for_url(lambda url: "/p/" not in url)
        guest.goto("/cart")
        guest.fill("#name", "Ana")
        guest.click("#summary button.button-large")
        expect(guest).to_have_url(re.compile(r"/o/\S+$"))
    findings = Findings(staff)
    for address in ("/staff/", "/staff/menu", "/account/orders"):
        staff.goto(address)
        findings.look(address, staff)
    staff.goto("/staff/")
    staff.locator(".order summary").first.click()
    findings.look("cancelling", staff)
    assert findings.found == {}


@pytest.mark.parametrize("width", [320, 360])
def test_nothing_is_wider_than_a_small_phone(site: Site, width: int) -> None:
    guest, staff = site.visitor(size={"width": width, "height": 700}), site.staff("manager", size={"width": width, "height": 700})
    guest.goto(f"/p/{site.place.latte}")
    guest.click(".buy [type=submit]")
    expect(guest).to_have_url(re.compile("#c1$"))
    too_wide = []
    for page, addresses in ((guest, ("/", f"/p/{site.place.latte}", "/cart")), (staff, ("/staff/", "/staff/menu"))):
        for address in addresses:
            page.goto(address)
            if page.evaluate("document.documentElement.scrollWidth") > width:
                too_wide.append(address)
    assert too_wide == []
