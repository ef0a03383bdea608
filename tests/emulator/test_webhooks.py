import hashlib
import hmac
from typing import Any

import pytest
from mercadopago.webhook import InvalidWebhookSignatureError, WebhookSignatureValidator

from tests.emulator.conftest import Merchant, new_merchant
from tests.emulator.process import Emulator
from tests.emulator.receiver import Received, Receiver

SECRET = "webhook-secret-of-tests"


def is_signed(post: Received, secret: str = SECRET) -> bool:
    signature, request_id = post.headers["x-signature"], post.headers["x-request-id"]
    try:
        WebhookSignatureValidator.validate(signature, request_id, post.query.get("data.id"), secret)
    except InvalidWebhookSignatureError:
        return False
    return True


def paid(merchant: Merchant, outcome: str = "approved") -> dict[str, Any]:
    """A payment, after its notifications have been tried."""
    payment = merchant.emulator.pay(merchant.sells(), outcome)
    merchant.emulator.advance(seconds=0)
    return payment


def test_a_payment_is_told_in_two_signed_posts(notified: Merchant, receiver: Receiver) -> None:
    payment = paid(notified)
    assert sorted(post.body["action"] for post in receiver.received) == ["payment.created", "payment.updated"]
    for post in receiver.received:
        assert post.path == "/hook"
        assert post.query == {"source_news": "webhooks", "data.id": str(payment["id"]), "type": "payment"}
        assert set(post.body) == {"id", "live_mode", "type", "date_created", "user_id", "api_version", "action", "data"}
        assert (post.body["type"], post.body["user_id"], post.body["data"]) == ("payment", notified.user_id, {"id": str(payment["id"])})
        assert is_signed(post)
    assert len({post.body["id"] for post in receiver.received}) == 2
    assert len({post.headers["x-request-id"] for post in receiver.received}) == 2


def test_the_signed_text_ends_in_a_semicolon(notified: Merchant, receiver: Receiver) -> None:
    payment = paid(notified)
    post = receiver.received[0]
    moment, signature = (part.split("=")[1] for part in post.headers["x-signature"].split(","))
    text = f"id:{payment['id']};request-id:{post.headers['x-request-id']};ts:{moment};"
    assert signature == hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
    assert len(moment) == 10


def test_each_change_is_told(notified: Merchant, receiver: Receiver) -> None:
    payment = paid(notified, "pending")
    notified.emulator.transition(payment["id"], "approved")
    notified.refund(payment["id"], 100.0)
    notified.emulator.flush()
    assert [post.body["action"] for post in receiver.received].count("payment.updated") == 3


def test_a_chargeback_is_told_by_its_own_topic(notified: Merchant, receiver: Receiver) -> None:
    payment = paid(notified)
    notified.emulator.transition(payment["id"], "charged_back")
    notified.emulator.flush()
    told = [post for post in receiver.received if post.query["type"] == "chargebacks"]
    chargeback = notified.sdk.chargeback().get(told[0].query["data.id"], notified.options())["response"]
    assert (len(told), chargeback["payments"]) == (1, [payment["id"]])


def test_without_source_news_each_has_a_twin_that_nobody_can_verify(emulator: Emulator, receiver: Receiver) -> None:
    payment = paid(new_merchant(emulator, notification_url=receiver.url))
    twins = [post for post in receiver.received if "topic" in post.query]
    assert len(receiver.received) == 4
    assert [post.query for post in twins] == [{"id": str(payment["id"]), "topic": "payment"}] * 2
    assert not [post for post in twins if is_signed(post)]


def test_without_an_address_nobody_is_told(merchant: Merchant) -> None:
    merchant.emulator.pay(merchant.sells())
    assert merchant.emulator.control("GET", "/_emu/state")["pending_deliveries"] == 0


def test_a_name_below_localhost_is_this_machine(emulator: Emulator, receiver: Receiver) -> None:
    url = f"http://luna.localhost:{receiver.server_port}/hook?source_news=webhooks"
    paid(new_merchant(emulator, notification_url=url))
    assert {post.headers["host"] for post in receiver.received} == {f"luna.localhost:{receiver.server_port}"}


