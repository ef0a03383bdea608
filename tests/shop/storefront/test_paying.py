"""What an order's own page says of its money in each state, and what can be done there."""

import re
from datetime import timedelta
from decimal import Decimal
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from payments.ledger.actions import take_at_counter
from payments.ledger.data import Actor
from payments.ledger.models import Payment, Refund
from payments.ledger.refunds import request_refund
from payments.reconciliation.actions import LOOK_TIMEOUT
from payments.sellers.models import Seller
from shop.checkout.actions import CHECKOUT_TIMEOUT
from shop.orders.actions import cancel_order, change_status
from shop.orders.models import Order
from shop.orders.payments.actions import facts_of
from tenants.scope import tenant_scope
from tests.payments.till import Till, long_ago
from tests.shop.pages import checkout, fill_cart, visitor
from tests.world import World


@pytest.fixture
def guest(till: Till) -> Client:
    return visitor(till.place)


@pytest.fixture
def waiting(till: Till) -> tuple[Order, Payment]:
    """An order that waits for its payment, whose checkout is open."""
    order = till.order(waits=True)
    return order, till.checkout(order)


def seen(guest: Client, order: Order, query: str = "") -> Any:
    """The page's state of the money, its headline, and all of its words."""
    response = guest.get(f"/o/{order.secret}{query}")
    assert response.status_code == 200
    words = re.sub(r"<[^>]+>|&nbsp;", " ", response.content.decode().replace("\N{NO-BREAK SPACE}", " "))
    return response.context["money"].state.value, str(response.context["headline"]), " ".join(words.split())


def offers(guest: Client, order: Order, query: str = "") -> set[str]:
    """What its buttons do."""
    page = guest.get(f"/o/{order.secret}{query}").content.decode()
    return set(re.findall(rf'action="/o/{order.secret}/(\w+)"', page))


def come_back(guest: Client, order: Order, query: str = "") -> str:
    """Where coming back from Mercado Pago leads to; as if nobody had looked for a while."""
    Payment.objects.filter(order_key=order.secret).update(looked_at=None)
    response = guest.get(f"/o/{order.secret}/back{query}")
    assert response.status_code == 302
    return str(response["Location"])


def searches(till: Till) -> int:
    return len(till.emulator.entries("request", path="/v1/payments/search"))


# --- The states ----------------------------------------------------------------------------------------------------------------


def test_an_order_that_waits_says_until_when_and_not_that_the_cafeteria_has_it(
    till: Till, guest: Client, waiting: tuple[Order, Payment]
) -> None:
    order, _ = waiting
    assert order.pay_by is not None
    state, headline, words = seen(guest, order)
    until = order.pay_by.astimezone(till.place.ref.zone).strftime("%H:%M")
    assert (state, headline) == ("waiting", "Esperamos tu pago")
    assert f"Pagalo antes de las {until} o el pedido se cancela." in words
    assert "recibió el pedido" not in words
    assert "Enviado a la cafetería" not in words
    assert offers(guest, order) == {"pay", "counter", "cancel"}


