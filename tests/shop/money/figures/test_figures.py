"""What came in, by the ledger: on the page and in the file."""

import csv
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.business_day import business_date
from payments.ledger.actions import take_at_counter
from payments.ledger.data import Actor
from payments.ledger.models import LedgerEntry, Payment
from payments.ledger.refunds import request_refund
from shop.money.figures import exports
from shop.money.figures.forms import read_span
from shop.money.figures.queries import Figures, figures_of
from shop.orders.models import Order
from shop.orders.payments.actions import facts_of
from tenants.models import Cafeteria
from tenants.queries import ref_by_uuid
from tenants.scope import tenant_scope
from tests.payments.till import Till
from tests.shop.pages import visitor
from tests.world import Place, World

D = Decimal
PAGE, FILE = "/staff/money", "/staff/money/entries.csv"


def at_counter(place: Place, order: Order, method: str = "cash", by: str = "caja@luna.test") -> Payment:
    with tenant_scope(place.ref):
        return take_at_counter(cafeteria_uuid=place.ref.uuid, order=facts_of(order), method=method, actor=Actor(label=by))


def today(place: Place) -> date:
    return business_date(timezone.now(), zone=place.ref.zone, cutoff=place.ref.day_cutoff)


def figures(place: Place, **query: str) -> Figures:
    with tenant_scope(place.ref):
        return figures_of(place.ref, read_span(query, today=today(place)))


def change(place: Place, order: Order, **columns: Any) -> None:
    with tenant_scope(place.ref):
        Order.objects.filter(pk=order.pk).update(**columns)


def entry(place: Place, *, at: datetime, amount: str, kind: str = "payment", day: date | None = None, **more: Any) -> LedgerEntry:
    """One of some other order, written as the engine does."""
    ref, now = place.ref, timezone.now()
    day = day or business_date(at, zone=ref.zone, cutoff=ref.day_cutoff)
    about: dict[str, Any] = {
        "cafeteria_uuid": ref.uuid,
        "order_key": uuid4().hex,
        "order_id": 7,
        "method": "cash",
        "currency": ref.currency,
    }
    payment = Payment.objects.create(
        **about, order_number=7, business_date=day, amount=abs(D(amount)), created_at=now, updated_at=now, reference=uuid4().hex
    )
    values = {**about, "payment": payment, "key": uuid4().hex, "kind": kind, "amount": D(amount), "at": at, "business_date": day}
    return LedgerEntry.objects.create(**{**values, "recorded_at": now, **more})


def rows(client: Any, address: str = FILE) -> list[list[str]]:
    response = client.get(address)
    assert response.status_code == 200
    assert response.streaming
    raw = b"".join(response.streaming_content)
    assert raw.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(StringIO(raw.decode("utf-8-sig"))))


@pytest.mark.parametrize("role", ["owner", "manager", "cashier", "kitchen", "customer", None])
def test_who_may_look(world: World, role: str | None) -> None:
    status = {"owner": 200, "manager": 200, None: 302}.get(role, 403)
    client = visitor(world.a, role)
    assert [client.get(address).status_code for address in (PAGE, FILE)] == [status, status]


def test_the_bar_leads_there_for_those_who_may(world: World) -> None:
    assert f'href="{PAGE}"' in visitor(world.a, "manager").get("/staff/").content.decode()
    assert f'href="{PAGE}"' not in visitor(world.a, "cashier").get("/staff/").content.decode()


def test_an_empty_day_says_what_to_do(world: World) -> None:
    page = visitor(world.a, "owner").get(PAGE).content.decode()
    assert "Hoy todavía no entró nada" in page
    assert 'href="/staff/"' in page
    assert "Cobrado" not in page


