"""Past sales become orders: what is stored, what is not touched, and that nothing comes twice."""

import threading
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connection

from shop.menu.models import Category, Product
from shop.orders.actions import place_order
from shop.orders.data import Guest, NewLine, NewOrder
from shop.orders.imports.actions import SalesImported, import_sales
from shop.orders.imports.errors import SalesFileRefused
from shop.orders.models import DayCounter, Order, OrderItem
from tenants.models import Cafeteria
from tenants.pulse import read_pulse
from tenants.queries import ref_for
from tenants.refs import TenantRef
from tenants.scope import tenant_scope
from tests.world import Place, World

HEADER = "date,time,transaction,item\n"
TWO_DAYS = (
    HEADER
    + "2016-10-31,09:00:00,3,Coffee\n"
    + "2016-10-30,10:05:34,2,Cake\n2016-10-30,10:05:34,2,Coffee\n2016-10-30,10:05:34,2,Cake\n"
    + "2016-10-30,09:58:11,1,Latte\n2016-10-30,11:00:00,4,NONE\n"
)


def names(place: Place) -> dict[str, str | None]:
    return {"Coffee": f"Café {place.canary}", "Cake": f"Torta {place.canary}", "Latte": f"Latte {place.canary}", "Void": None}


def run(place: Place, text: str, **more: Any) -> SalesImported:
    with tenant_scope(place.ref):
        return import_sales(raw=text.encode(), **{"names": names(place), **more})


def refused(place: Place, text: str, **more: Any) -> list[str]:
    with pytest.raises(SalesFileRefused) as error:
        run(place, text, **more)
    return [str(bad) for bad in error.value.bad_lines]


def orders(place: Place) -> list[tuple[Any, ...]]:
    columns = ("business_date", "number", "created_at", "total", "import_reference")
    with tenant_scope(place.ref):
        rows = list(Order.objects.order_by("business_date", "number").values_list(*columns))
    return [(str(day), number, at.isoformat(), str(total), reference) for day, number, at, total, reference in rows]


def set_place(ref: TenantRef, **facts: Any) -> TenantRef:
    Cafeteria.objects.filter(pk=ref.id).update(**facts)
    return ref_for(Cafeteria.objects.get(pk=ref.id))


def test_each_ticket_is_an_order_numbered_in_the_order_of_time(world: World) -> None:
    assert run(world.a, TWO_DAYS) == SalesImported(imported=3, known=0, left_out=1, days=2, revenue=Decimal("8501.00"))
    assert orders(world.a) == [
        ("2016-10-30", 1, "2016-10-30T12:58:11+00:00", "1500.00", "2016-10-30/1"),
        ("2016-10-30", 2, "2016-10-30T13:05:34+00:00", "6001.00", "2016-10-30/2"),
        ("2016-10-31", 1, "2016-10-31T12:00:00+00:00", "1000.00", "2016-10-31/3"),
    ]


def test_an_imported_order_is_paid_and_handed_over_with_its_lines_added_up(world: World) -> None:
    run(world.a, TWO_DAYS)
    with tenant_scope(world.a.ref):
        order = Order.objects.get(import_reference="2016-10-30/2")
        lines = list(order.items.values_list("product_id", "name", "quantity", "unit_price", "subtotal", "stock_taken"))
        facts = (order.status, order.payment_status, order.channel, order.currency, order.subtotal, order.tip, order.updated_at)
        cake, coffee = (Product.objects.get(pk=pk).name for pk in (world.a.cake, world.a.coffee))
    assert lines == [
        (world.a.cake, cake, 2, Decimal("2500.50"), Decimal("5001.00"), False),
        (world.a.coffee, coffee, 1, Decimal("1000.00"), Decimal("1000.00"), False),
    ]
    assert facts == ("completed", "paid", "imported", "ARS", Decimal("6001.00"), Decimal(0), order.created_at)


def test_no_stock_is_taken_and_the_neighbour_gets_nothing(world: World) -> None:
    run(world.a, TWO_DAYS)
    with tenant_scope(world.a.ref):
        assert Product.objects.get(pk=world.a.cake).stock == 20
    assert orders(world.b) == []


