"""The staff's page of one order: what it shows, what goes back, what is refused."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from payments.ledger.models import Payment, Refund
from payments.sellers.actions import mark_needs_reconnect
from shop.orders.models import Order
from tenants.scope import tenant_scope
from tests.payments.till import Till
from tests.shop.kitchen.test_board_money import take
from tests.shop.pages import HTMX, visitor
from tests.world import World

D = Decimal
NBSP = "\N{NO-BREAK SPACE}"


@pytest.fixture
def paid(till: Till) -> tuple[Order, Payment, str]:
    """An order of 2000.00 paid at Mercado Pago, its payment, and Mercado Pago's id of it."""
    order = till.order(quantity=2)
    payment = till.checkout(order)
    mp_id = till.pay(payment)
    till.told(mp_id)
    return till.now(order), payment, mp_id


def refund(client: Client, order: Order, payment: Payment, amount: str = "", *, key: str = "", **more: Any) -> Any:
    """Both steps of the page, as it would send them: how much, then yes."""
    address = f"/staff/orders/{order.pk}/refund/{payment.pk}"
    which = {"which": "part", "amount": amount} if amount else {"which": "rest"}
    asks = client.post(address, which | {"key": key or uuid4().hex})
    if asks.status_code != 200 or asks.context["confirm"] is None:
        return asks
    fields = which | {"key": asks.context["key"], "wanted": asks.context["confirm_text"], "sure": "yes"}
    return client.post(address, fields, **more)


def page_of(client: Client, order: Order) -> str:
    response = client.get(f"/staff/orders/{order.pk}")
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize(("role", "status"), [("kitchen", 200), ("cashier", 200), ("owner", 200), ("customer", 403), (None, 302)])
def test_any_staff_may_open_it(till: Till, role: str | None, status: int) -> None:
    order, client = till.order(), visitor(till.place, role)
    for address in (f"/staff/orders/{order.pk}", f"/staff/orders/{order.pk}/state", "/staff/orders"):
        assert client.get(address).status_code == status


def test_it_tells_the_whole_story(till: Till, paid: tuple[Order, Payment, str]) -> None:
    order, payment, mp_id = paid
    refund(visitor(till.place, "manager"), order, payment, "500")
    page = page_of(visitor(till.place, "cashier"), order)
    words = ("Ana", "ana@guests.test", "reembolsado en parte · Mercado Pago", mp_id, "aprobado", "comisión", "por el personal", "hecha")
    assert [said for said in words if said not in page] == []
    story = [line.words for line in visitor(till.place, "cashier").get(f"/staff/orders/{order.pk}").context["history"]]
    assert story[0] == "Pedido hecho"
    assert {
        "Pago con Mercado Pago iniciado",
        f"${NBSP}2.000 pagados, Mercado Pago",
        f"${NBSP}500 para devolver: por el personal",
        f"${NBSP}500 devueltos, Mercado Pago",
    } <= set(story)
    assert f"manager {till.place.canary}" in page


def test_a_rejected_payment_says_why(till: Till) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order), "rejected")
    till.told(mp_id)
    page = page_of(visitor(till.place, "cashier"), order)
    assert "<strong>rechazado</strong>: fondos insuficientes" in page
    assert "Se rechazó un pago" in page


def test_what_was_not_paid_in_time_says_so(till: Till) -> None:
    order = till.order(waits=True)
    payment = till.checkout(order)
    Payment.objects.filter(pk=payment.pk).update(expires_at=payment.created_at)
    till.look()
    page = page_of(visitor(till.place, "kitchen"), order)
    assert "Cancelado: no se pagó a tiempo" in page
    assert "Nadie pagó" not in page
    assert "terminó sin pago" in page


def test_a_dispute_and_a_review_are_said(till: Till, paid: tuple[Order, Payment, str]) -> None:
    order, _payment, mp_id = paid
    till.emulator.transition(mp_id, "in_mediation")
    till.told(mp_id)
    assert "El cliente desconoce este pago." in page_of(visitor(till.place, "cashier"), order)
    other = till.order()
    till.told(till.pay(till.checkout(other), amount=999))
    assert "Llegó un importe distinto" in page_of(visitor(till.place, "cashier"), other)