def test_a_payment_that_mercado_pago_has_not_decided_is_being_confirmed(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    till.told(till.pay(payment, "in_process"))
    state, headline, words = seen(guest, order)
    assert (state, headline) == ("looked_at", "Estamos confirmando tu pago")
    assert "todavía está revisando tu pago" in words
    assert offers(guest, order) == {"counter", "cancel"}


def test_a_rejected_payment_can_be_tried_again_or_paid_at_the_counter(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    till.told(till.pay(payment, "rejected"))
    state, headline, words = seen(guest, order)
    assert (state, headline) == ("rejected", "El pago no se hizo")
    assert "No se cobró nada." in words
    assert "Volver a intentar" in words
    assert offers(guest, order) == {"pay", "counter", "cancel"}


def test_a_paid_order_shows_its_receipt(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    mp_id = till.pay(payment)
    till.told(mp_id)
    state, headline, words = seen(guest, order)
    assert (state, headline) == ("paid", "Pagado: la cafetería ya tiene tu pedido")
    assert "Pagado con Mercado Pago" in words
    assert f"operación {mp_id}" in words
    assert "Enviado a la cafetería" in words
    assert offers(guest, order) == {"cancel"}


@pytest.mark.parametrize(("method", "said"), [("cash", "en efectivo"), ("card", "con tarjeta")])
def test_what_was_paid_at_the_counter_is_given_back_there(till: Till, guest: Client, method: str, said: str) -> None:
    order = till.order()
    with tenant_scope(till.place.ref):
        take_at_counter(cafeteria_uuid=till.uuid, order=facts_of(order), method=method, actor=Actor())
    state, _, words = seen(guest, order)
    assert state == "paid"
    assert f"Pagado en el mostrador, {said}" in words
    assert offers(guest, order) == set()
    guest.post(f"/o/{order.secret}/cancel")
    assert till.now(order).status == "pending"
    assert "cancelalo ahí" in seen(guest, order)[2]


def test_a_cancelled_paid_order_shows_its_money_going_back(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    till.told(till.pay(payment))
    assert "te devolvemos $ 1.000 por el mismo medio de pago" in seen(guest, order)[2]
    guest.post(f"/o/{order.secret}/cancel")
    state, headline, words = seen(guest, order)
    assert (state, headline) == ("returning", "Este pedido se canceló")
    assert "Tu dinero está en camino de vuelta." in words
    assert "Te estamos devolviendo $ 1.000" in words
    assert 'data-poll="' in guest.get(f"/o/{order.secret}").content.decode()
    till.send_refunds()
    state, _, words = seen(guest, order)
    assert state == "returned"
    assert "Te devolvimos $ 1.000" in words
    assert 'data-poll="' not in guest.get(f"/o/{order.secret}").content.decode()


def test_a_refund_that_failed_is_owed(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    till.told(till.pay(payment))
    guest.post(f"/o/{order.secret}/cancel")
    Refund.objects.filter(payment=payment).update(state=Refund.State.REJECTED)
    state, _, words = seen(guest, order)
    assert state == "owed"
    assert "Falta devolverte $ 1.000." in words


def test_a_part_that_was_given_back_is_shown(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    till.told(till.pay(payment))
    with tenant_scope(till.place.ref):
        request_refund(cafeteria_uuid=till.uuid, payment_id=payment.pk, amount=Decimal(300), actor=Actor())
    assert "Te estamos devolviendo $ 300" in seen(guest, order)[2]
    till.send_refunds()
    state, _, words = seen(guest, order)
    assert state == "partly_refunded"
    assert "Te devolvimos $ 300" in words
    assert offers(guest, order) == {"cancel"}


def test_money_that_is_not_what_was_asked_for_is_being_checked(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    till.told(till.pay(payment, amount=5))
    state, headline, words = seen(guest, order)
    assert (state, headline) == ("review", "Estamos revisando tu pago")
    assert "Preguntá en el mostrador" in words
    assert offers(guest, order) == {"cancel"}


def test_a_payment_that_the_bank_took_back(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    mp_id = till.pay(payment)
    till.told(mp_id)
    till.emulator.transition(mp_id, "charged_back")
    till.told(mp_id)
    assert seen(guest, order)[0] == "charged_back"
    assert "Tu banco revirtió este pago." in seen(guest, order)[2]


def test_not_paid_in_time_is_another_cancellation_than_the_cafeterias(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    expire(till, payment)
    state, headline, words = seen(guest, order)
    assert (state, headline) == ("over", "Cancelado: no se pagó a tiempo")
    assert "No se cobró nada." in words
    assert "Enviado a la cafetería" not in words
    theirs = till.order()
    with tenant_scope(till.place.ref):
        change_status(order_id=theirs.pk, status="cancelled", actor=till.place.caller("cashier"))
    assert seen(guest, theirs)[1] == "La cafetería canceló este pedido"


def test_a_customers_own_cancellation_is_not_the_cafeterias(till: Till, guest: Client) -> None:
    caller = till.place.caller("customer")
    order = till.order(caller=caller)
    with tenant_scope(till.place.ref):
        cancel_order(order_id=order.pk, actor=caller)
    assert seen(guest, order)[1] == "Este pedido se canceló"


def test_a_payment_that_came_too_late_goes_back(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    expire(till, payment)
    till.told(till.pay(payment, force=True))
    assert "Tu pago llegó cuando el pedido ya estaba cancelado." in seen(guest, order)[2]
    till.send_refunds()
    state, headline, words = seen(guest, order)
    assert (state, headline) == ("returned", "Cancelado: no se pagó a tiempo")
    assert "Te devolvimos $ 1.000" in words


def test_an_undecided_payment_of_a_cancelled_order(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    till.told(till.pay(payment, "in_process"))
    guest.post(f"/o/{order.secret}/cancel")
    assert seen(guest, order)[0] == "undecided"
    assert "Si lo aprueba, el dinero te vuelve solo." in seen(guest, order)[2]


def test_an_open_page_learns_that_mercado_pago_has_taken_the_payment_up(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    tag = guest.get(f"/o/{order.secret}").context["tag"]
    till.told(till.pay(payment, "in_process"))
    answer = guest.get(f"/o/{order.secret}/state", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert "Estamos confirmando tu pago" in answer.content.decode()


# --- Coming back from Mercado Pago ------------------------------------------------------------------------------------------------


def test_coming_back_after_paying_shows_it_paid_before_any_notification(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    till.pay(payment)
    assert come_back(guest, order, "?status=approved") == f"/o/{order.secret}?back=1"
    assert seen(guest, order, "?back=1")[0] == "paid"


def test_a_forged_return_changes_nothing(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    forged = f"?collection_status=approved&status=approved&payment_id=123&external_reference={payment.reference}"
    assert come_back(guest, order, forged) == f"/o/{order.secret}?back=1"
    state, headline, words = seen(guest, order, "?back=1")
    assert (state, headline) == ("confirming", "Estamos confirmando tu pago")
    assert "Mercado Pago todavía no nos avisó de un pago." in words
    assert offers(guest, order, "?back=1") == {"pay", "counter", "cancel"}
    assert (till.now(order).payment_status, till.now(order).paid) == ("pending", Decimal(0))


def test_the_words_of_the_address_alone_confirm_nothing(guest: Client, waiting: tuple[Order, Payment]) -> None:
    assert seen(guest, waiting[0], "?back=1&status=approved")[0] == "waiting"


def test_confirming_ends_after_a_while(guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    come_back(guest, order)
    Payment.objects.filter(pk=payment.pk).update(looked_at=timezone.now() - timedelta(minutes=11))
    assert seen(guest, order, "?back=1")[0] == "waiting"


def test_whoever_reloads_does_not_hammer_mercado_pago(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    for _ in range(5):
        assert guest.get(f"/o/{order.secret}/back").status_code == 302
    assert searches(till) == 1
    Payment.objects.filter(pk=payment.pk).update(looked_at=timezone.now() - timedelta(seconds=6))
    guest.get(f"/o/{order.secret}/back")
    assert searches(till) == 2


def test_many_who_come_back_at_once_ask_once(committed_till: Till) -> None:
    order = committed_till.order(waits=True)
    committed_till.checkout(order)
    together = Barrier(6)

    def look() -> None:
        together.wait()
        visitor(committed_till.place).get(f"/o/{order.secret}/back")
        connection.close()

    looks = [Thread(target=look) for _ in range(6)]
    for thread in looks:
        thread.start()
    for thread in looks:
        thread.join(60)
    assert searches(committed_till) == 1


def test_nobody_is_asked_about_what_is_known_or_was_never_begun(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    till.told(till.pay(payment))
    come_back(guest, order)
    come_back(guest, till.order())
    assert searches(till) == 0


@pytest.mark.parametrize("kind", ["status_500", "connection_reset", "truncated_json"])
def test_a_look_that_fails_is_fine(till: Till, guest: Client, waiting: tuple[Order, Payment], kind: str) -> None:
    order, payment = waiting
    mp_id = till.pay(payment)
    till.emulator.fault(kind, match={"path": "/v1/payments/search"})
    come_back(guest, order)
    assert seen(guest, order, "?back=1")[0] == "confirming"
    till.told(mp_id)
    assert seen(guest, order, "?back=1")[0] == "paid"


def test_a_slow_mercado_pago_holds_nobody(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    till.pay(payment)
    till.emulator.fault("latency", seconds=LOOK_TIMEOUT + 1, match={"path": "/v1/payments/search"})
    come_back(guest, order)
    assert seen(guest, order, "?back=1")[0] == "confirming"
    other = till.order(waits=True)
    till.emulator.fault("latency", times=2, seconds=CHECKOUT_TIMEOUT + 1, match={"path": "/checkout/preferences"})
    assert guest.post(f"/o/{other.secret}/pay").status_code == 302
    assert seen(guest, other)[0] == "unopened"
    assert guest.post(f"/o/{other.secret}/pay").status_code == 303


def test_coming_back_to_no_order_is_not_found(till: Till, guest: Client) -> None:
    assert guest.get("/o/nothing/back").status_code == 404


def test_the_way_back_gives_the_address_to_nobody(guest: Client, waiting: tuple[Order, Payment]) -> None:
    response = guest.get(f"/o/{waiting[0].secret}/back")
    assert (response["Referrer-Policy"], response["X-Robots-Tag"]) == ("same-origin", "noindex")


def test_the_page_goes_on_asking_as_one_who_came_back(guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, _ = waiting
    come_back(guest, order)
    assert f'data-poll="/o/{order.secret}/state?back=1"' in guest.get(f"/o/{order.secret}?back=1").content.decode()
    assert "Estamos confirmando" in guest.get(f"/o/{order.secret}/state?back=1").content.decode()


# --- Paying ---------------------------------------------------------------------------------------------------------------------------


def test_paying_now_leads_to_the_same_checkout(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    for _ in range(2):
        response = guest.post(f"/o/{order.secret}/pay")
        assert (response.status_code, response["Location"]) == (303, payment.init_point)
    assert Payment.objects.filter(order_key=order.secret).count() == 1


def test_an_order_for_the_counter_can_be_paid_online_and_is_cooked_all_the_same(till: Till, guest: Client) -> None:
    order = till.order()
    assert offers(guest, order) == {"pay", "cancel"}
    assert guest.post(f"/o/{order.secret}/pay").status_code == 303
    payment = Payment.objects.get(order_key=order.secret)
    assert (till.now(order).pay_by, payment.return_url) == (None, f"http://{till.place.host}/o/{order.secret}/back")
    expire(till, payment)
    assert till.now(order).status == "pending"


def test_trying_again_shortly_before_the_end_moves_the_end(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    Payment.objects.filter(pk=payment.pk).update(expires_at=timezone.now() + timedelta(minutes=1))
    assert guest.post(f"/o/{order.secret}/pay").status_code == 303
    newest = Payment.objects.filter(order_key=order.secret).order_by("-pk")[0]
    assert newest.pk != payment.pk
    assert till.now(order).pay_by == newest.expires_at
    expire(till, payment)
    assert till.now(order).status == "pending"


def test_the_rest_of_what_was_accepted_for_less_is_due(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, _ = waiting
    with tenant_scope(till.place.ref):
        Order.objects.filter(pk=order.pk).update(paid=Decimal(400))
    assert "Pagar $ 600 ahora" in seen(guest, order)[2]


def test_the_counter_takes_an_order_that_waited(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, payment = waiting
    assert guest.post(f"/o/{order.secret}/counter")["Location"] == f"/o/{order.secret}"
    state, headline, words = seen(guest, order)
    assert (state, headline) == ("counter", "La cafetería recibió el pedido")
    assert "Lo pagás en el mostrador." in words
    expire(till, payment)
    assert till.now(order).status == "pending"


@pytest.mark.parametrize("what", ["paid", "cancelled"])
def test_nothing_is_begun_for_an_order_that_is_done_with(till: Till, guest: Client, waiting: tuple[Order, Payment], what: str) -> None:
    order, payment = waiting
    if what == "paid":
        till.told(till.pay(payment))
    else:
        guest.post(f"/o/{order.secret}/cancel")
    for action in ("pay", "counter"):
        assert guest.post(f"/o/{order.secret}/{action}")["Location"] == f"/o/{order.secret}"
    assert Payment.objects.filter(order_key=order.secret).count() == 1
    assert till.now(order).pay_by is None


def test_without_an_account_the_counter_is_left(till: Till, guest: Client, waiting: tuple[Order, Payment]) -> None:
    order, _ = waiting
    Seller.objects.filter(cafeteria_uuid=till.uuid).update(status=Seller.Status.NEEDS_RECONNECT)
    assert offers(guest, order) == {"counter", "cancel"}
    assert "Esta cafetería no cobra en línea por ahora." in seen(guest, order)[2]
    assert guest.post(f"/o/{order.secret}/pay")["Location"] == f"/o/{order.secret}"
    assert "Por ahora esta cafetería no cobra en línea." in seen(guest, order)[2]


def test_a_checkout_that_does_not_open_can_be_opened_later(till: Till, guest: Client) -> None:
    order = till.order(waits=True)
    till.emulator.fault("status_500", times=2, match={"path": "/checkout/preferences"})
    assert guest.post(f"/o/{order.secret}/pay")["Location"] == f"/o/{order.secret}"
    assert seen(guest, order)[0] == "unopened"
    assert guest.post(f"/o/{order.secret}/pay").status_code == 303
    assert seen(guest, order)[0] == "waiting"


@pytest.mark.parametrize("action", ["pay", "counter"])
def test_a_neighbours_order_cannot_be_reached(world: World, till: Till, waiting: tuple[Order, Payment], action: str) -> None:
    assert visitor(world.b).post(f"/o/{waiting[0].secret}/{action}").status_code == 404
    assert visitor(world.b).get(f"/o/{waiting[0].secret}/back").status_code == 404
    assert visitor(till.place).get(f"/o/{waiting[0].secret}/{action}").status_code == 405


# --- A person's own orders ------------------------------------------------------------------------------------------------------------


def test_the_list_of_orders_says_how_each_stands_at_no_query_more(till: Till) -> None:
    client = visitor(till.place, "customer")
    fill_cart(client, till.place)
    assert checkout(client, pay="online", name="").status_code == 303
    one = queries(client)
    fill_cart(client, till.place)
    assert checkout(client, pay="online", name="").status_code == 303
    till.told(till.pay(Payment.objects.order_by("-pk")[0]))
    fill_cart(client, till.place)
    assert checkout(client, pay="counter", name="").status_code == 302
    assert queries(client) == one
    badges = re.findall(r'class="badge badge-(?:warn|good|bad)">(?:<svg.*?</svg>)?([^<]+)<', client.get("/account/orders").content.decode())
    assert badges == ["se paga en el mostrador", "pagado", "falta el pago"]


def queries(client: Client) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get("/account/orders").status_code == 200
    return len(captured)


def expire(till: Till, payment: Payment) -> None:
    """Its time is over, and reconciliation has looked."""
    Payment.objects.filter(pk=payment.pk).update(expires_at=long_ago())
    till.look()
