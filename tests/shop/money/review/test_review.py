"""The review queue: what waits for a person, and what they decide."""

import re
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from payments.ledger.cases import open_case
from payments.ledger.data import Actor
from payments.ledger.models import Charge, Refund
from payments.ledger.refunds import fail_refund, request_refund
from shop.money.queries import waiting_count
from shop.orders.actions import cancel_order
from shop.orders.models import Order
from tenants.scope import tenant_scope
from tests.payments.till import Till
from tests.shop.pages import visitor
from tests.world import World

D = Decimal
PAGE = "/staff/money/review"


def came(till: Till, **changes: Any) -> tuple[Order, Charge]:
    """An order whose payment is not what it should be."""
    order = till.order()
    mp_id = till.pay(till.checkout(order), **changes)
    till.told(mp_id)
    return order, Charge.objects.get(mp_id=mp_id)


def failed(till: Till, amount: str = "1000.00") -> tuple[Order, Charge]:
    """A paid order whose refund Mercado Pago has refused."""
    order = till.order()
    payment = till.checkout(order)
    till.told(till.pay(payment))
    with tenant_scope(till.place.ref):
        [refund] = request_refund(cafeteria_uuid=till.uuid, payment_id=payment.pk, amount=D(amount), actor=Actor())
        with open_case(till.uuid, order.secret) as case:
            fail_refund(case, refund, why="Mercado Pago refused: no balance")
    return order, Charge.objects.get(payment=payment)


def text(client: Client, address: str = PAGE) -> str:
    response = client.get(address, follow=True)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode().replace("\xa0", " "))


@pytest.mark.parametrize("role", ["owner", "manager", "cashier", "kitchen", "customer", None])
def test_who_may_look_and_decide(till: Till, role: str | None) -> None:
    _, charge = came(till, amount=999)
    client = visitor(till.place, role)
    addresses = [PAGE, f"{PAGE}/{charge.pk}/accept", f"{PAGE}/{charge.pk}/return"]
    may = role in {"owner", "manager"}
    assert [client.get(address).status_code for address in addresses] == [200 if may else 302 if role is None else 403] * 3
    if not may:
        assert {client.post(address).status_code for address in addresses[1:]} == {302 if role is None else 403}
        charge.refresh_from_db()
        assert charge.verdict == ""
        assert not Refund.objects.exists()


def test_nothing_to_review_says_what_would_be_here(world: World) -> None:
    page = text(visitor(world.a, "owner"))
    assert "Nada por revisar" in page
    assert "por revisar</span></span>" not in page


def test_less_came_and_is_accepted(till: Till) -> None:
    order, charge = came(till, amount=900)
    owner = visitor(till.place, "owner")
    page = text(owner)
    assert f"Llegó otro importe por el pedido #{order.number}" in page
    assert "Se pidieron $ 1.000 y se pagaron $ 900" in page
    assert "quedan $ 100 por pagar" in page
    assert f'href="/staff/orders/{order.pk}"' in page
    assert "¿Aceptar el pago?" in text(owner, f"{PAGE}/{charge.pk}/accept")
    assert till.now(order).payment_status == "review"
    said = owner.post(f"{PAGE}/{charge.pk}/accept")
    assert said["Location"] == PAGE
    accepted = till.now(order)
    assert (accepted.payment_status, accepted.paid) == ("pending", D("900.00"))
    page = text(owner)
    assert f"El pago del pedido #{order.number} ya cuenta" in page
    assert "Nada por revisar" in page
    assert "Aceptado" in page
    assert "owner@people.test" in page


def test_more_came_and_the_rest_goes_back(till: Till) -> None:
    order, charge = came(till, amount=1250)
    owner = visitor(till.place, "manager")
    assert "los $ 250 de más se devuelven solos" in text(owner)
    owner.post(f"{PAGE}/{charge.pk}/accept")
    till.send_refunds()
    assert (till.now(order).payment_status, till.now(order).paid) == ("paid", D("1000.00"))
    assert till.theirs(charge.mp_id)["transaction_amount_refunded"] == 250


def test_it_is_given_back_at_once(till: Till) -> None:
    order, charge = came(till, amount=900)
    manager = visitor(till.place, "manager")
    assert "$ 900 vuelven a quien pagó" in text(manager, f"{PAGE}/{charge.pk}/return")
    manager.post(f"{PAGE}/{charge.pk}/return")
    assert till.theirs(charge.mp_id)["status"] == "refunded"
    page = text(manager)
    assert f"El dinero del pedido #{order.number} se devolvió" in page
    assert "Devuelto" in page
    assert "manager@people.test" in page
    assert till.now(order).paid == 0
    again = manager.post(f"{PAGE}/{charge.pk}/return")
    assert again["Location"] == PAGE
    assert "Ya no hay nada que decidir" in text(manager)
    assert Refund.objects.count() == 1