def test_the_same_file_again_imports_nothing_twice(world: World) -> None:
    run(world.a, TWO_DAYS)
    before = orders(world.a)
    assert run(world.a, TWO_DAYS) == SalesImported(imported=0, known=3, left_out=1, days=0, revenue=Decimal(0))
    assert orders(world.a) == before


def test_a_longer_export_brings_only_what_is_new_and_numbers_go_on(world: World) -> None:
    run(world.a, TWO_DAYS)
    done = run(world.a, TWO_DAYS + "2016-10-30,08:00:00,9,Coffee\n")
    assert (done.imported, done.known) == (1, 3)
    assert orders(world.a)[2] == ("2016-10-30", 3, "2016-10-30T11:00:00+00:00", "1000.00", "2016-10-30/9")


def test_known_tickets_need_no_names_any_more(world: World) -> None:
    run(world.a, TWO_DAYS)
    assert run(world.a, TWO_DAYS, names=None).known == 3


def test_a_live_order_of_an_imported_day_gets_the_next_number(world: World) -> None:
    text = HEADER + "2026-03-30,09:00,1,Coffee\n2026-03-30,09:05,2,Coffee\n"
    with time_machine.travel(datetime(2026, 3, 30, 18, 0, tzinfo=UTC), tick=False):
        run(world.a, text)
        with tenant_scope(world.a.ref):
            lines = (NewLine(product_id=world.a.coffee, quantity=1),)
            placed = place_order(order=NewOrder(lines=lines, guest=Guest(name="Ana")), caller=None)
            run(world.a, text + "2026-03-30,09:10,3,Coffee\n")
            counters = list(DayCounter.objects.values_list("newest", flat=True))
    assert placed.number == 3
    assert [order[1] for order in orders(world.a)] == [1, 2, 3, 4]
    assert counters == [4]


def test_the_business_day_ends_at_the_cutoff_and_times_are_the_zones(world: World) -> None:
    world_ref = set_place(world.a.ref, timezone="America/Santiago", day_cutoff=time(5, 0))
    text = HEADER + "2016-08-14,00:30,1,Coffee\n2016-08-14,04:59,2,Coffee\n2016-08-14,05:00,3,Coffee\n"
    with tenant_scope(world_ref):
        import_sales(raw=text.encode(), names=names(world.a))
        rows = list(Order.objects.order_by("created_at").values_list("business_date", "number", "created_at"))
    assert [(str(day), number, at.isoformat()[:16]) for day, number, at in rows] == [
        ("2016-08-13", 1, "2016-08-14T04:30"),  # the hour that the clocks skipped
        ("2016-08-13", 2, "2016-08-14T07:59"),
        ("2016-08-14", 1, "2016-08-14T08:00"),
    ]


def test_readers_learn_of_the_import_by_the_pulse(world: World) -> None:
    before = read_pulse(world.a.ref).orders
    run(world.a, TWO_DAYS)
    assert read_pulse(world.a.ref).orders == before + 1
    run(world.a, TWO_DAYS)
    assert read_pulse(world.a.ref).orders == before + 1


def test_unknown_names_are_told_once_each_with_the_nearest_and_nothing_is_imported(world: World) -> None:
    text = TWO_DAYS + "2016-10-31,09:00,5,Licuadoo\n2016-10-31,09:01,6,Licuadoo\n2016-10-31,09:02,7,Smoothie\n2016-10-31,09:03,8,Zumo\n"
    with tenant_scope(world.a.ref):
        Product.objects.create(category=Category.objects.create(name="Frío"), name="Licuado", price="700")
    wanted = "is not on the menu: add it there, or say with --names what the menu calls it"
    assert refused(world.a, text, names={**names(world.a), "Smoothie": "Licuados"}) == [
        f'Line 8, item: "Licuadoo" {wanted}; did you mean "Licuado"? (2 lines have it).',
        f'Line 10, item: "Smoothie" ("Licuados" in the file of names) {wanted}; did you mean "Licuado"? (one line has it).',
        f'Line 11, item: "Zumo" {wanted} (one line has it).',
    ]
    assert orders(world.a) == []
    with tenant_scope(world.a.ref):
        assert not DayCounter.objects.exists()


