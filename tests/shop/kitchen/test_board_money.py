"""What the board knows of an order's money."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from payments.ledger.models import LedgerEntry, Payment
from shop.kitchen.order_page.forms import round_amounts
from shop.orders.actions import change_status
from shop.orders.models import Order
from shop.people.models import Person
from tenants.scope import tenant_scope
from tests.payments.till import Till
from tests.shop.kitchen.test_board import shown, tap
from tests.shop.pages import HTMX, visitor
from tests.world import World

D = Decimal


def board(till: Till, role: str = "cashier") -> str:
    return visitor(till.place, role).get("/staff/").content.decode()


def bring(till: Till, order: Order, *statuses: str) -> Order:
    """Through these statuses, by the cook."""
    with tenant_scope(till.place.ref):
        actor: Any = Person.objects.get(pk=till.place.people["kitchen"])
        for status in statuses:
            change_status(order_id=order.pk, status=status, actor=actor)
    return till.now(order)


def take(client: Client, order: Order, method: str = "cash", **more: str) -> Any:
    """What the page of taking a payment sends."""
    page = client.get(f"/staff/orders/{order.pk}/take").context
    fields = {"do": method, "key": page["key"], "due": page["due_text"], **more}
    return client.post(f"/staff/orders/{order.pk}/take", fields)


def test_paid_or_not_is_said_in_words_and_how(till: Till) -> None:
    order = till.order()
    assert "por pagar" in board(till)
    till.told(till.pay(till.checkout(order)))
    assert "pagado · Mercado Pago" in board(till)
    cash = till.order()
    take(visitor(till.place, "cashier"), cash)
    assert "pagado · efectivo" in board(till)
    card = till.order()
    take(visitor(till.place, "cashier"), card, "card")
    assert "pagado · tarjeta" in board(till)


def test_a_payment_under_review_is_no_paid_one(till: Till) -> None:
    till.told(till.pay(till.checkout(till.order()), amount=999))
    page = board(till)
    assert "pago en revisión" in page
    assert "Cobrar" in page


def test_the_board_costs_the_same_queries_with_one_and_with_five_paid_orders(till: Till) -> None:
    client = visitor(till.place, "cashier")

    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            client.get("/staff/")
        return len(found)

    till.told(till.pay(till.checkout(till.order())))
    one = queries()
    for _ in range(4):
        till.told(till.pay(till.checkout(till.order())))
    assert queries() == one


def test_what_waits_for_its_payment_is_no_new_order_until_it_is_paid(till: Till) -> None:
    client, order = visitor(till.place, "kitchen"), till.order(waits=True)
    context = client.get("/staff/").context
    assert [column.cards for column in context["columns"]] == [[], [], []]
    assert [(card.order.pk, card.left) for card in context["waiting"]] == [(order.pk, 30)]
    page = client.get("/staff/").content.decode()
    assert f'data-waits="{order.pk}"' in page
    assert "data-status" not in page  # what rings as a new order
    till.told(till.pay(till.checkout(order)))
    assert shown(client)["new"] == [order.pk]
    assert client.get("/staff/").context["waiting"] == []


def test_an_order_that_waited_is_not_late_the_moment_it_is_paid(till: Till) -> None:
    order = till.order(waits=True)
    with tenant_scope(till.place.ref):
        Order.objects.update(created_at=timezone.now() - timedelta(minutes=20))
    till.told(till.pay(till.checkout(order)))
    assert "order-late" not in board(till)


def test_what_waits_can_be_taken_anyway_and_cancelled(till: Till) -> None:
    client = visitor(till.place, "kitchen")
    first, second = till.order(waits=True), till.order(waits=True)
    tap(client, first, "pending", "confirmed")
    taken = till.now(first)
    assert (taken.status, taken.pay_by, shown(client)["work"]) == ("confirmed", None, [first.pk])
    tap(client, second, "pending", "cancelled")
    assert till.now(second).status == "cancelled"
    assert client.get("/staff/").context["waiting"] == []


def test_an_unpaid_order_is_not_handed_over_without_asking(till: Till) -> None:
    client, order = visitor(till.place, "kitchen"), till.order()
    bring(till, order, "confirmed", "preparing", "ready")
    asks = client.post(f"/staff/orders/{order.pk}/move", {"from": "ready", "to": "completed"})
    assert asks["Location"] == f"/staff/orders/{order.pk}/hand-over?back=board"
    quick = client.post(f"/staff/orders/{order.pk}/move", {"from": "ready", "to": "completed"}, headers=HTMX)
    assert quick["HX-Redirect"] == asks["Location"]
    assert till.now(order).status == "ready"
    page = client.get(asks["Location"]).content.decode()
    assert "Sin pagar" in page
    assert "Entregar sin cobrar" in page
    answer = client.post(f"/staff/orders/{order.pk}/step", {"from": "ready", "to": "completed", "unpaid": "yes", "back": "board"})
    assert (answer["Location"], till.now(order).status) == ("/staff/", "completed")


def test_a_paid_order_is_handed_over_at_once(till: Till) -> None:
    client, order = visitor(till.place, "cashier"), till.order()
    take(client, order)
    bring(till, order, "confirmed", "preparing", "ready")
    assert "hand-over" not in board(till)
    assert tap(client, order, "ready", "completed") == 302
    assert till.now(order).status == "completed"


def test_cancelling_says_what_becomes_of_the_money(till: Till) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    assert "$\N{NO-BREAK SPACE}1.000 se devuelven solos por Mercado Pago." in board(till)
    client = visitor(till.place, "cashier")
    answer = client.post(f"/staff/orders/{order.pk}/move", {"from": "pending", "to": "cancelled"}, headers=HTMX)
    assert "se devuelven solos por Mercado Pago." in answer["HX-Trigger"]
    till.send_refunds()
    assert till.theirs(mp_id)["transaction_amount_refunded"] == 1000
    assert till.now(order).payment_status == "refunded"


def test_cancelling_asks_for_the_cash_back(till: Till) -> None:
    order, client = till.order(), visitor(till.place, "cashier")
    take(client, order)
    assert "Devolvé $\N{NO-BREAK SPACE}1.000 de la caja." in board(till)
    answer = client.post(f"/staff/orders/{order.pk}/move", {"from": "pending", "to": "cancelled"}, headers=HTMX)
    assert '"kind": "bad"' in answer["HX-Trigger"]  # It stays until it is read.
    assert sum(amount for _, amount in till.entries(order)) == 0


@pytest.mark.parametrize(
    ("role", "status"), [("owner", 200), ("manager", 200), ("cashier", 200), ("kitchen", 403), ("customer", 403), (None, 302)]
)
def test_who_may_take_payments(till: Till, role: str | None, status: int) -> None:
    order = till.order()
    client = visitor(till.place, role)
    assert client.get(f"/staff/orders/{order.pk}/take").status_code == status
    client.post(f"/staff/orders/{order.pk}/take", {"do": "cash", "due": "1000.00", "key": "k"})
    assert till.now(order).payment_status == ("paid" if status == 200 else "pending")


def test_the_kitchen_is_not_offered_what_it_may_not_do(till: Till) -> None:
    till.order()
    assert "Cobrar" not in board(till, "kitchen")
    assert "Cobrar" in board(till, "cashier")


def test_a_double_tap_takes_it_once(till: Till) -> None:
    order, client = till.order(), visitor(till.place, "cashier")
    fields = {"do": "cash", "key": "one-form", "due": "1000.00", "given": "2000"}
    first, second = (client.post(f"/staff/orders/{order.pk}/take", fields) for _ in range(2))
    assert first.status_code == 302
    assert first["Location"] == second["Location"]
    assert LedgerEntry.objects.filter(order_key=order.secret).count() == 1
    third = client.post(f"/staff/orders/{order.pk}/take", fields | {"key": "another"})
    assert third.status_code == 422
    assert "No falta pagar nada" in third.content.decode()
    assert Payment.objects.filter(order_key=order.secret).count() == 1


def test_cash_and_its_change(till: Till) -> None:
    order, client = till.order(), visitor(till.place, "cashier")
    address = f"/staff/orders/{order.pk}/take"
    counted = client.post(address, {"quick": "2000.00", "key": "k", "due": "1000.00"})
    assert (counted.status_code, counted.context["change"], counted.context["key"]) == (200, D("1000.00"), "k")
    assert till.entries(order) == []
    done = client.post(address, {"do": "cash", "given": "2000", "key": "k", "due": "1000.00"}, follow=True)
    page = done.content.decode()
    assert "Dar de vuelto" in page
    assert "$\N{NO-BREAK SPACE}1.000" in page
    assert till.entries(order) == [("payment", D("1000.00"))]


@pytest.mark.parametrize(
    ("due", "currency", "offered"),
    [
        ("4500", "ARS", ["5000", "6000", "10000", "20000"]),
        ("2500.50", "ARS", ["3000", "4000", "10000", "20000"]),
        ("10000", "ARS", ["20000"]),
        ("450000", "ARS", ["460000"]),
        ("35", "BRL", ["40", "50", "100", "200"]),
        ("12.30", "PEN", ["20", "50", "100", "200"]),
        ("8900", "CLP", ["9000", "10000", "20000"]),
        ("61000", "COP", ["70000", "80000", "100000"]),
        ("200000", "COP", []),
    ],
)
def test_what_customers_hand_over_is_offered(due: str, currency: str, offered: list[str]) -> None:
    assert [str(amount) for amount in round_amounts(D(due), currency)] == offered


def test_too_little_cash_is_refused_beside_the_field_and_what_was_typed_stays(till: Till) -> None:
    order, client = till.order(), visitor(till.place, "cashier")
    answer = client.post(f"/staff/orders/{order.pk}/take", {"do": "cash", "given": "999.50", "key": "k", "due": "1000.00"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "No alcanza: faltan $\N{NO-BREAK SPACE}0,50." in page
    assert 'value="999.50"' in page
    assert till.entries(order) == []


@pytest.mark.parametrize("given", ["NaN", "-1", "mil", "1000.005", "99999999999"])
def test_what_is_no_amount_takes_nothing(till: Till, given: str) -> None:
    order, client = till.order(), visitor(till.place, "cashier")
    answer = client.post(f"/staff/orders/{order.pk}/take", {"do": "cash", "given": given, "key": "k", "due": "1000.00"})
    assert answer.status_code == 422
    assert 'class="error"' in answer.content.decode()
    assert till.entries(order) == []


def test_another_amount_than_the_screen_asked_for_is_not_taken(till: Till) -> None:
    order, client = till.order(), visitor(till.place, "cashier")
    answer = client.post(f"/staff/orders/{order.pk}/take", {"do": "card", "key": "k", "due": "900.00"})
    assert answer.status_code == 422
    assert "cambió mientras tanto" in answer.content.decode()
    assert till.entries(order) == []


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"payment_status": "paid"}, "No falta pagar nada"),  # imported: the ledger knows nothing of it
        ({"payment_status": "partially_refunded"}, "No falta pagar nada"),
        ({"status": "cancelled"}, "cancelado"),
    ],
    ids=["paid", "partly refunded", "cancelled"],
)
def test_nothing_is_taken_for_what_nobody_owes(till: Till, facts: dict[str, str], said: str) -> None:
    order, client = till.order(), visitor(till.place, "cashier")
    with tenant_scope(till.place.ref):
        Order.objects.filter(pk=order.pk).update(**facts)
    address = f"/staff/orders/{order.pk}/take"
    assert "No hay nada para cobrar." in client.get(address).content.decode()
    answer = client.post(address, {"do": "cash", "key": "k", "due": "1000.00"})
    assert (answer.status_code, said in answer.content.decode()) == (422, True)
    assert till.entries(order) == []


def test_a_sheet_shows_the_change_in_its_own_place(till: Till) -> None:
    order, client = till.order(), visitor(till.place, "cashier")
    fields = {"do": "cash", "key": "k", "due": "1000.00", "given": "1500", "back": "board"}
    answer = client.post(f"/staff/orders/{order.pk}/take", fields, headers=HTMX)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "<html" not in page
    assert "$\N{NO-BREAK SPACE}500" in page
    assert answer["HX-Trigger-After-Swap"] == "orders-changed"


def test_a_neighbour_takes_no_money_here(till: Till, world: World) -> None:
    order = till.order()
    answer = visitor(world.b, "owner").post(f"/staff/orders/{order.pk}/take", {"do": "cash", "due": "1000.00", "key": "k"})
    assert answer.status_code == 404
    assert till.entries(order) == []
