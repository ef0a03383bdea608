from decimal import Decimal
from typing import Any

import pytest

from core.jobs.models import Job
from payments.ledger.models import LedgerEntry, Payment, Refund
from tests.payments.till import Till
from tests.shop.orders.payments.calls import ask, order_of, paid, read, refund, refund_requests
from tests.shop.orders.payments.test_reading import in_cash
from tests.world import World

KEY = "idempotency-key"


def returned(till: Till, mp_id: str) -> Any:
    """What Mercado Pago has given back of it."""
    return till.theirs(mp_id)["transaction_amount_refunded"]


def entries(payment_id: str) -> list[tuple[str, Decimal]]:
    return list(LedgerEntry.objects.filter(payment_id=payment_id).order_by("id").values_list("kind", "amount"))


@pytest.mark.parametrize("body", [None, {}, {"amount": None}, {"amount": "1000.00"}, {"amount": 1000}])
def test_all_of_it(till: Till, body: Any) -> None:
    order = order_of(till.place)
    payment_id, mp_id = paid(till, order)
    answer = refund(till.place, "owner", payment_id, body)
    assert (answer.status_code, answer.json()["status"], answer.json()["refunded"]) == (200, "refunded", "1000.00")
    assert [(back["amount"], back["state"]) for back in answer.json()["refunds"]] == [("1000.00", "approved")]
    assert (returned(till, mp_id), refund_requests(till)) == (1000, 1)
    again = refund(till.place, "owner", payment_id, body)
    assert (again.status_code, again.json()) == (400, {"detail": "This payment is already refunded.", "code": "already_refunded"})
    assert refund_requests(till) == 1
    after = till.place.client("customer").get(f"/api/v1/orders/{order['id']}").json()
    assert (after["payment_status"], after["paid"], after["refunded"]) == ("refunded", "0.00", "1000.00")


def test_in_parts_and_not_more_than_the_rest(till: Till) -> None:
    payment_id, mp_id = paid(till, order_of(till.place))
    part = refund(till.place, "manager", payment_id, {"amount": "300.50"})
    assert (part.status_code, part.json()["status"], part.json()["refunded"]) == (200, "partially_refunded", "300.50")
    above = refund(till.place, "manager", payment_id, {"amount": "699.51"})
    assert (above.status_code, above.json()["code"]) == (400, "refund_too_large")
    assert above.json()["detail"] == "At most 699.50 ARS of this payment can be refunded."
    rest = refund(till.place, "manager", payment_id)
    assert (rest.json()["status"], rest.json()["refunded"]) == ("refunded", "1000.00")
    assert returned(till, mp_id) == 1000
    assert entries(payment_id) == [("payment", Decimal(1000)), ("refund", Decimal("-300.50")), ("refund", Decimal("-699.50"))]
    assert refund(till.place, "manager", payment_id, {"amount": "0.01"}).json()["code"] == "already_refunded"


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "NaN", "1e400", "abc", []])
def test_amounts_that_are_none(till: Till, amount: Any) -> None:
    payment_id, _ = paid(till, order_of(till.place))
    assert refund(till.place, "owner", payment_id, {"amount": amount}).status_code == 422
    assert not Refund.objects.filter(cafeteria_uuid=till.uuid).exists()


@pytest.mark.parametrize(
    ("role", "status"), [("customer", 403), ("kitchen", 403), ("cashier", 403), (None, 401), ("manager", 200), ("owner", 200)]
)
def test_who_may(world: World, role: str | None, status: int) -> None:
    payment_id = in_cash(world.a, order_of(world.a))
    assert refund(world.a, role, payment_id, {}).status_code == status
    assert Refund.objects.filter(payment_id=payment_id).count() == (status == 200)
    if status != 200:
        assert refund(world.a, role, payment_id, {"amount": "-1"}).status_code == status
        assert refund(world.a, role, "nothing", {}).status_code == status


