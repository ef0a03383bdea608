import re
from typing import Any

import pytest
from requests import post, put

from tests.emulator.conftest import Merchant, new_merchant


def search(merchant: Merchant, **filters: Any) -> Any:
    return merchant.sdk.payment().search(filters, merchant.options())


def found(merchant: Merchant, **filters: Any) -> list[int]:
    response = search(merchant, **filters)
    assert response["status"] == 200, response
    return [payment["id"] for payment in response["response"]["results"]]


def test_an_approved_payment_tells_what_was_paid_and_received(merchant: Merchant) -> None:
    preference = merchant.sells(marketplace_fee=90.0, metadata={"order_id": "91"})
    payment = merchant.payment(merchant.emulator.pay(preference)["id"])
    assert (payment["status"], payment["status_detail"]) == ("approved", "accredited")
    assert (payment["transaction_amount"], payment["transaction_amount_refunded"], payment["currency_id"]) == (4500.5, 0, "ARS")
    assert (payment["external_reference"], payment["collector_id"]) == ("t7f3-01J9", merchant.user_id)
    assert payment["metadata"] == {"order_id": "91"}
    assert payment["payment_type_id"] == "credit_card"
    assert {fee["type"]: fee["amount"] for fee in payment["fee_details"]} == {"mercadopago_fee": 283.08, "application_fee": 90}
    assert payment["transaction_details"]["net_received_amount"] == 4500.5 - 283.08 - 90
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}-04:00", payment["date_approved"])
    assert not [name for name in payment if name.startswith("_")]


@pytest.mark.parametrize(
    ("outcome", "detail", "kind"),
    [
        ("rejected", "cc_rejected_insufficient_amount", "credit_card"),
        ("pending", "pending_waiting_payment", "ticket"),
        ("in_process", "pending_contingency", "credit_card"),
    ],
)
def test_a_payment_that_is_not_approved_brings_nothing(merchant: Merchant, outcome: str, detail: str, kind: str) -> None:
    payment = merchant.emulator.pay(merchant.sells(), outcome)
    assert (payment["status"], payment["status_detail"], payment["payment_type_id"]) == (outcome, detail, kind)
    assert payment["date_approved"] is None
    assert payment["transaction_details"]["net_received_amount"] == 0


def test_a_payment_can_differ_from_its_preference(merchant: Merchant) -> None:
    differs: dict[str, Any] = {"amount": 10, "currency": "BRL", "collector_id": 5, "external_reference": "other"}
    payment = merchant.payment(merchant.emulator.pay(merchant.sells(), **differs)["id"])
    names = ("transaction_amount", "currency_id", "collector_id", "external_reference")
    assert [payment[name] for name in names] == [10, "BRL", 5, "other"]


def test_another_sellers_payment_is_not_there(merchant: Merchant) -> None:
    payment, other = merchant.emulator.pay(merchant.sells()), new_merchant(merchant.emulator)
    response = other.sdk.payment().get(payment["id"], other.options())
    cause = [{"code": 2000, "description": "Payment not found", "data": None}]
    expected = {"message": "Payment not found", "error": "not_found", "status": 404, "cause": cause}
    assert response == {"status": 404, "response": expected}
    assert other.sdk.payment().get(1, other.options())["response"] == expected
    assert found(other, external_reference="t7f3-01J9") == []


def test_a_pending_payment_is_cancelled_by_its_seller(merchant: Merchant) -> None:
    payment = merchant.emulator.pay(merchant.sells(), "pending")
    response = merchant.sdk.payment().update(payment["id"], {"status": "cancelled"}, merchant.options())
    assert (response["status"], response["response"]["status"]) == (200, "cancelled")
    assert response["response"]["date_last_updated"] > payment["date_last_updated"]
    again = merchant.sdk.payment().update(payment["id"], {"status": "cancelled"}, merchant.options())
    assert (again["status"], again["response"]["cause"][0]["code"]) == (400, 2063)


def test_an_authorized_payment_is_captured_once(merchant: Merchant) -> None:
    payment = merchant.emulator.pay(merchant.sells(), "authorized")
    assert merchant.sdk.payment().capture(payment["id"], None, merchant.options())["response"]["status"] == "approved"
    assert merchant.sdk.payment().capture(payment["id"], None, merchant.options())["response"]["cause"][0]["code"] == 2063


def test_nothing_else_of_a_payment_can_be_put(merchant: Merchant) -> None:
    payment = merchant.emulator.pay(merchant.sells())
    assert merchant.sdk.payment().update(payment["id"], {"status": "approved"}, merchant.options())["status"] == 400