def test_all_that_moved_today(till: Till) -> None:
    place = till.place
    online, cash, card = till.order(quantity=2), till.order(), till.order(quantity=3)
    mp_id = till.pay(till.checkout(online))
    till.told(mp_id)
    till.emulator.transition(mp_id, "partially_refunded", amount=500)
    till.told(mp_id)
    change(place, card, tip=D("300.00"), total=D("3300.00"))
    for order, method in ((cash, "cash"), (till.now(card), "card")):
        at_counter(place, order, method)
    found = figures(place)
    assert (found.total.taken, found.total.refunded, found.total.fees) == (D("6300.00"), D("500.00"), D("125.80"))
    assert (found.total.net, found.total.orders, found.tips) == (D("5674.20"), 3, D("300.00"))
    assert {method: (flow.taken, flow.net, flow.orders) for method, flow in found.by_method.items()} == {
        "mercadopago": (D("2000.00"), D("1374.20"), 1),
        "cash": (D("1000.00"), D("1000.00"), 1),
        "card": (D("3300.00"), D("3300.00"), 1),
    }
    page = visitor(place, "manager").get(PAGE).content.decode()
    for amount in ("$\xa06.300", "$\xa0500", "$\xa0125,80", "$\xa05.674,20", "$\xa0300"):
        assert amount in page


def test_what_a_bank_took_back_is_said_apart(till: Till) -> None:
    mp_id = till.pay(till.checkout(till.order()))
    till.emulator.transition(mp_id, "charged_back")
    till.told(mp_id)
    found = figures(till.place)
    assert (found.total.taken, found.total.refunded, found.total.charged_back) == (D("1000.00"), D(0), D("1000.00"))
    assert "Contracargos de bancos" in visitor(till.place, "owner").get(PAGE).content.decode()


def test_an_order_paid_in_two_ways_is_one_order(till: Till) -> None:
    order = till.order()
    at_counter(till.place, order)
    change(till.place, order, total=D("1500.00"))
    at_counter(till.place, till.now(order), "card")
    found = figures(till.place)
    assert (found.total.orders, found.by_method["cash"].orders, found.by_method["card"].orders) == (1, 1, 1)


def test_tips_go_with_the_money(till: Till) -> None:
    """A tip is taken when its order's money has come, and is gone with it."""
    order = till.order()
    change(till.place, order, tip=D("200.00"), total=D("1200.00"))
    payment = at_counter(till.place, till.now(order))
    assert figures(till.place).tips == D("200.00")
    with tenant_scope(till.place.ref):
        request_refund(cafeteria_uuid=till.uuid, payment_id=payment.pk, amount=D("1100.00"), actor=Actor())
    assert figures(till.place).tips == D("100.00")
    with tenant_scope(till.place.ref):
        request_refund(cafeteria_uuid=till.uuid, payment_id=payment.pk, amount=None, actor=Actor())
    assert figures(till.place).tips == D(0)


def test_what_was_handed_over_unpaid_is_listed(till: Till) -> None:
    place = till.place
    leak, paid, part, waiting, imported, other_day = (till.order() for _ in range(6))
    at_counter(place, paid)
    at_counter(place, part)
    change(place, till.now(part), total=D("1250.00"), payment_status="pending")
    for order in (leak, paid, part, imported, other_day):
        change(place, order, status="completed")
    change(place, imported, channel="imported")
    change(place, other_day, business_date=today(place) - timedelta(days=3))
    found = figures(place).unpaid
    assert (found.count, found.due) == (2, D("1250.00"))
    assert [(order.pk, getattr(order, "due")) for order in found.orders] == [(part.pk, D("250.00")), (leak.pk, D("1000.00"))]  # noqa: B009
    page = visitor(place, "manager").get(PAGE).content.decode()
    assert "2 pedidos se entregaron y nadie los pagó" in page
    assert f'href="/staff/orders/{leak.pk}"' in page
    assert f'href="/staff/orders/{waiting.pk}"' not in page
    assert figures(place, span="week").unpaid.count == 3


def test_refunds_under_way_are_said(till: Till) -> None:
    payment = till.checkout(till.order())
    till.told(till.pay(payment))
    with tenant_scope(till.place.ref):
        request_refund(cafeteria_uuid=till.uuid, payment_id=payment.pk, amount=D("400.00"), actor=Actor())
    assert "1 devolución de $\xa0400 está en camino" in visitor(till.place, "owner").get(PAGE).content.decode()
    till.send_refunds()
    assert figures(till.place).under_way == 0


