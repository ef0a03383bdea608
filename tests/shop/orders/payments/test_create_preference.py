from typing import Any

import pytest
import requests

from payments.ledger.models import Payment
from payments.sellers.models import Seller
from shop.orders.models import Order
from tenants.models import Cafeteria
from tenants.scope import tenant_scope
from tests.emulator.process import Emulator
from tests.payments.till import Till, open_till
from tests.shop.orders.payments.calls import ask, order_of, paid, read, refund
from tests.world import World

KEY = "idempotency-key"


def preference(till: Till, preference_id: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {till.seller.access_token}"}
    return dict(requests.get(f"{till.emulator.url}/checkout/preferences/{preference_id}", headers=headers, timeout=10).json())


def opened(till: Till) -> int:
    """How many checkouts Mercado Pago was asked for."""
    wanted = {"method": "POST", "path": "/checkout/preferences"}
    return len(till.emulator.entries("request", **wanted))


def test_a_customer_is_sent_to_a_checkout_for_what_is_due(till: Till) -> None:
    order = order_of(till.place, tip="100.00")
    answer = ask(till.place, "customer", order)
    assert answer.status_code == 200
    assert set(answer.json()) == {"payment_id", "preference_id", "init_point", "sandbox_init_point"}
    assert requests.get(answer.json()["init_point"], timeout=10).status_code == 200
    theirs = preference(till, answer.json()["preference_id"])
    assert sum(item["unit_price"] * item["quantity"] for item in theirs["items"]) == 1100
    assert theirs["collector_id"] == till.seller.mp_user_id
    assert theirs["payer"]["email"] == "customer@people.test"
    assert theirs["back_urls"]["success"] == f"http://{till.place.host}/o/{order['secret']}"


def test_paid_there_it_is_paid_here(till: Till) -> None:
    order = order_of(till.place)
    payment_id, _ = paid(till, order)
    seen = read(till.place, "customer", payment_id).json()
    assert (seen["status"], seen["amount"], seen["init_point"]) == ("paid", "1000.00", None)
    after = till.place.client("customer").get(f"/api/v1/orders/{order['id']}").json()
    assert (after["payment_status"], after["paid"], after["refunded"], after["status"]) == ("paid", "1000.00", "0.00", "pending")


def test_the_order_is_not_held_back(till: Till) -> None:
    order = order_of(till.place)
    assert ask(till.place, "customer", order).status_code == 200
    with tenant_scope(till.place.ref):
        assert Order.objects.get(pk=order["id"]).pay_by is None
    body = {"status": "confirmed"}
    told = till.place.client("kitchen").patch(f"/api/v1/orders/{order['id']}/status", body, content_type="application/json")
    assert told.status_code == 200


@pytest.mark.parametrize(
    ("role", "query", "status"),
    [
        ("customer", "", 200),
        ("cashier", "", 200),
        ("kitchen", "", 200),
        ("owner", "", 200),
        ("customer2", "", 404),
        (None, "", 401),
        (None, "?secret=wrong", 404),
        (None, "?secret=", 401),
        ("customer2", "?secret=wrong", 404),
    ],
)
def test_who_may(till: Till, role: str | None, query: str, status: int) -> None:
    order = order_of(till.place)
    assert ask(till.place, role, order, query=query).status_code == status
    assert Payment.objects.filter(cafeteria_uuid=till.uuid).count() == (status == 200)


def test_a_guest_pays_with_the_orders_secret(till: Till) -> None:
    order = order_of(till.place, None)
    assert ask(till.place, None, order).status_code == 401
    answer = ask(till.place, None, order, query=f"?secret={order['secret']}")
    assert answer.status_code == 200
    assert read(till.place, None, answer.json()["payment_id"], f"?secret={order['secret']}").json()["status"] == "pending"


def test_an_unknown_order_is_not_found_before_its_amount_is_looked_at(till: Till) -> None:
    unknown = {"id": 987_654, "total": "1.00"}
    for role in ("customer", "owner"):
        answer = ask(till.place, role, unknown)
        assert (answer.status_code, answer.json()["code"]) == (404, "order_not_found")
    others = order_of(till.place, "customer2")
    assert ask(till.place, "customer", others, amount="1.00").status_code == 404


@pytest.mark.parametrize("amount", ["0", "-1", "0.00", "0.001", "1000.001", "NaN", "Infinity", "1e400", "abc", [], {}, True])
def test_amounts_that_are_none(till: Till, amount: Any) -> None:
    order = order_of(till.place)
    assert ask(till.place, "customer", order, amount=amount).status_code == 422
    assert not Payment.objects.filter(cafeteria_uuid=till.uuid).exists()


@pytest.mark.parametrize("amount", ["999.99", "1000.01", "1", "9999999999.99"])
def test_another_amount_than_is_due(till: Till, amount: str) -> None:
    answer = ask(till.place, "customer", order_of(till.place), amount=amount)
    assert (answer.status_code, answer.json()) == (
        400,
        {"detail": "The amount is not what is due: 1000.00 ARS.", "code": "amount_not_due"},
    )
    assert not Payment.objects.filter(cafeteria_uuid=till.uuid).exists()
    assert opened(till) == 0


@pytest.mark.parametrize("amount", [1000, 1000.0, "1000", "1000.0", "1000.00"])
def test_ways_to_write_the_amount(till: Till, amount: Any) -> None:
    assert ask(till.place, "customer", order_of(till.place), amount=amount).status_code == 200


def test_pesos_of_chile_have_no_decimals(world: World, emulator: Emulator) -> None:
    Cafeteria.objects.filter(pk=world.a.ref.id).update(currency="CLP", revision=world.a.ref.revision + 1)
    till = open_till(world.a, emulator, site="MLC")
    order = order_of(world.a)
    assert order["total"] == "1000"
    assert ask(world.a, "customer", order, amount="1000.50").status_code == 422
    answer = ask(world.a, "customer", order)
    assert answer.status_code == 200
    [item] = preference(till, answer.json()["preference_id"])["items"]
    assert (item["unit_price"], isinstance(item["unit_price"], int)) == (1000, True)
    assert read(world.a, "customer", answer.json()["payment_id"]).json()["amount"] == "1000"


def test_a_paid_order_and_a_cancelled_one(till: Till) -> None:
    done, dropped = order_of(till.place), order_of(till.place)
    paid(till, done)
    answer = ask(till.place, "customer", done)
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_due")
    till.place.client("customer").delete(f"/api/v1/orders/{dropped['id']}")
    answer = ask(till.place, "customer", dropped)
    assert (answer.status_code, answer.json()["code"]) == (409, "order_cancelled")


def test_nobody_is_connected(world: World, emulator: Emulator) -> None:
    answer = ask(world.a, "customer", order_of(world.a))
    assert (answer.status_code, answer.json()["code"]) == (409, "not_connected")
    assert not Payment.objects.filter(cafeteria_uuid=world.a.ref.uuid).exists()


def test_an_account_that_mercado_pago_refuses_and_that_waits_for_its_owner(till: Till) -> None:
    order = order_of(till.place)
    till.emulator.control("POST", f"/_emu/sellers/{till.seller.mp_user_id}/deauthorize")
    found_out = ask(till.place, "customer", order)
    assert (found_out.status_code, found_out.json()["code"]) == (409, "needs_reconnect")
    assert Seller.objects.get(pk=till.seller.pk).status == "needs_reconnect"
    known = ask(till.place, "customer", order)
    assert (known.status_code, known.json()["code"]) == (409, "not_connected")


@pytest.mark.parametrize("fault", ["status_500", "html_502", "connection_reset", "truncated_json"])
def test_asking_again_after_mercado_pago_was_down_gives_the_same_payment(till: Till, fault: str) -> None:
    order = order_of(till.place)
    till.emulator.fault(fault, None, match={"path": "/checkout/preferences"})
    down = ask(till.place, "customer", order, **{KEY: "k"})
    assert (down.status_code, down.json()["code"]) == (503, "payments_unavailable")
    [payment] = Payment.objects.filter(cafeteria_uuid=till.uuid)
    till.emulator.control("DELETE", "/_emu/faults")
    again = [ask(till.place, "customer", order, **headers).json() for headers in ({}, {KEY: "k"}, {KEY: "other"})]
    assert {answer["payment_id"] for answer in again} == {str(payment.pk)}
    assert len({answer["preference_id"] for answer in again}) == 1


def test_an_open_checkout_is_used_again_whoever_asks(till: Till) -> None:
    order = order_of(till.place)
    first, second = ask(till.place, "customer", order).json(), ask(till.place, "cashier", order).json()
    assert first == second
    assert opened(till) == 1


# --- Idempotency-Key -------------------------------------------------------------------------------------------------------


def test_the_same_key_and_body_get_the_same_answer_whatever_came_after(till: Till) -> None:
    order = order_of(till.place)
    first = ask(till.place, "customer", order, **{KEY: "k-1"})
    till.told(till.emulator.pay(first.json()["preference_id"])["id"])
    again = ask(till.place, "customer", order, **{KEY: "k-1"})
    assert (again.status_code, again.content) == (200, first.content)
    assert ask(till.place, "customer", order, amount=1000, **{KEY: "k-1"}).content == first.content
    assert Payment.objects.filter(cafeteria_uuid=till.uuid).count() == 1


def test_a_key_that_was_answered_with_an_open_checkout_is_kept_as_well(till: Till) -> None:
    order, other = order_of(till.place), order_of(till.place)
    plain = ask(till.place, "customer", order)
    keyed = ask(till.place, "customer", order, **{KEY: "k-2"})
    assert keyed.json() == plain.json()
    assert ask(till.place, "customer", other, **{KEY: "k-2"}).status_code == 409
    till.told(till.emulator.pay(plain.json()["preference_id"])["id"])
    assert ask(till.place, "customer", order, **{KEY: "k-2"}).json() == plain.json()


def test_another_body_under_the_same_key_is_a_conflict(till: Till) -> None:
    order, other = order_of(till.place), order_of(till.place)
    ask(till.place, "customer", order, **{KEY: "k-3"})
    for answer in (ask(till.place, "customer", order, amount="999.00", **{KEY: "k-3"}), ask(till.place, "customer", other, **{KEY: "k-3"})):
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")
    assert Payment.objects.filter(cafeteria_uuid=till.uuid).count() == 1


def test_keys_are_each_persons_and_each_guests_own(till: Till) -> None:
    orders = [order_of(till.place, role) for role in ("customer", "customer2", None, None)]
    secrets = ["", "", *(f"?secret={order['secret']}" for order in orders[2:])]
    roles = ("customer", "customer2", None, None)
    answers = [
        ask(till.place, role, order, query=secret, **{KEY: "k-4"}) for role, order, secret in zip(roles, orders, secrets, strict=True)
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.json()["payment_id"] for answer in answers}) == 4