PATHS = [
    ("pending", ["approved", "refunded"]),
    ("pending", ["in_process", "rejected"]),
    ("pending", ["cancelled"]),
    ("in_process", ["approved", "in_mediation", "approved"]),
    ("approved", ["charged_back", "approved", "charged_back", "charged_back"]),
    ("approved", ["in_mediation", "refunded"]),
    ("authorized", ["cancelled"]),
]


@pytest.mark.parametrize(("begins", "path"), PATHS, ids=["-".join([begins, *path]) for begins, path in PATHS])
def test_a_payment_goes_from_state_to_state_with_ever_later_dates(merchant: Merchant, begins: str, path: list[str]) -> None:
    payment = merchant.emulator.pay(merchant.sells(), begins)
    dates = [payment["date_last_updated"]]
    for status in path:
        merchant.emulator.transition(payment["id"], status)
        now = merchant.payment(payment["id"])
        assert now["status"] == status
        dates.append(now["date_last_updated"])
    assert dates == sorted(set(dates))


@pytest.mark.parametrize(("begins", "status"), [("rejected", "approved"), ("approved", "pending"), ("pending", "refunded")])
def test_other_changes_do_not_happen(merchant: Merchant, begins: str, status: str) -> None:
    payment = merchant.emulator.pay(merchant.sells(), begins)
    response = merchant.emulator.request("POST", f"/_emu/payments/{payment['id']}/transition", {"status": status})
    assert response.status_code == 400
    assert merchant.payment(payment["id"])["date_last_updated"] == payment["date_last_updated"]


def test_a_transition_can_say_why(merchant: Merchant) -> None:
    payment = merchant.emulator.pay(merchant.sells(), "in_process")
    detail = "cc_rejected_high_risk"
    assert merchant.emulator.transition(payment["id"], "rejected", status_detail=detail)["status_detail"] == detail


def test_a_part_can_be_refunded_by_the_world(merchant: Merchant) -> None:
    payment = merchant.emulator.pay(merchant.sells())
    part = merchant.emulator.transition(payment["id"], "partially_refunded", amount=500.5)
    assert (part["status"], part["status_detail"], part["transaction_amount_refunded"]) == ("approved", "partially_refunded", 500.5)
    whole = merchant.emulator.transition(payment["id"], "refunded")
    assert (whole["status"], whole["transaction_amount_refunded"]) == ("refunded", 4500.5)
    missing = merchant.emulator.pay(merchant.sells())["id"]
    response = merchant.emulator.request("POST", f"/_emu/payments/{missing}/transition", {"status": "partially_refunded"})
    assert response.status_code == 400


def test_a_chargeback_can_be_looked_up_and_is_resolved(merchant: Merchant) -> None:
    payment = merchant.emulator.pay(merchant.sells())
    merchant.emulator.transition(payment["id"], "charged_back")
    listed = merchant.sdk.chargeback().search({"payment_id": payment["id"]}, merchant.options())["response"]
    chargeback = listed["results"][0]
    assert (listed["paging"]["total"], chargeback["payments"], chargeback["coverage_applied"]) == (1, [payment["id"]], None)
    merchant.emulator.transition(payment["id"], "approved")
    assert merchant.sdk.chargeback().get(chargeback["id"], merchant.options())["response"]["coverage_applied"] is True
    other = new_merchant(merchant.emulator)
    assert other.sdk.chargeback().get(chargeback["id"], other.options())["status"] == 404
    assert other.sdk.chargeback().search({}, other.options())["response"]["results"] == []


def test_payments_are_found_by_reference_and_status(merchant: Merchant) -> None:
    one, two = merchant.sells(external_reference="one"), merchant.sells(external_reference="two")
    rejected, approved = merchant.emulator.pay(one, "rejected")["id"], merchant.emulator.pay(one)["id"]
    merchant.emulator.pay(two)
    assert found(merchant, external_reference="one", sort="date_created", criteria="asc") == [rejected, approved]
    assert found(merchant, external_reference="one", status="approved") == [approved]
    assert found(merchant, external_reference="none") == []
    assert found(merchant, id=rejected) == [rejected]