def test_part_goes_back_then_the_rest_when_the_order_is_cancelled(till: Till, paid: tuple[Order, Payment, str]) -> None:
    order, payment, mp_id = paid
    manager = visitor(till.place, "manager")
    answer = refund(manager, order, payment, "500")
    assert answer["Location"] == f"/staff/orders/{order.pk}"
    assert till.theirs(mp_id)["transaction_amount_refunded"] == 500
    assert f"Se devolvieron ${NBSP}500 por Mercado Pago." in page_of(manager, order)
    assert till.now(order).payment_status == "partially_refunded"
    asks = manager.get(f"/staff/orders/{order.pk}/cancel").content.decode()
    assert f"${NBSP}1.500 se devuelven solos por Mercado Pago." in asks
    manager.post(f"/staff/orders/{order.pk}/cancel", {"from": "pending"})
    till.send_refunds()
    assert till.theirs(mp_id)["transaction_amount_refunded"] == 2000
    ended = till.now(order)
    assert (ended.status, ended.payment_status, ended.paid) == ("cancelled", "refunded", D(0))


def test_pressed_twice_goes_back_once(till: Till, paid: tuple[Order, Payment, str]) -> None:
    order, payment, mp_id = paid
    manager, address = visitor(till.place, "manager"), f"/staff/orders/{order.pk}/refund/{payment.pk}"
    fields = {"which": "part", "amount": "500", "wanted": "500.00", "key": "one-form", "sure": "yes"}
    for _ in range(3):
        assert manager.post(address, fields).status_code == 302
    assert Refund.objects.filter(payment=payment).count() == 1
    assert till.theirs(mp_id)["transaction_amount_refunded"] == 500
    asked = till.emulator.entries("request", method="POST", path=f"/v1/payments/{mp_id}/refunds")
    assert len(asked) == 1
    other = manager.post(address, fields | {"wanted": "600.00"})
    assert other.status_code == 422
    assert "ya se usó para otra cosa" in other.content.decode()
    assert till.theirs(mp_id)["transaction_amount_refunded"] == 500


def test_nothing_goes_back_before_it_is_confirmed(till: Till, paid: tuple[Order, Payment, str]) -> None:
    order, payment, mp_id = paid
    manager, address = visitor(till.place, "manager"), f"/staff/orders/{order.pk}/refund/{payment.pk}"
    asks = manager.post(address, {"which": "rest", "key": "k"})
    assert (asks.status_code, asks.context["confirm"], asks.context["key"]) == (200, D("2000.00"), "k")
    assert f"Sí, devolver ${NBSP}2.000" in asks.content.decode()
    assert till.theirs(mp_id)["transaction_amount_refunded"] == 0
    assert not Refund.objects.exists()


@pytest.mark.parametrize(
    ("amount", "said"),
    [("2000.01", "se pueden devolver"), ("0", "mayor que cero"), ("-5", "mayor que cero"), ("1.005", "mayor que cero"), ("x", "números")],
)
def test_what_cannot_go_back_is_said_beside_the_field(till: Till, paid: tuple[Order, Payment, str], amount: str, said: str) -> None:
    order, payment, _mp_id = paid
    answer = refund(visitor(till.place, "manager"), order, payment, amount)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert said in page
    assert f'value="{amount}"' in page
    assert not Refund.objects.exists()


def test_what_has_meanwhile_gone_back_is_refused_by_the_engine(till: Till, paid: tuple[Order, Payment, str]) -> None:
    order, payment, mp_id = paid
    manager, address = visitor(till.place, "manager"), f"/staff/orders/{order.pk}/refund/{payment.pk}"
    refund(manager, order, payment, "1500")
    late = manager.post(address, {"which": "part", "amount": "600", "wanted": "600.00", "key": "late", "sure": "yes"})
    assert late.status_code == 422
    assert "500.00 ARS" in late.content.decode()
    refund(manager, order, payment)
    again = manager.post(address, {"which": "rest", "wanted": "1.00", "key": "later", "sure": "yes"})
    assert again.status_code == 422
    assert till.theirs(mp_id)["transaction_amount_refunded"] == 2000