def test_cash_goes_back_from_the_till(world: World) -> None:
    payment_id = in_cash(world.a, order_of(world.a))
    answer = refund(world.a, "owner", payment_id, {"amount": "400.00"}).json()
    assert (answer["status"], answer["refunded"], answer["refunds"][0]["state"]) == ("partially_refunded", "400.00", "approved")
    assert entries(payment_id) == [("payment", Decimal(1000)), ("refund", Decimal(-400))]


def test_what_has_not_been_paid_cannot_be_given_back(till: Till) -> None:
    payment_id = ask(till.place, "customer", order_of(till.place)).json()["payment_id"]
    answer = refund(till.place, "owner", payment_id)
    assert (answer.status_code, answer.json()["code"]) == (400, "nothing_to_refund")


# --- When Mercado Pago does not do it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["status_500", "html_502", "connection_reset"])
def test_while_mercado_pago_is_down_it_is_written_and_sent_later(till: Till, fault: str) -> None:
    payment_id, mp_id = paid(till, order_of(till.place))
    till.emulator.fault(fault, None, match={"path": "/v1/payments"})
    answer = refund(till.place, "owner", payment_id)
    assert (answer.status_code, answer.json()["status"], answer.json()["refunded"]) == (200, "paid", "0.00")
    [waiting] = answer.json()["refunds"]
    assert (waiting["amount"], waiting["state"]) == ("1000.00", "requested")
    assert refund(till.place, "owner", payment_id).status_code == 400  # It is asked for.
    job = Job.objects.get(kind="payments.ledger.jobs.send_refund", cafeteria_uuid=till.uuid)
    assert job.arguments == {"refund_id": waiting["id"]}
    till.emulator.control("DELETE", "/_emu/faults")
    till.send_refunds()
    assert returned(till, mp_id) == 1000
    assert read(till.place, "owner", payment_id).json()["status"] == "refunded"


def test_a_refund_that_commits_and_whose_answer_is_lost_is_one_refund(till: Till) -> None:
    payment_id, mp_id = paid(till, order_of(till.place))
    till.emulator.fault("commit_then_timeout", 1, match={"method": "POST", "path": "/refunds"}, seconds=0.1)
    answer = refund(till.place, "owner", payment_id, {"amount": "600.00"})
    assert (answer.status_code, answer.json()["status"], answer.json()["refunded"]) == (200, "partially_refunded", "600.00")
    till.send_refunds()
    assert returned(till, mp_id) == 600


def test_an_account_that_must_be_connected_again_gives_back_later(till: Till) -> None:
    payment_id, _ = paid(till, order_of(till.place))
    till.emulator.control("POST", f"/_emu/sellers/{till.seller.mp_user_id}/deauthorize")
    answer = refund(till.place, "owner", payment_id)
    assert (answer.status_code, answer.json()["status"], answer.json()["refunds"][0]["state"]) == (200, "paid", "requested")
    till.seller.refresh_from_db()
    assert till.seller.status == "needs_reconnect"


def test_what_mercado_pago_refuses_is_said(till: Till) -> None:
    payment_id, mp_id = paid(till, order_of(till.place))
    till.emulator.transition(mp_id, "in_mediation")
    answer = refund(till.place, "owner", payment_id)
    assert (answer.status_code, answer.json()["code"]) == (502, "payments_refused")
    assert "not valid for the current payment state" in answer.json()["detail"]
    seen = read(till.place, "owner", payment_id).json()
    assert (seen["status"], seen["refunded"], seen["refunds"][0]["state"]) == ("paid", "0.00", "rejected")


def test_what_mercado_pago_takes_its_time_for(till: Till) -> None:
    payment_id, mp_id = paid(till, order_of(till.place))
    till.emulator.settings(refunds="in_process")
    answer = refund(till.place, "owner", payment_id, {"amount": "250.00"}, **{KEY: "slow"})
    assert (answer.status_code, answer.json()["status"], answer.json()["refunded"]) == (200, "paid", "0.00")
    assert [(back["amount"], back["state"]) for back in answer.json()["refunds"]] == [("250.00", "in_process")]
    assert refund(till.place, "owner", payment_id, {"amount": "750.01"}).json()["code"] == "refund_too_large"
    [theirs] = till.theirs(mp_id)["refunds"]
    till.emulator.control("POST", f"/_emu/payments/{mp_id}/refunds/{theirs['id']}", {"status": "approved"})
    done = refund(till.place, "owner", payment_id, {"amount": "250.00"}, **{KEY: "slow"})
    assert (done.status_code, done.json()["status"], done.json()["refunded"]) == (200, "partially_refunded", "250.00")
    assert (returned(till, mp_id), refund_requests(till)) == (250, 1)