def test_one_bad_line_keeps_all_out(world: World) -> None:
    assert refused(world.a, TWO_DAYS + "2016-10-31,9h,5,Coffee\n") == ["Line 8, time: '9h' is not a time: write it as 17:05 or 17:05:00."]
    assert orders(world.a) == []


def test_names_are_met_whatever_their_capitals_and_spaces(world: World) -> None:
    text = HEADER + f"2016-10-31,09:00,5,  CAFÉ   {world.a.canary.lower()}\n2016-10-31,09:00,5,void\n"
    done = run(world.a, text)
    assert (done.imported, done.left_out, done.revenue) == (1, 1, Decimal("1000.00"))


def test_a_ticket_of_which_the_names_leave_nothing_is_no_order(world: World) -> None:
    assert run(world.a, HEADER + "2016-10-31,09:00,5,Void\n") == SalesImported(imported=0, known=0, left_out=1, days=0, revenue=Decimal(0))


def test_a_product_that_is_on_the_menu_twice_has_to_be_told_by_its_category(world: World) -> None:
    with tenant_scope(world.a.ref):
        for name, price in (("Frío", "700"), ("Caliente", "600")):
            Product.objects.create(category=Category.objects.create(name=name), name="Té", price=price)
    text = HEADER + "2016-10-31,09:00,5,Té\n"
    assert refused(world.a, text) == [
        'Line 2, item: "Té" is on the menu more than once: say which with --names, "Frío / Té" or "Caliente / Té" (one line has it).'
    ]
    assert run(world.a, text, names={"Té": "Caliente / Té"}).revenue == Decimal("600.00")


def test_an_archived_product_still_has_its_sales_unless_the_menu_has_the_name_again(world: World) -> None:
    text = HEADER + "2016-10-31,09:00,5,Mate\n"
    with tenant_scope(world.a.ref):
        category = Category.objects.create(name="Frío")
        old = Product.objects.create(category=category, name="Mate", price="700", archived_at=datetime(2026, 1, 1, tzinfo=UTC))
        run(world.a, text)
        assert list(OrderItem.objects.values_list("product_id", flat=True)) == [old.pk]
        new = Product.objects.create(category=category, name="Mate", price="900")
        run(world.a, text.replace(",5,", ",6,"))
        assert list(OrderItem.objects.order_by("id").values_list("product_id", flat=True)) == [old.pk, new.pk]


def test_a_ticket_larger_than_an_amount_can_be_is_refused(world: World) -> None:
    with tenant_scope(world.a.ref):
        Product.objects.filter(pk=world.a.coffee).update(price="9999999999.99")
    assert refused(world.a, HEADER + "2016-10-31,09:00,5,Coffee\n" * 2) == [
        "Line 2: transaction 2016-10-31/5 comes to 19999999999.98: 9999999999.99 is the most."
    ]


def test_progress_comes_from_nothing_to_all(world: World) -> None:
    heard: list[tuple[float, str]] = []
    run(world.a, TWO_DAYS, progress=lambda share, message: heard.append((share, message)))
    assert heard == [(0.0, "3 tickets to import"), (1.0, "3 of 3 tickets imported")]


def test_two_imports_of_one_file_at_once_import_it_once(committed_world: World) -> None:
    place = committed_world.a
    text = HEADER + "".join(f"2016-10-30,10:{n % 60:02},{n},Coffee\n" for n in range(300))
    results: list[SalesImported] = []

    def work() -> None:
        try:
            results.append(run(place, text))
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted((done.imported, done.known) for done in results) == [(0, 300), (0, 300), (0, 300), (300, 0)]
    assert [order[1] for order in orders(place)] == list(range(1, 301))
