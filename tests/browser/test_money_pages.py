"""The owner's money pages in a browser: nothing for axe to find, nothing that jumps, nothing wider than a phone, sheets that ask."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from core.business_day import business_date
from payments.ledger.actions import take_at_counter
from payments.ledger.data import Actor
from payments.ledger.models import Charge, Payment
from payments.reconciliation.models import DayStatement
from shop.orders.actions import place_order
from shop.orders.data import Guest, NewLine, NewOrder
from shop.orders.models import Order
from shop.orders.payments.actions import facts_of
from shop.orders.queries import order_by_secret
from tenants.scope import tenant_scope
from tests.browser.conftest import PHONE, Site
from tests.browser.test_quality import LOOKS, Findings

DIFFERENCE = {
    "mp_id": "138472",
    "kind": "amount",
    "currency": "ARS",
    "theirs": "1000.00",
    "ours": "900.00",
    "order_id": 1,
    "order_number": 1,
}


@pytest.fixture
def takings(site: Site) -> Iterator[Site]:
    """A paid order, one that was handed over unpaid, a payment to review, and a week of statements."""
    ref, now = site.place.ref, timezone.now()
    paid, leak, odd = (placed(site) for _ in range(3))
    with tenant_scope(ref):
        take_at_counter(cafeteria_uuid=ref.uuid, order=facts_of(paid), method="cash", actor=Actor(label="caja@luna.test"))
        Order.objects.filter(pk=leak.pk).update(status="completed")
    about: dict[str, Any] = {"cafeteria_uuid": ref.uuid, "currency": "ARS", "created_at": now}
    payment = Payment.objects.create(
        **about, order_key=odd.secret, order_id=odd.pk, order_number=odd.number, business_date=odd.business_date,
        method="mercadopago", amount=odd.total, updated_at=now, reference=uuid4().hex, status="review", collector_id=1,
    )  # fmt: skip
    charge = Charge.objects.create(
        **about, payment=payment, collector_id=1, mp_id=uuid4().hex[:20], status="approved", amount=odd.total - 100,
        last_updated=now, seen_at=now, review="amount",
    )  # fmt: skip
    today = business_date(now, zone=ref.zone, cutoff=ref.day_cutoff)
    for number, state in enumerate(("differs", "agrees", "failed"), start=1):
        DayStatement.objects.create(
            cafeteria_uuid=ref.uuid, business_date=today - timedelta(days=number), currency="ARS", state=state, checked_at=now,
            their_payments=Decimal("123456.78"), count=3, differences=[DIFFERENCE] if state == "differs" else [],
        )  # fmt: skip
    yield site
    charge.delete()
    payment.delete()
    DayStatement.objects.filter(cafeteria_uuid=ref.uuid).delete()


def placed(site: Site) -> Order:
    with tenant_scope(site.place.ref):
        lines = (NewLine(product_id=site.place.coffee, quantity=2),)
        return order_by_secret(place_order(order=NewOrder(lines=lines, guest=Guest(name="Ana")), caller=None).secret)


def pages(site: Site) -> dict[str, str]:
    ref = site.place.ref
    yesterday = business_date(timezone.now(), zone=ref.zone, cutoff=ref.day_cutoff) - timedelta(days=1)
    return {
        "today": "/staff/money",
        "month": "/staff/money?span=days30",
        "before": "/staff/money?day=2020-01-01",
        "review": "/staff/money/review",
        "days": "/staff/money/days",
        "day": f"/staff/money/days/{yesterday}",
        "connection": "/staff/payments",
    }


@LOOKS
def test_axe_finds_nothing_and_nothing_jumps(takings: Site, look: dict[str, Any]) -> None:
    owner = takings.staff("owner", **look)
    findings = Findings(owner)
    for name, address in pages(takings).items():
        owner.goto(address)
        findings.look(name, owner)
    owner.goto("/staff/money/review")
    owner.locator("a[href$='/accept']").click()
    expect(owner.locator("#sheet[open]")).to_be_visible()
    owner.wait_for_timeout(300)  # until it has risen
    findings.look("accepting", owner)
    assert findings.found == {}


def test_nothing_is_wider_than_a_small_phone(takings: Site) -> None:
    owner = takings.staff("owner", size={"width": 360, "height": 700})
    wide = []
    for name, address in pages(takings).items():
        owner.goto(address)
        if owner.evaluate("document.documentElement.scrollWidth") > 360:
            wide.append(name)
    assert wide == []


def test_a_manager_decides_without_javascript(takings: Site) -> None:
    manager = takings.staff("manager", size=PHONE, java_script_enabled=False)
    manager.goto("/staff/money")
    manager.locator("main .chip[href='/staff/money/review']").click()
    manager.get_by_role("link", name="Aceptar").click()
    expect(manager.get_by_role("heading", name="¿Aceptar el pago?")).to_be_visible()
    manager.get_by_role("link", name="Ahora no").click()
    expect(manager.get_by_role("heading", name="Pagos por revisar")).to_be_visible()
    manager.goto("/staff/money/days")
    manager.locator(".money-table a").first.click()
    expect(manager.get_by_text("Lo que no coincide")).to_be_visible()