def test_what_mercado_pago_rejects_is_said_and_can_be_asked_again(till: Till) -> None:
    payment_id, mp_id = paid(till, order_of(till.place))
    till.emulator.settings(refunds="rejected")
    answer = refund(till.place, "owner", payment_id)
    assert (answer.status_code, answer.json()["code"]) == (502, "payments_refused")
    assert refund(till.place, "owner", payment_id, **{KEY: "again"}).status_code == 502
    till.emulator.settings(refunds="approved")
    assert refund(till.place, "owner", payment_id, **{KEY: "again"}).status_code == 502  # the same answer
    assert returned(till, mp_id) == 0
    assert refund(till.place, "owner", payment_id).json()["status"] == "refunded"
    assert returned(till, mp_id) == 1000


def test_what_was_given_back_at_mercado_pago_before_anybody_told_us(till: Till) -> None:
    payment_id, mp_id = paid(till, order_of(till.place))
    till.emulator.transition(mp_id, "refunded")
    answer = refund(till.place, "owner", payment_id, {"amount": "10.00"})
    assert (answer.status_code, answer.json()["code"]) == (400, "already_refunded")
    assert (returned(till, mp_id), read(till.place, "owner", payment_id).json()["status"]) == (1000, "refunded")


# --- Idempotency-Key -------------------------------------------------------------------------------------------------------


def test_the_same_key_and_body_give_back_once(till: Till) -> None:
    payment_id, mp_id = paid(till, order_of(till.place))
    first = refund(till.place, "owner", payment_id, {"amount": "100.00"}, **{KEY: "r-1"})
    again = [refund(till.place, "owner", payment_id, {"amount": amount}, **{KEY: "r-1"}) for amount in ("100.00", 100, "100.0")]
    assert [(answer.status_code, answer.content) for answer in again] == [(200, first.content)] * 3
    assert (returned(till, mp_id), refund_requests(till)) == (100, 1)
    another = refund(till.place, "owner", payment_id, {"amount": "100.00"}, **{KEY: "r-2"})
    assert (another.json()["refunded"], returned(till, mp_id)) == ("200.00", 200)


@pytest.mark.parametrize("body", [None, {"amount": "100.01"}])
def test_another_body_under_the_same_key_is_a_conflict(till: Till, body: Any) -> None:
    payment_id, mp_id = paid(till, order_of(till.place))
    refund(till.place, "owner", payment_id, {"amount": "100.00"}, **{KEY: "r-3"})
    answer = refund(till.place, "owner", payment_id, body, **{KEY: "r-3"})
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")
    assert returned(till, mp_id) == 100


def test_another_payment_under_the_same_key_is_a_conflict(world: World) -> None:
    first, second = (in_cash(world.a, order_of(world.a)) for _ in range(2))
    assert refund(world.a, "owner", first, {}, **{KEY: "r-4"}).status_code == 200
    assert refund(world.a, "owner", second, {}, **{KEY: "r-4"}).status_code == 409
    assert refund(world.a, "manager", second, {}, **{KEY: "r-4"}).status_code == 200


def test_all_of_it_again_under_its_key_is_no_error(till: Till) -> None:
    payment_id, mp_id = paid(till, order_of(till.place))
    first, again = (refund(till.place, "owner", payment_id, **{KEY: "r-5"}) for _ in range(2))
    assert (first.status_code, again.status_code, first.content) == (200, 200, again.content)
    assert (returned(till, mp_id), refund_requests(till)) == (1000, 1)


# --- Orders that are cancelled ------------------------------------------------------------------------------------------------


CANCELLERS = [("customer", "delete"), ("cashier", "delete"), ("kitchen", "status")]


