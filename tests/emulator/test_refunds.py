from threading import Barrier, Thread
from typing import Any

import pytest
import requests

from tests.emulator.conftest import Merchant, new_merchant
from tests.emulator.process import Emulator


@pytest.fixture
def payment(merchant: Merchant) -> dict[str, Any]:
    return merchant.emulator.pay(merchant.sells())


def test_an_empty_body_refunds_all(merchant: Merchant, payment: dict[str, Any]) -> None:
    response = merchant.refund(payment["id"])
    assert response["status"] == 201
    refund = response["response"]
    assert (refund["payment_id"], refund["amount"], refund["status"]) == (payment["id"], 4500.5, "approved")
    now = merchant.payment(payment["id"])
    assert (now["status"], now["transaction_amount_refunded"], now["refunds"]) == ("refunded", 4500.5, [refund])
    assert now["date_last_updated"] > payment["date_last_updated"]


def test_parts_add_up_to_the_whole(merchant: Merchant, payment: dict[str, Any]) -> None:
    first = merchant.refund(payment["id"], 500.5, key="one")["response"]
    now = merchant.payment(payment["id"])
    assert (now["status"], now["status_detail"], now["transaction_amount_refunded"]) == ("approved", "partially_refunded", 500.5)
    second = merchant.refund(payment["id"], 4000.0, key="two")["response"]
    assert merchant.payment(payment["id"])["status"] == "refunded"
    assert merchant.sdk.refund().list_all(payment["id"], merchant.options())["response"] == [first, second]
    assert merchant.sdk.refund().get(payment["id"], first["id"], merchant.options())["response"] == first
    assert merchant.sdk.refund().get(payment["id"], 1, merchant.options())["status"] == 404


def test_no_more_goes_back_than_came(merchant: Merchant, payment: dict[str, Any]) -> None:
    merchant.refund(payment["id"], 4000.0, key="one")
    assert merchant.refund(payment["id"], 500.51, key="two")["status"] == 400
    assert merchant.payment(payment["id"])["transaction_amount_refunded"] == 4000


@pytest.mark.parametrize("amount", [0, -1])
def test_the_amount_is_positive(merchant: Merchant, payment: dict[str, Any], amount: float) -> None:
    response = merchant.refund(payment["id"], amount)
    assert (response["status"], response["response"]["cause"][0]["code"]) == (400, 4040)


@pytest.mark.parametrize("amount", [0.001, float("1e-9")])
def test_the_amount_has_the_currencys_decimals(merchant: Merchant, payment: dict[str, Any], amount: float) -> None:
    assert merchant.refund(payment["id"], amount)["response"]["error"] == "invalid_amount"


@pytest.mark.parametrize("outcome", ["pending", "rejected"])
def test_only_approved_payments_go_back(merchant: Merchant, outcome: str) -> None:
    response = merchant.refund(merchant.emulator.pay(merchant.sells(), outcome)["id"])
    assert (response["status"], response["response"]["cause"][0]["code"]) == (400, 2063)


def test_a_refunded_payment_is_not_refunded_again(merchant: Merchant, payment: dict[str, Any]) -> None:
    merchant.refund(payment["id"], key="one")
    assert merchant.refund(payment["id"], key="two")["response"]["cause"][0]["code"] == 2063


def test_after_180_days_it_is_too_late(emulator: Emulator, merchant: Merchant) -> None:
    seller = emulator.seller()
    owner = Merchant(emulator, seller["user_id"], seller["access_token"], "")
    payment = emulator.pay(owner.sells())
    emulator.advance(days=180)
    response = owner.refund(payment["id"])
    assert (response["status"], response["response"]["cause"][0]["code"]) == (400, 2024)


def test_another_sellers_payment_is_not_there(merchant: Merchant, payment: dict[str, Any]) -> None:
    other = new_merchant(merchant.emulator)
    assert other.refund(payment["id"])["status"] == 404
    assert other.sdk.refund().list_all(payment["id"], other.options())["status"] == 404


def test_the_same_key_refunds_once_also_at_the_same_time(merchant: Merchant, payment: dict[str, Any]) -> None:
    barrier, answers = Barrier(8), []

    def press() -> None:
        barrier.wait()
        answers.append(merchant.refund(payment["id"], 100.0, key="refund-1"))

    threads = [Thread(target=press) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert all(answer == answers[0] for answer in answers)
    assert merchant.payment(payment["id"])["transaction_amount_refunded"] == 100


def test_a_key_is_needed_and_is_not_long(merchant: Merchant, payment: dict[str, Any]) -> None:
    url = f"{merchant.emulator.url}/v1/payments/{payment['id']}/refunds"
    bearer = {"Authorization": f"Bearer {merchant.token}"}
    assert requests.post(url, headers=bearer, timeout=10).json()["cause"][0]["code"] == 4292
    assert requests.post(url, headers={**bearer, "x-idempotency-key": "x" * 65}, timeout=10).status_code == 400
    assert requests.post(url, headers={**bearer, "x-idempotency-key": "x" * 64}, timeout=10).status_code == 201


def test_money_that_was_charged_back_does_not_go_back_twice(merchant: Merchant, payment: dict[str, Any]) -> None:
    merchant.emulator.transition(payment["id"], "charged_back")
    assert merchant.refund(payment["id"])["response"]["cause"][0]["code"] == 2063


@pytest.mark.parametrize(("end", "status", "back"), [("approved", "refunded", 4500.5), ("rejected", "approved", 0)])
def test_a_refund_can_take_its_time(merchant: Merchant, payment: dict[str, Any], end: str, status: str, back: float) -> None:
    merchant.emulator.settings(refunds="in_process")
    refund = merchant.refund(payment["id"])["response"]
    assert (refund["status"], merchant.payment(payment["id"])["transaction_amount_refunded"]) == ("in_process", 0)
    address = f"/_emu/payments/{payment['id']}/refunds/{refund['id']}"
    assert merchant.emulator.control("POST", address, {"status": end})["status"] == end
    now = merchant.payment(payment["id"])
    assert (now["status"], now["transaction_amount_refunded"], now["refunds"][0]["status"]) == (status, back, end)
    assert merchant.emulator.request("POST", address, {"status": end}).status_code == 400
    assert merchant.emulator.request("POST", f"{address}9", {"status": end}).status_code == 404
    assert merchant.emulator.request("POST", "/_emu/payments/1/refunds/1", {"status": end}).status_code == 404
    assert merchant.emulator.request("POST", address, {"status": "lost"}).status_code == 400


def test_a_refund_can_be_rejected(merchant: Merchant, payment: dict[str, Any]) -> None:
    merchant.emulator.settings(refunds="rejected")
    assert merchant.refund(payment["id"], key="one")["response"]["status"] == "rejected"
    assert merchant.payment(payment["id"])["transaction_amount_refunded"] == 0