def test_a_key_that_placed_the_order_can_pay_it(till: Till) -> None:
    order = till.place.client("customer").post("/api/v1/orders", till.place.order(), content_type="application/json", headers={KEY: "one"})
    assert ask(till.place, "customer", order.json(), **{KEY: "one"}).status_code == 200


def test_a_key_of_a_refused_request_can_be_used_again(till: Till) -> None:
    order = order_of(till.place)
    assert ask(till.place, "customer", order, amount="1.00", **{KEY: "k-5"}).status_code == 400
    assert ask(till.place, "customer", order, **{KEY: "k-5"}).status_code == 200


@pytest.mark.parametrize("key", ["x" * 129, "with space", ""])
def test_a_key_must_be_a_key(till: Till, key: str) -> None:
    assert ask(till.place, "customer", order_of(till.place), **{KEY: key}).status_code == 422


def test_what_the_staff_gave_back_of_a_paid_order_is_not_due_again_and_what_was_given_back_whole_is(till: Till) -> None:
    order = order_of(till.place)
    payment_id, _ = paid(till, order)
    refund(till.place, "owner", payment_id, {"amount": "400.00"})
    assert ask(till.place, "customer", order).json()["code"] == "nothing_due"
    refund(till.place, "owner", payment_id)
    again = ask(till.place, "customer", order)
    assert again.status_code == 200
    assert again.json()["payment_id"] != payment_id
    till.told(till.emulator.pay(again.json()["preference_id"])["id"])
    after = till.place.client("customer").get(f"/api/v1/orders/{order['id']}").json()
    assert (after["payment_status"], after["paid"], after["refunded"]) == ("paid", "1000.00", "1000.00")