def test_without_mercado_pago_it_is_written_down_and_sent_later(till: Till, paid: tuple[Order, Payment, str]) -> None:
    order, payment, mp_id = paid
    manager = visitor(till.place, "manager")
    till.emulator.fault("status_500", None)
    assert refund(manager, order, payment, "500").status_code == 302
    page = page_of(manager, order)
    assert f"La devolución de ${NBSP}500 quedó anotada." in page
    assert "en camino" in page
    till.emulator.control("DELETE", "/_emu/faults")
    till.send_refunds()
    assert till.theirs(mp_id)["transaction_amount_refunded"] == 500
    assert "hecha" in page_of(manager, order)


def test_a_lost_connection_to_the_account_is_said(till: Till, paid: tuple[Order, Payment, str]) -> None:
    order, payment, _mp_id = paid
    till.emulator.control("POST", f"/_emu/sellers/{till.seller.mp_user_id}/deauthorize")
    manager = visitor(till.place, "manager")
    refund(manager, order, payment, "500")
    assert "conectar la cuenta de nuevo" in page_of(manager, order)
    mark_needs_reconnect(seller_id=till.seller.pk)
    assert Refund.objects.get(payment=payment).state == "requested"


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("manager", 200), ("cashier", 403), ("kitchen", 403), (None, 302)])
def test_who_may_give_money_back(till: Till, paid: tuple[Order, Payment, str], role: str | None, status: int) -> None:
    order, payment, mp_id = paid
    client, address = visitor(till.place, role), f"/staff/orders/{order.pk}/refund/{payment.pk}"
    assert client.get(address).status_code == status
    client.post(address, {"which": "rest", "wanted": "2000.00", "key": "k", "sure": "yes"})
    assert till.theirs(mp_id)["transaction_amount_refunded"] == (2000 if status == 200 else 0)


def test_cashiers_see_and_are_not_offered_it(till: Till, paid: tuple[Order, Payment, str]) -> None:
    order, payment, _mp_id = paid
    link = f"/staff/orders/{order.pk}/refund/{payment.pk}"
    assert link not in page_of(visitor(till.place, "cashier"), order)
    assert link in page_of(visitor(till.place, "manager"), order)


def test_cash_goes_back_from_the_till(till: Till) -> None:
    order, manager = till.order(), visitor(till.place, "manager")
    take(manager, order)
    payment = Payment.objects.get(order_key=order.secret)
    refund(manager, order, payment, "250.50")
    assert f"Devolvé ${NBSP}250,50 de la caja. Ya quedó anotado." in page_of(manager, order)
    assert till.entries(order) == [("payment", D("1000.00")), ("refund", D("-250.50"))]


def test_a_sheet_closes_and_what_is_below_is_read_again(till: Till, paid: tuple[Order, Payment, str]) -> None:
    order, payment, _mp_id = paid
    answer = refund(visitor(till.place, "manager"), order, payment, "500", headers=HTMX)
    assert answer.status_code == 204
    assert '"close-sheet": true, "orders-changed": true' in answer["HX-Trigger"]


def test_another_orders_payment_and_a_neighbours_are_not_found(till: Till, paid: tuple[Order, Payment, str], world: World) -> None:
    order, payment, _mp_id = paid
    other = till.order()
    manager = visitor(till.place, "manager")
    assert manager.get(f"/staff/orders/{other.pk}/refund/{payment.pk}").status_code == 404
    assert manager.get(f"/staff/orders/{other.pk}/taken/{payment.pk}").status_code == 404
    assert visitor(world.b, "owner").get(f"/staff/orders/{order.pk}").status_code == 404
    assert visitor(world.b, "owner").get(f"/staff/orders/{order.pk}/refund/{payment.pk}").status_code == 404