def test_payments_are_found_by_when_they_changed(merchant: Merchant) -> None:
    preference = merchant.sells()
    old, untouched = merchant.emulator.pay(preference)["id"], merchant.emulator.pay(preference)["id"]
    merchant.emulator.advance(days=3)
    merchant.emulator.transition(old, "refunded")
    new = merchant.emulator.pay(preference, "pending")["id"]
    day = {"begin_date": "NOW-1DAYS", "end_date": "NOW"}
    assert found(merchant, range="date_last_updated", sort="date_last_updated", criteria="asc", **day) == [old, new]
    assert found(merchant, range="date_created", **day) == [new]
    assert found(merchant, range="date_approved", begin_date="NOW-1MONTH", end_date="NOW", criteria="asc") == [old, untouched]
    exact = merchant.payment(untouched)["date_created"]
    assert untouched in found(merchant, range="date_created", begin_date=exact, end_date=exact)


def test_a_search_comes_in_pages(merchant: Merchant) -> None:
    preference = merchant.sells()
    made = [merchant.emulator.pay(preference)["id"] for _ in range(5)]
    response = search(merchant, sort="id", criteria="asc", limit=2, offset=2)["response"]
    assert response["paging"] == {"total": 5, "limit": 2, "offset": 2}
    assert [payment["id"] for payment in response["results"]] == made[2:4]
    assert found(merchant) == made[::-1]


REFUSED: dict[str, dict[str, Any]] = {
    "too many": {"limit": 101},
    "none": {"limit": 0},
    "before the first": {"offset": -1},
    "text": {"limit": "ten"},
    "odd sort": {"sort": "amount"},
    "odd criteria": {"criteria": "up"},
    "odd range": {"range": "money_release_date", "begin_date": "NOW", "end_date": "NOW"},
    "half a range": {"range": "date_created", "begin_date": "NOW"},
    "dates without a range": {"begin_date": "NOW", "end_date": "NOW"},
    "no zone": {"range": "date_created", "begin_date": "2026-11-01", "end_date": "NOW"},
    "no date": {"range": "date_created", "begin_date": "yesterday", "end_date": "NOW"},
}


@pytest.mark.parametrize("filters", REFUSED.values(), ids=REFUSED.keys())
def test_a_search_that_makes_no_sense_is_refused(merchant: Merchant, filters: dict[str, Any]) -> None:
    assert search(merchant, **filters)["status"] == 400


def test_the_merchant_order_adds_its_payments_up(merchant: Merchant) -> None:
    preference = merchant.sells()
    rejected, paid = merchant.emulator.pay(preference, "rejected"), merchant.emulator.pay(preference, amount=4000)
    orders = merchant.sdk.merchant_order()
    order = orders.get(paid["order"]["id"], merchant.options())["response"]
    assert [line["id"] for line in order["payments"]] == [rejected["id"], paid["id"]]
    assert (order["status"], order["order_status"], order["paid_amount"]) == ("opened", "partially_paid", 4000)

    merchant.emulator.pay(preference, amount=500.5)
    assert orders.search({"preference_id": preference}, merchant.options())["response"]["elements"][0]["order_status"] == "paid"
    merchant.refund(paid["id"], 1000)
    order = orders.get(order["id"], merchant.options())["response"]
    assert (order["status"], order["order_status"], order["refunded_amount"]) == ("closed", "partially_reverted", 1000)


def test_a_merchant_order_may_be_unpaid_or_all_returned(merchant: Merchant) -> None:
    unpaid = merchant.emulator.pay(merchant.sells(), "pending")["order"]["id"]
    returned = merchant.emulator.pay(merchant.sells())
    merchant.refund(returned["id"])
    orders = merchant.sdk.merchant_order()
    assert orders.get(unpaid, merchant.options())["response"]["order_status"] == "payment_required"
    assert orders.get(returned["order"]["id"], merchant.options())["response"]["order_status"] == "reverted"
    other = new_merchant(merchant.emulator)
    assert other.sdk.merchant_order().get(unpaid, other.options())["status"] == 404
    assert other.sdk.merchant_order().search({}, other.options())["response"]["total"] == 0


def test_a_body_that_is_no_object_is_refused(merchant: Merchant) -> None:
    headers = {"Authorization": f"Bearer {merchant.token}"}
    url = f"{merchant.emulator.url}/checkout/preferences"
    answers = [post(url, data=body, headers=headers, timeout=10) for body in ("{", "[]", "null")]
    assert [response.json()["error"] for response in answers] == ["json_error", "json_error", "invalid_items"]


def test_no_other_method_is_there(merchant: Merchant) -> None:
    assert put(f"{merchant.emulator.url}/users/me", timeout=10).status_code == 405
    assert put(f"{merchant.emulator.url}/nothing", timeout=10).status_code == 404