def test_spans(world: World) -> None:
    place, day = world.a, today(world.a)
    noon = datetime.combine(day, time(12), tzinfo=place.ref.zone)
    for days in (0, 6, 7, 29, 30):
        entry(place, at=noon - timedelta(days=days), amount="100.00")
    taken = {span: figures(place, span=span).total.taken for span in ("day", "week", "days30")}
    assert taken == {"day": D(100), "week": D(200), "days30": D(400)}
    assert figures(place, day=(day - timedelta(days=7)).isoformat()).total.taken == D(100)
    week = figures(place, span="week")
    assert [flow.taken for flow in week.by_day.values()] == [D(100), *[D(0)] * 5, D(100)]
    page = visitor(place, "owner").get(f"{PAGE}?span=week").content.decode()
    assert "<svg viewBox" in page
    assert page.count("<tr>") > 7


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ({}, "2026-03-10", "2026-03-10"),
        ({"span": "week"}, "2026-03-04", "2026-03-10"),
        ({"span": "days30"}, "2026-02-09", "2026-03-10"),
        ({"span": "month"}, "2026-03-01", "2026-03-10"),
        ({"span": "month", "day": "2024-02-15"}, "2024-02-01", "2024-02-29"),
        ({"span": "month", "day": "2025-12-31"}, "2025-12-01", "2025-12-31"),
        ({"day": "2026-01-31"}, "2026-01-31", "2026-01-31"),
        ({"day": "2099-01-01", "span": "century"}, "2026-03-10", "2026-03-10"),
        ({"day": "0001-01-01", "span": "week"}, "2015-01-01", "2015-01-01"),
        ({"day": "yesterday"}, "2026-03-10", "2026-03-10"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else ",".join(value.values()) or "none",
)
def test_a_span_is_read_from_its_address(query: dict[str, str], first: str, last: str) -> None:
    span = read_span(query, today=date(2026, 3, 10))
    assert (span.first.isoformat(), span.last.isoformat()) == (first, last)


def test_one_span_leads_to_the_next() -> None:
    now = date(2026, 3, 10)
    day = read_span({"day": "2026-03-09"}, today=now)
    assert (day.earlier, day.later) == ("span=day&day=2026-03-08", "span=day&day=2026-03-10")
    month = read_span({"span": "month", "day": "2026-02-10"}, today=now)
    assert (month.earlier, month.later) == ("span=month&day=2026-01-31", "span=month&day=2026-03-01")
    week = read_span({"span": "week", "day": "2026-03-08"}, today=now)
    assert (week.earlier, week.later) == ("span=week&day=2026-03-01", "span=week&day=2026-03-10")
    assert read_span({}, today=now).later == ""
    assert read_span({"day": "2015-01-01"}, today=now).earlier == ""


@pytest.mark.parametrize(
    ("timezone_name", "moment", "day"),
    [
        ("America/Argentina/Buenos_Aires", "2026-03-10T06:59:59Z", "2026-03-09"),  # 03:59:59, before the cutoff
        ("America/Argentina/Buenos_Aires", "2026-03-10T07:00:00Z", "2026-03-10"),
        ("America/Mexico_City", "2026-03-10T07:00:00Z", "2026-03-09"),
        ("America/Mexico_City", "2026-03-10T10:00:00Z", "2026-03-10"),
    ],
)
def test_a_day_is_the_cafeterias(world: World, timezone_name: str, moment: str, day: str) -> None:
    Cafeteria.objects.filter(uuid=world.a.ref.uuid).update(timezone=timezone_name)
    place = Place(ref=ref_by_uuid(world.a.ref.uuid), canary="")
    entry(place, at=datetime.fromisoformat(moment), amount="10.00")
    assert figures(place, day=day).total.taken == D(10)
    found = rows(visitor(world.a, "owner"), f"{FILE}?day={day}")
    local = datetime.fromisoformat(moment).astimezone(ZoneInfo(timezone_name))
    assert found[1][:2] == [day, local.isoformat(timespec="seconds")]