def test_what_is_not_received_is_tried_again_every_15_minutes(notified: Merchant, receiver: Receiver) -> None:
    receiver.statuses = [500, 302]
    notified.emulator.pay(notified.sells())
    notified.emulator.advance(seconds=0)
    assert len(receiver.received) == 2
    notified.emulator.advance(minutes=14)
    assert len(receiver.received) == 2
    notified.emulator.advance(minutes=2)
    assert len(receiver.received) == 4
    assert [entry["outcome"] for entry in notified.emulator.entries("delivery")] == ["retried", "retried", "delivered", "delivered"]
    assert len({post.body["id"] for post in receiver.received}) == 2
    assert all(is_signed(post) for post in receiver.received)


def test_201_will_do_and_202_will_not(notified: Merchant, receiver: Receiver) -> None:
    receiver.statuses = [201, 202]
    paid(notified)
    assert sorted(entry["outcome"] for entry in notified.emulator.entries("delivery")) == ["delivered", "retried"]


def test_after_eight_more_times_it_is_given_up(notified: Merchant, receiver: Receiver) -> None:
    receiver.statuses = [503] * 100
    notified.emulator.pay(notified.sells())
    notified.emulator.advance(hours=10)
    assert len(receiver.received) == 18
    assert notified.emulator.control("GET", "/_emu/state")["pending_deliveries"] == 0
    assert len(notified.emulator.entries("delivery", outcome="given_up", attempts=9)) == 2


def test_an_answer_that_is_too_late_is_none(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.settings(webhook_timeout=0.05)
    receiver.answers_after = 1.0
    paid(notified)
    assert [(entry["status"], entry["outcome"]) for entry in notified.emulator.entries("delivery")] == [(None, "retried")] * 2


def test_a_server_that_is_not_there_gets_it_later(emulator: Emulator) -> None:
    paid(new_merchant(emulator, notification_url="http://127.0.0.1:9/hook?source_news=webhooks"))
    state = emulator.control("GET", "/_emu/state")
    assert (state["pending_deliveries"], {delivery["attempts"] for delivery in state["deliveries"]}) == (2, {1})


def test_a_connection_that_the_other_side_closed_is_opened_anew(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.settings(workers=1)
    receiver.closes = True
    for _ in range(3):
        paid(notified)
    assert [entry["outcome"] for entry in notified.emulator.entries("delivery")] == ["delivered"] * 6


def test_an_https_address_is_spoken_to_in_tls(emulator: Emulator, receiver: Receiver) -> None:
    paid(new_merchant(emulator, notification_url=f"https://127.0.0.1:{receiver.server_port}/hook?source_news=webhooks"))
    assert [entry["status"] for entry in emulator.entries("delivery")] == [None, None]


def test_by_hand_they_wait_for_a_flush(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.settings(webhooks="manual")
    notified.emulator.pay(notified.sells())
    notified.emulator.advance(hours=1)
    assert receiver.received == []
    assert notified.emulator.flush() == 2
    assert len(receiver.received) == 2
    assert notified.emulator.flush() == 0


def test_back_to_automatic_sends_what_waited(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.settings(webhooks="manual")
    notified.emulator.pay(notified.sells())
    notified.emulator.settings(webhooks="auto", workers=2)
    assert len(receiver.wait(2)) == 2


def test_all_is_forgotten_with_what_waited(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.settings(webhooks="manual")
    notified.emulator.pay(notified.sells())
    notified.emulator.control("DELETE", "/_emu/all")
    assert notified.emulator.flush() == 0
    assert receiver.received == []


@pytest.mark.parametrize("workers", [1, 16])
def test_any_number_of_workers_delivers_each_once(notified: Merchant, receiver: Receiver, workers: int) -> None:
    notified.emulator.settings(workers=workers)
    preference = notified.sells()
    payments = [notified.emulator.pay(preference)["id"] for _ in range(20)]
    notified.emulator.flush()
    told = sorted((post.query["data.id"], post.body["action"]) for post in receiver.received)
    assert told == sorted((str(number), action) for number in payments for action in ("payment.created", "payment.updated"))
