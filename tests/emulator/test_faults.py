import json
from typing import Any

import pytest
import requests
from mercadopago.errors.exceptions import MPServerError

from tests.emulator.conftest import Merchant
from tests.emulator.process import Emulator
from tests.emulator.receiver import Receiver
from tests.emulator.test_webhooks import SECRET, is_signed, paid

PAYMENTS = {"method": "GET", "path": "^/v1/payments/"}


def looked_up(merchant: Merchant, payment: dict[str, Any]) -> Any:
    return merchant.sdk.payment().get(payment["id"], merchant.options())


@pytest.fixture
def payment(merchant: Merchant) -> dict[str, Any]:
    return merchant.emulator.pay(merchant.sells())


def test_a_500_comes_as_often_as_told(merchant: Merchant, payment: dict[str, Any]) -> None:
    merchant.emulator.fault("status_500", times=2, match=PAYMENTS)
    assert [looked_up(merchant, payment)["status"] for _ in range(3)] == [500, 500, 200]
    assert merchant.emulator.control("GET", "/_emu/faults") == []


def test_a_429_says_when_to_come_back(merchant: Merchant, payment: dict[str, Any]) -> None:
    merchant.emulator.fault("status_429", retry_after=7)
    headers = {"Authorization": f"Bearer {merchant.token}"}
    response = requests.get(f"{merchant.emulator.url}/v1/payments/{payment['id']}", headers=headers, timeout=10)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")


def test_html_and_half_a_body_are_no_json(merchant: Merchant, payment: dict[str, Any]) -> None:
    for kind, status in (("html_502", 502), ("truncated_json", 200)):
        merchant.emulator.fault(kind)
        with pytest.raises(MPServerError) as caught:
            looked_up(merchant, payment)
        assert caught.value.status_code == status
    assert looked_up(merchant, payment)["status"] == 200


def test_a_reset_does_nothing(merchant: Merchant, payment: dict[str, Any]) -> None:
    merchant.emulator.fault("connection_reset", match={"method": "POST", "path": "/refunds$"})
    with pytest.raises(requests.ConnectionError):
        merchant.refund(payment["id"])
    assert merchant.payment(payment["id"])["status"] == "approved"


def test_a_commit_that_is_not_answered_has_happened_and_the_key_tells(merchant: Merchant, payment: dict[str, Any]) -> None:
    merchant.emulator.fault("commit_then_timeout", seconds=0.01, match={"method": "POST", "path": "/refunds$"})
    with pytest.raises(requests.ConnectionError):
        merchant.refund(payment["id"], 100.0, key="refund-1")
    again = merchant.refund(payment["id"], 100.0, key="refund-1")
    assert again["status"] == 201
    now = merchant.payment(payment["id"])
    assert (now["transaction_amount_refunded"], now["refunds"]) == (100, [again["response"]])
    entries = merchant.emulator.entries("request", idempotency_key="refund-1")
    assert [(entry["status"], entry["faults"]) for entry in entries] == [(None, ["commit_then_timeout"]), (201, [])]


def test_half_a_body_has_happened_too(merchant: Merchant, payment: dict[str, Any]) -> None:
    merchant.emulator.fault("truncated_json")
    with pytest.raises(MPServerError):
        merchant.refund(payment["id"])
    assert merchant.payment(payment["id"])["status"] == "refunded"


def test_latency_makes_a_client_give_up_and_goes_with_another_fault(merchant: Merchant, payment: dict[str, Any]) -> None:
    merchant.emulator.fault("latency", seconds=0.5, match=PAYMENTS)
    with pytest.raises(requests.Timeout):
        requests.get(f"{merchant.emulator.url}/v1/payments/{payment['id']}", timeout=0.1)
    merchant.emulator.control("DELETE", "/_emu/faults")
    merchant.emulator.fault("latency", seconds=0.01)
    merchant.emulator.fault("status_500")
    merchant.emulator.fault("html_502")
    assert looked_up(merchant, payment)["status"] == 500
    assert [fault["kind"] for fault in merchant.emulator.control("GET", "/_emu/faults")] == ["html_502"]


@pytest.mark.parametrize("match", [{"method": "PUT"}, {"path": "^/users"}, {"user_id": 1}], ids=["method", "path", "seller"])
def test_what_does_not_match_is_left_alone(merchant: Merchant, payment: dict[str, Any], match: dict[str, Any]) -> None:
    merchant.emulator.fault("status_500", match=match)
    assert looked_up(merchant, payment)["status"] == 200


def test_a_fault_can_hit_one_seller(merchant: Merchant, payment: dict[str, Any]) -> None:
    merchant.emulator.fault("status_500", match={"user_id": merchant.user_id})
    assert requests.get(f"{merchant.emulator.url}/users/me", timeout=10).status_code == 401
    assert looked_up(merchant, payment)["status"] == 500