def cancel(till: Till, order: dict[str, Any], role: str, how: str) -> Any:
    client, address = till.place.client(role), f"/api/v1/orders/{order['id']}"
    if how == "delete":
        return client.delete(address)
    return client.patch(f"{address}/status", {"status": "cancelled"}, content_type="application/json")


@pytest.mark.parametrize(("role", "how"), CANCELLERS)
def test_a_paid_order_that_is_cancelled_gets_its_money_back(till: Till, role: str, how: str) -> None:
    order = order_of(till.place)
    payment_id, mp_id = paid(till, order)
    answer = cancel(till, order, role, how)
    facts = {name: answer.json()[name] for name in ("status", "payment_status", "paid", "refunded")}
    assert answer.status_code == 200
    assert facts == {"status": "cancelled", "payment_status": "refunded", "paid": "0.00", "refunded": "1000.00"}
    assert answer.json() == till.place.client("owner").get(f"/api/v1/orders/{order['id']}").json()
    seen = read(till.place, "owner", payment_id).json()
    assert (seen["status"], [(back["amount"], back["state"], back["reason"]) for back in seen["refunds"]]) == (
        "refunded",
        [("1000.00", "approved", "cancelled")],
    )
    till.send_refunds()  # its job
    assert (returned(till, mp_id), refund_requests(till)) == (1000, 1)


@pytest.mark.parametrize(("role", "how"), CANCELLERS)
def test_while_mercado_pago_is_down_an_order_is_cancelled_all_the_same(till: Till, role: str, how: str) -> None:
    order = order_of(till.place)
    payment_id, mp_id = paid(till, order)
    till.emulator.fault("status_500", None)
    answer = cancel(till, order, role, how)
    assert (answer.status_code, answer.json()["status"], answer.json()["payment_status"]) == (200, "cancelled", "paid")
    [waiting] = read(till.place, "owner", payment_id).json()["refunds"]
    assert (waiting["amount"], waiting["state"], waiting["reason"]) == ("1000.00", "requested", "cancelled")
    till.emulator.control("DELETE", "/_emu/faults")
    till.send_refunds()
    after = till.place.client("customer").get(f"/api/v1/orders/{order['id']}").json()
    assert (after["payment_status"], after["refunded"], returned(till, mp_id)) == ("refunded", "1000.00", 1000)


def test_a_cancellation_that_is_refused_gives_nothing_back(till: Till) -> None:
    order = order_of(till.place)
    _, mp_id = paid(till, order)
    till.place.client("kitchen").patch(f"/api/v1/orders/{order['id']}/status", {"status": "confirmed"}, content_type="application/json")
    assert cancel(till, order, "customer", "delete").status_code == 400
    assert cancel(till, order, "customer2", "delete").status_code == 404
    assert (returned(till, mp_id), refund_requests(till)) == (0, 0)


def test_a_guest_with_the_secret_gets_it_back_too(till: Till) -> None:
    order = order_of(till.place, None)
    _, mp_id = paid(till, order)
    answer = till.place.client().delete(f"/api/v1/orders/{order['id']}?secret={order['secret']}")
    assert (answer.status_code, answer.json()["payment_status"], returned(till, mp_id)) == (200, "refunded", 1000)


@pytest.mark.parametrize("how", ["delete", "status"])
def test_an_order_paid_in_cash_that_is_cancelled_gives_it_back_at_once(till: Till, how: str) -> None:
    order = order_of(till.place)
    in_cash(till.place, order)
    answer = cancel(till, order, "owner", how).json()
    assert (answer["payment_status"], answer["paid"], answer["refunded"]) == ("refunded", "0.00", "1000.00")


def test_cancelling_closes_the_checkout(till: Till) -> None:
    order = order_of(till.place)
    payment_id = ask(till.place, "customer", order).json()["payment_id"]
    till.place.client("customer").delete(f"/api/v1/orders/{order['id']}")
    seen = read(till.place, "customer", payment_id).json()
    assert (seen["status"], seen["init_point"]) == ("cancelled", None)
    assert Payment.objects.get(pk=payment_id).closed_at is not None