def test_a_silent_mercado_pago_keeps_nobody_waiting(till: Till) -> None:
    order, charge = came(till, amount=900)
    owner = visitor(till.place, "owner")
    till.emulator.fault("status_500", None)
    owner.post(f"{PAGE}/{charge.pk}/return")
    page = text(owner)
    assert "Mercado Pago no responde en este momento" in page
    assert "Se está devolviendo" in page
    assert f"{PAGE}/{charge.pk}/return" not in page
    assert f"{PAGE}/{charge.pk}/accept" not in page
    till.emulator.control("DELETE", "/_emu/faults")
    till.send_refunds()
    assert "Nada por revisar" in text(owner)
    assert till.now(order).payment_status != "review"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"currency": "BRL"}, "se pagaron R$ 1.000,00 BRL"),
        ({"currency": "USD"}, "se pagaron 1000.00 USD"),
        ({"collector_id": 4711}, "otra cuenta de Mercado Pago"),
    ],
    ids=["brl", "usd", "collector"],
)
def test_what_cannot_be_counted_can_only_go_back(till: Till, changes: dict[str, Any], said: str) -> None:
    _, charge = came(till, **changes)
    owner = visitor(till.place, "owner")
    page = text(owner)
    assert said in page
    assert "Devolvelo y pedile a quien compró que pague de nuevo" in page
    assert f"{PAGE}/{charge.pk}/accept" not in page
    owner.post(f"{PAGE}/{charge.pk}/accept")
    charge.refresh_from_db()
    assert charge.verdict == ""


def test_money_of_a_cancelled_order_can_only_go_back(till: Till) -> None:
    order, charge = came(till, amount=900)
    with tenant_scope(till.place.ref):
        cancel_order(order_id=order.pk, actor=None)
    page = text(visitor(till.place, "owner"))
    assert f"{PAGE}/{charge.pk}/return" in page
    assert f"{PAGE}/{charge.pk}/accept" not in page


def test_money_of_an_order_that_is_gone(till: Till) -> None:
    order, charge = came(till, amount=900)
    with tenant_scope(till.place.ref):
        Order.objects.filter(pk=order.pk).update(secret="another")
    page = text(visitor(till.place, "owner"))
    assert "ya no existe" in page
    assert f"{PAGE}/{charge.pk}/accept" not in page


def test_a_refund_that_failed_is_tried_again_or_left(till: Till) -> None:
    order, charge = failed(till, "300.00")
    owner = visitor(till.place, "owner")
    page = text(owner)
    assert "Mercado Pago se negó a devolver $ 300" in page
    assert "no balance" in page
    assert "¿Dejarlo así?" in text(owner, f"{PAGE}/{charge.pk}/accept")
    owner.post(f"{PAGE}/{charge.pk}/accept")
    assert "Se dejó así" in text(owner)
    assert till.now(order).paid == D("1000.00")
    other, second = failed(till, "250.00")
    assert "$ 250 vuelven a quien pagó" in text(owner, f"{PAGE}/{second.pk}/return")
    owner.post(f"{PAGE}/{second.pk}/return")
    assert (till.now(other).payment_status, till.now(other).paid) == ("partially_refunded", D("750.00"))
    assert "Nada por revisar" in text(owner)


def test_what_a_bank_took_back_cannot_be_given_back_again(till: Till) -> None:
    _, charge = failed(till)
    till.emulator.transition(charge.mp_id, "charged_back")
    till.told(charge.mp_id)
    owner = visitor(till.place, "owner")
    assert f"{PAGE}/{charge.pk}/return" not in text(owner)
    owner.post(f"{PAGE}/{charge.pk}/return")
    assert Refund.objects.count() == 1


def test_disputes_are_answered_at_mercado_pago(till: Till) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    till.emulator.transition(mp_id, "in_mediation")
    till.told(mp_id)
    owner = visitor(till.place, "owner")
    page = text(owner)
    assert f"Quien pagó el pedido #{order.number} desconoce el pago" in page
    assert "abrió un reclamo por $ 1.000" in page
    assert 'href="https://www.mercadopago.com.ar/' in page
    assert mp_id in page
    till.emulator.transition(mp_id, "charged_back")
    till.told(mp_id)
    assert "se llevó $ 1.000 de vuelta" in text(owner)
    assert waiting_count(till.uuid) == 1
    till.emulator.transition(mp_id, "charged_back", status_detail="settled")
    till.told(mp_id)
    page = text(owner)
    assert "Reclamo perdido" in page
    assert "Nada por revisar" in page


def test_the_bar_says_how_many_wait(till: Till) -> None:
    came(till, amount=900)
    came(till, currency="BRL")
    mp_id = till.pay(till.checkout(till.order()))
    till.told(mp_id)
    till.emulator.transition(mp_id, "in_mediation")
    till.told(mp_id)
    assert waiting_count(till.uuid) == 3
    assert '3<span class="visually-hidden"> por revisar</span>' in text(visitor(till.place, "manager"), "/staff/")
    assert "por revisar" not in text(visitor(till.place, "cashier"), "/staff/")


def test_nothing_of_the_neighbour(world: World, till: Till) -> None:
    _, charge = came(till, amount=900)
    theirs = visitor(world.b, "owner")
    assert "Nada por revisar" in text(theirs)
    assert waiting_count(world.b.ref.uuid) == 0
    for what in ("accept", "return"):
        assert theirs.get(f"{PAGE}/{charge.pk}/{what}")["Location"] == PAGE
        assert theirs.post(f"{PAGE}/{charge.pk}/{what}")["Location"] == PAGE
    charge.refresh_from_db()
    assert (charge.verdict, Refund.objects.count()) == ("", 0)