def test_the_next_step_is_taken_from_here(till: Till) -> None:
    order, client = till.order(), visitor(till.place, "kitchen")
    answer = client.post(f"/staff/orders/{order.pk}/step", {"from": "pending", "to": "confirmed"})
    assert (answer["Location"], till.now(order).status) == (f"/staff/orders/{order.pk}", "confirmed")
    client.post(f"/staff/orders/{order.pk}/step", {"from": "pending", "to": "confirmed"})
    assert "Alguien ya movió ese pedido." in page_of(client, order)


def test_the_page_is_asked_for_again_only_when_it_has_changed(till: Till) -> None:
    order, client = till.order(), visitor(till.place, "cashier")
    address = f"/staff/orders/{order.pk}/state"
    tag = client.get(f"/staff/orders/{order.pk}").context["tag"]
    assert client.get(address, headers={"If-None-Match": tag}).status_code == 304
    take(client, order)
    changed = client.get(address, headers={"If-None-Match": tag})
    assert (changed.status_code, changed["ETag"] == tag, "<html" in changed.content.decode()) == (200, False, False)


# --- Any order -------------------------------------------------------------------------------------------------------------------


def found(client: Client, **asked: str) -> list[int]:
    return [order.pk for order, _name, _badge in client.get("/staff/orders", asked).context["rows"]]


def test_an_order_is_found_by_what_is_known_of_it(till: Till, paid: tuple[Order, Payment, str]) -> None:
    order, _payment, _mp_id = paid
    other = till.order()
    with tenant_scope(till.place.ref):
        before = order.business_date - timedelta(days=1)
        Order.objects.filter(pk=other.pk).update(
            guest_name="Bruno Díaz", guest_email="b@guests.test", guest_phone="1155512345", table="7", business_date=before
        )
    client = visitor(till.place, "cashier")
    assert found(client) == [other.pk, order.pk]
    assert found(client, q="bruno") == [other.pk]
    assert found(client, q="díaz bruno") == [other.pk]
    assert found(client, q="55512345") == [other.pk]
    assert found(client, q="7") == [other.pk]
    assert found(client, q="ana") == [order.pk]
    assert order.pk in found(client, q=f"#{order.number}")
    assert found(client, q="nadie") == []
    assert found(client, q="9" * 40) == []
    assert found(client, payment="paid") == [order.pk]
    assert found(client, payment="pending") == [other.pk]
    assert found(client, day=before.isoformat()) == [other.pk]
    assert found(client, status="cancelled") == []


def test_what_is_not_understood_is_said_and_left_out(till: Till) -> None:
    order = till.order()
    client = visitor(till.place, "cashier")
    page = client.get("/staff/orders", {"day": "ayer", "status": "nonsense", "before": "x"})
    assert page.status_code == 200
    assert "Eso no es un día." in page.content.decode()
    assert found(client, day="ayer") == [order.pk]


def test_pages_of_orders_cost_the_same_queries(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    client = visitor(till.place, "cashier")
    till.told(till.pay(till.checkout(till.order())))

    def queries() -> int:
        with CaptureQueriesContext(connection) as made:
            client.get("/staff/orders")
        return len(made)

    one = queries()
    orders = [till.order() for _ in range(3)]
    till.told(till.pay(till.checkout(orders[0])))
    assert queries() == one
    monkeypatch.setattr("shop.kitchen.order_page.queries.PAGE", 2)
    monkeypatch.setattr("shop.kitchen.order_page.views.PAGE", 2)
    first = client.get("/staff/orders", {"q": "ana"})
    assert [order.pk for order, _n, _b in first.context["rows"]] == [orders[2].pk, orders[1].pk]
    assert f"q=ana&amp;before={orders[1].pk}" in first.content.decode()
    assert found(client, q="ana", before=str(orders[1].pk))[0] == orders[0].pk