def test_as_many_queries_for_a_month_as_for_a_day(till: Till) -> None:
    for _ in range(3):
        at_counter(till.place, till.order())
    client = visitor(till.place, "owner")

    def queries(address: str) -> int:
        client.get(address)
        with CaptureQueriesContext(
            connection,
        ) as found:
            client.get(address)
        return len(found)

    assert queries(PAGE) == queries(f"{PAGE}?span=month") <= 16


def test_a_currency_without_decimals(till: Till) -> None:
    Cafeteria.objects.filter(uuid=till.uuid).update(currency="CLP")
    place = Place(ref=ref_by_uuid(till.uuid), canary="")
    entry(place, at=timezone.now(), amount="12500.00")
    page = visitor(till.place, "owner").get(PAGE).content.decode()
    assert "$\xa012.500" in page
    assert "12.500,00" not in page
    assert rows(visitor(till.place, "owner"))[1][5:9] == ["12500", "0", "12500", "CLP"]


# --- The file ------------------------------------------------------------------------------------------------------------------


def test_the_file_has_every_entry_of_the_span(till: Till) -> None:
    order = till.order(quantity=2)
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    other = till.order()
    payment = at_counter(till.place, other, by="ana@luna.test")
    with tenant_scope(till.place.ref):
        request_refund(cafeteria_uuid=till.uuid, payment_id=payment.pk, amount=D("100.50"), actor=Actor(label="eva@luna.test"))
    client = visitor(till.place, "manager")
    header, *lines = rows(client)
    assert header[:6] == ["Día comercial", "Momento", "Pedido", "Tipo", "Medio", "Importe"]
    day = today(till.place).isoformat()
    number, till_number = str(order.number), str(other.number)
    assert [[*line[:1], *line[2:]] for line in lines] == [
        [day, number, "pago", "Mercado Pago", "2000.00", "125.80", "1874.20", "ARS", mp_id, "", ""],
        [day, till_number, "pago", "efectivo", "1000.00", "0.00", "1000.00", "ARS", "", "ana@luna.test", ""],
        [day, till_number, "devolución", "efectivo", "-100.50", "0.00", "-100.50", "ARS", "", "eva@luna.test", ""],
    ]
    client.cookies["lang"] = "en"
    assert rows(client)[0][:3] == ["Business day", "Moment", "Order"]
    assert rows(client)[1][3] == "payment"
    name = client.get(FILE)["Content-Disposition"]
    assert name == f'attachment; filename="money-luna-{day}-{day}.csv"'


@pytest.mark.parametrize("text", ['=HYPERLINK("http://evil.test")', "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(world: World, text: str) -> None:
    entry(world.a, at=timezone.now(), amount="-5.00", kind="refund", note=text, actor_label=text)
    line = rows(visitor(world.a, "owner"))[1]
    assert line[-2:] == [f"'{text}", f"'{text}"]
    assert line[5] == "-5.00"  # A number is one.


def test_words_keep_their_letters(world: World) -> None:
    entry(world.a, at=timezone.now(), amount="5.00", note='Café "ñandú", dos\nlíneas')
    assert rows(visitor(world.a, "owner"))[1][-1] == 'Café "ñandú", dos\nlíneas'


def test_pages_of_the_file_join_without_a_gap(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "AT_A_TIME", 3)
    now = datetime.combine(today(world.a), time(12), tzinfo=UTC)
    for number in range(11):
        entry(world.a, at=now + timedelta(seconds=number // 4), amount=f"{number + 1}.00")
    for number in range(4):
        entry(world.a, at=now - timedelta(days=2), amount=f"{number + 50}.00")
    lines = rows(visitor(world.a, "owner"), f"{FILE}?span=week")[1:]
    assert [D(line[5]) for line in lines] == [D(number) for number in (50, 51, 52, 53, *range(1, 12))]


def test_nothing_of_the_neighbour(world: World) -> None:
    entry(world.b, at=timezone.now(), amount="77777.00", note="theirs")
    assert len(rows(visitor(world.a, "owner"))) == 1
    assert "77.777" not in visitor(world.a, "owner").get(PAGE).content.decode()
    assert "77.777" in visitor(world.b, "owner").get(PAGE).content.decode()