def test_chance_strikes_the_same_requests_for_the_same_seed(merchant: Merchant, payment: dict[str, Any]) -> None:
    def run(seed: int) -> list[int]:
        merchant.emulator.control("DELETE", "/_emu/faults")
        merchant.emulator.fault("status_500", times=None, probability=0.2, seed=seed, match=PAYMENTS)
        return [looked_up(merchant, payment)["status"] for _ in range(60)]

    first = run(1)
    assert run(1) == first
    assert run(2) != first
    assert 3 <= first.count(500) <= 24
    assert set(first) == {200, 500}


REFUSED: dict[str, dict[str, Any]] = {
    "unknown kind": {"kind": "flood"},
    "no kind": {},
    "unknown option": {"kind": "drop", "often": True},
    "match as text": {"kind": "drop", "match": "GET /"},
    "unknown match": {"kind": "drop", "match": {"host": "x"}},
    "broken pattern": {"kind": "drop", "match": {"path": "("}},
    "pattern that is none": {"kind": "drop", "match": {"topic": 5}},
    "text times": {"kind": "drop", "times": "two"},
    "text seconds": {"kind": "latency", "seconds": "two"},
}


@pytest.mark.parametrize("options", REFUSED.values(), ids=REFUSED.keys())
def test_a_fault_that_makes_no_sense_is_refused(emulator: Emulator, options: dict[str, Any]) -> None:
    assert emulator.request("POST", "/_emu/faults", options).status_code == 400
    assert emulator.control("GET", "/_emu/faults") == []


def test_dropped_ones_never_come(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.fault("drop", times=None)
    paid(notified)
    notified.emulator.advance(days=1)
    assert receiver.received == []
    assert [entry["outcome"] for entry in notified.emulator.entries("delivery")] == ["dropped", "dropped"]


def test_one_in_five_is_dropped_by_chance(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.fault("drop", times=None, probability=0.2, seed=3, match={"topic": "payment"})
    preference = notified.sells()
    for _ in range(50):
        notified.emulator.pay(preference)
    notified.emulator.flush()
    dropped = len(notified.emulator.entries("delivery", outcome="dropped"))
    assert 5 <= dropped <= 40
    assert len(receiver.received) == 100 - dropped


def test_duplicates_are_the_same_notification(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.fault("duplicate", copies=4)
    paid(notified)
    created = [post for post in receiver.received if post.body["action"] == "payment.created"]
    assert (len(receiver.received), len(created)) == (6, 5)
    assert all(post.body == created[0].body and is_signed(post) for post in created)


def test_delayed_ones_wait_for_the_clock(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.fault("delay", times=None, seconds=3600)
    notified.emulator.pay(notified.sells())
    notified.emulator.advance(minutes=59)
    assert receiver.received == []
    notified.emulator.advance(minutes=1)
    assert len(receiver.received) == 2


def test_reordered_ones_come_after_the_next(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.fault("reorder", seconds=3600)
    notified.emulator.pay(notified.sells())
    assert [post.body["action"] for post in receiver.wait(2)] == ["payment.updated", "payment.created"]


def test_a_reordered_one_without_a_next_comes_at_last(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.fault("reorder", times=None, seconds=60)
    notified.emulator.pay(notified.sells())
    notified.emulator.advance(seconds=61)
    assert len(receiver.received) == 2


def test_a_wrong_secret_does_not_verify(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.fault("wrong_secret")
    paid(notified)
    assert sorted(is_signed(post) for post in receiver.received) == [False, True]
    assert all(is_signed(post) or is_signed(post, f"{SECRET}-not") for post in receiver.received)


def test_a_tampered_id_does_not_verify(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.fault("tampered_id")
    payment = paid(notified)
    tampered = next(post for post in receiver.received if post.query["data.id"] != str(payment["id"]))
    assert tampered.body["data"]["id"] == tampered.query["data.id"]
    assert not is_signed(tampered)


def test_a_wrong_user_id_verifies_all_the_same(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.fault("wrong_user_id")
    paid(notified)
    assert sorted(post.body["user_id"] for post in receiver.received) == [notified.user_id, notified.user_id + 1]
    assert all(is_signed(post) for post in receiver.received)


def test_milliseconds_are_signed_as_such(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.fault("ms_ts")
    paid(notified)
    moments = [post.headers["x-signature"].split(",")[0].removeprefix("ts=") for post in receiver.received]
    assert sorted(map(len, moments)) == [10, 13]
    assert all(is_signed(post) for post in receiver.received)


@pytest.mark.parametrize("match", [{"topic": "^chargebacks$"}, {"path": "/elsewhere"}, {"user_id": 1}], ids=["topic", "path", "seller"])
def test_notifications_that_do_not_match_are_left_alone(notified: Merchant, receiver: Receiver, match: dict[str, Any]) -> None:
    notified.emulator.fault("drop", times=None, match=match)
    paid(notified)
    assert len(receiver.received) == 2


def test_a_fault_says_how_often_it_has_struck(merchant: Merchant, payment: dict[str, Any]) -> None:
    merchant.emulator.fault("status_500", times=3)
    looked_up(merchant, payment)
    fault = merchant.emulator.control("GET", "/_emu/faults")[0]
    assert (fault["struck"], fault["times"], json.dumps(fault["match"])) == (1, 3, "{}")
