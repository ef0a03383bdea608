import hashlib
import hmac
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from core.alerts.models import Alert
from core.jobs.models import Job
from payments.inbox import webhooks
from payments.inbox.models import Notification
from payments.ledger.models import Charge
from tests.payments.till import Till
from tests.world import World


def post(till: Till, query: dict[str, str], *, body: bytes = b"{}", sign: str | None = None, **more: Any) -> Any:
    """A POST with a good signature of `sign`, which is data.id unless told otherwise."""
    secret = till.emulator.environment["MERCADOPAGO_WEBHOOK_SECRET"]
    ts, request_id = more.get("ts", "1766455693"), "11111111-2222"
    data_id = query.get("data.id", "") if sign is None else sign
    text = f"{f'id:{data_id};' if data_id else ''}request-id:{request_id};ts:{ts};"
    v1 = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    headers = {"x-request-id": request_id, "x-signature": f"ts={ts},v1={v1}", "host": more.get("host", "localhost:8000")}
    path = more.get("path", f"/webhooks/mp/{till.seller.webhook_key}")
    return Client(headers=headers).post(f"{path}?{urlencode(query)}", body, content_type="application/json")


def stored() -> list[tuple[str, str, str]]:
    return list(Notification.objects.order_by("id").values_list("topic", "data_id", "state"))


def gets(till: Till, mp_id: str) -> list[Any]:
    return till.emulator.entries("request", method="GET", path=f"/v1/payments/{mp_id}")


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "another"},
        {"signature": ""},
        {"signature": "ts=1766455693,v1="},
        {"signature": "v1=" + "0" * 64},
        {"signature": "ts=1766455693,v1=ñandú"},
        {"signature": "ts=1766455693,v1=" + "é" * 64},
        {"signature": "ts=abc,v1=zz"},
        {"signature": ",,,=,="},
    ],
    ids=["wrong secret", "none", "empty v1", "no ts", "non-ascii v1", "long non-ascii v1", "no numbers", "commas"],
)
def test_a_bad_signature_is_refused_and_told_and_the_payment_found_all_the_same(till: Till, change: dict[str, Any]) -> None:
    order = till.order(waits=True)
    mp_id = till.pay(till.checkout(order))
    answer = till.notify(mp_id, **change)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
    assert stored() == []
    assert till.work().done == 0
    assert gets(till, mp_id) == []
    assert Alert.objects.filter(kind="payments.bad_signature", cafeteria_uuid=None).count() == 1
    assert till.now(order).payment_status == "pending"
    till.look()
    assert till.now(order).payment_status == "paid"


def test_without_a_signature_header_or_a_secret_nothing_is_taken(till: Till, settings: Any) -> None:
    address = f"/webhooks/mp/{till.seller.webhook_key}?data.id=1&type=payment"
    assert Client(headers={"host": "localhost:8000"}).post(address, b"{}", content_type="application/json").status_code == 401
    settings.MERCADOPAGO_WEBHOOK_SECRET = ""
    assert post(till, {"data.id": "1", "type": "payment"}).status_code == 401
    assert stored() == []


def test_a_flood_of_forgeries_is_one_alert_that_is_seldom_written(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([100.0, 101.0, 109.9, 110.0])
    monkeypatch.setattr(webhooks, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    for _ in range(4):
        assert till.notify("1", secret="forged").status_code == 401
    assert [(alert.count, alert.subject) for alert in Alert.objects.filter(kind="payments.bad_signature")] == [(2, "")]


def test_milliseconds_and_an_old_moment_are_taken(till: Till) -> None:
    """The signature says what its ts is; a replay of years ago only fetches what is there."""
    for ts in ("1766455693", "1766455693000", "1", "946684800"):
        assert post(till, {"data.id": "77", "type": "payment"}, body=b'{"user_id": %d}' % till.seller.mp_user_id, ts=ts).status_code == 200
    assert [state for _, _, state in stored()] == ["new"] * 4


def test_an_id_in_upper_case_is_signed_as_it_came_or_in_lower_case(till: Till) -> None:
    body = b'{"user_id": %d}' % till.seller.mp_user_id
    for sign in ("ORD01ABC", "ord01abc"):
        assert post(till, {"data.id": "ORD01ABC", "type": "payment"}, body=body, sign=sign).status_code == 200
    assert post(till, {"data.id": "ORD01ABC", "type": "payment"}, body=body, sign="Ord01abc").status_code == 401
    assert stored() == [("payment", "ORD01ABC", "new")] * 2


def test_another_accounts_notification_is_ignored_and_told(till: Till) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    assert till.notify(mp_id, user_id=till.seller.mp_user_id + 1).status_code == 200
    assert till.notify(mp_id, user_id="nobody").status_code == 200
    assert [state for _, _, state in stored()] == ["ignored", "ignored"]
    till.work()
    assert gets(till, mp_id) == []
    assert (till.now(order).payment_status, Charge.objects.count()) == ("pending", 0)
    told = Alert.objects.filter(kind="payments.foreign_notification").values_list("cafeteria_uuid", "count")
    assert list(told) == [(till.uuid, 2)]


def test_the_next_day_again_has_no_effect(till: Till) -> None:
    order = till.order(product=till.place.cake)
    payment = till.checkout(order)
    mp_id = till.pay(payment)
    till.told(mp_id)
    before = (till.stock(till.place.cake), till.entries(order), till.history(order))
    assert before[1:] == ([("payment", Decimal("2500.50"))], ["placed", "paid"])
    till.emulator.advance(days=1)
    till.told(mp_id)
    assert (till.stock(till.place.cake), till.entries(order), till.history(order)) == before
    assert len(till.charges(payment)) == 1


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "options", "head"])
def test_only_post(till: Till, method: str) -> None:
    client = Client(headers={"host": "localhost:8000"})
    for address in (f"/webhooks/mp/{till.seller.webhook_key}", "/webhooks/mp"):
        assert getattr(client, method)(address).status_code == 405


@pytest.mark.parametrize(
    "topic", ["merchant_order", "order", "mp-connect", "stop_delivery_op_wh", "subscription_preapproval", "", "x" * 900]
)
def test_another_topic_is_answered_and_ignored(till: Till, topic: str) -> None:
    answer = post(till, {"data.id": "77", "type": topic}, body=b'{"user_id": %d}' % till.seller.mp_user_id)
    assert (answer.status_code, answer.json()["code"]) == (200, "ignored")
    assert stored() == []


def test_the_topic_may_stand_in_the_body(till: Till) -> None:
    assert post(till, {"data.id": "77"}, body=b'{"type": "payment", "user_id": %d}' % till.seller.mp_user_id).status_code == 200
    assert stored() == [("payment", "77", "new")]


@pytest.mark.parametrize("data_id", ["", "x" * 65, "7/../8", "7?x=1", "-1", "7 8"])
def test_an_id_that_is_none_is_ignored(till: Till, data_id: str) -> None:
    assert post(till, {"data.id": data_id, "type": "payment"}).json()["code"] == "ignored"
    assert stored() == []


def test_an_unknown_key_is_nobodys(till: Till) -> None:
    answer = post(till, {"data.id": "77", "type": "payment"}, path="/webhooks/mp/nobody")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert stored() == []


def test_a_cafeterias_own_host_is_an_address_too(till: Till, world: World) -> None:
    body = b'{"user_id": %d}' % till.seller.mp_user_id
    query, path = {"data.id": "77", "type": "payment"}, "/api/v1/payments/webhook"
    assert post(till, query, body=body, path=path, host=till.place.host).json()["code"] == "stored"
    assert [(row.cafeteria_uuid, row.seller_id) for row in Notification.objects.all()] == [(till.uuid, till.seller.pk)]
    assert post(till, query, body=body, path=path, host=world.b.host).status_code == 404  # not connected
    assert post(till, query, body=body, path=path, host=till.place.host, sign="78").status_code == 401


def test_the_platforms_own_address_takes_its_subscriptions(till: Till) -> None:
    assert post(till, {"data.id": "abc1", "type": "subscription_preapproval"}, path="/webhooks/mp").json()["code"] == "stored"
    assert post(till, {"data.id": "77", "type": "payment"}, path="/webhooks/mp").json()["code"] == "ignored"
    assert [(row.topic, row.seller_id, row.cafeteria_uuid) for row in Notification.objects.all()] == [
        ("subscription_preapproval", None, None)
    ]


WILD = [
    b"",
    b"not json",
    b"\xff\xfe\x00",
    b"null",
    b"[]",
    b"7",
    b'"text"',
    b"true",
    b"{",
    b"[" * 5_000,
    b'{"user_id": {"a": 1}}',
    b'{"user_id": [], "action": {}, "type": []}',
    b'{"user_id": 1e400}',
    b'{"user_id": 99999999999999999999999999}',
    b'{"user_id": "-5"}',
    b'{"user_id": true, "action": null}',
    b'{"user_id": "\xc2\xb2\xc2\xb2"}',
    '{"user_id": "٣"}'.encode(),
    b'{"action": "a\\u0000b", "type": "payment\\u0000"}',
    b'{"action": "\\ud800"}',
    b'{"action": "' + b"a" * 5_000 + b'"}',
    b'{"data": 7, "type": {"$ne": 1}}',
]


@pytest.mark.parametrize("body", WILD, ids=range(len(WILD)))
def test_whatever_the_body_is_it_is_answered(till: Till, body: bytes) -> None:
    """Signed: the body is not what is signed."""
    answer = post(till, {"data.id": "77", "type": "payment"}, body=body)
    assert (answer.status_code, answer.json()["code"]) == (200, "stored")
    assert stored() == [("payment", "77", "ignored")]  # it names nobody
    assert post(till, {"data.id": "77"}, body=body).status_code == 200
    assert post(till, {"data.id": "77", "type": "payment"}, body=body, sign="78").status_code == 401


def test_it_is_answered_once_it_is_stored_with_a_job_to_work_it_off(till: Till) -> None:
    before = Job.objects.count()
    assert till.notify("77").json() == {"detail": "Stored.", "code": "stored"}
    row = Notification.objects.get()
    assert (row.state, row.attempts, row.action, row.mp_user_id) == ("new", 0, "payment.updated", till.seller.mp_user_id)
    job = Job.objects.order_by("-id")[0]
    assert (Job.objects.count() - before, job.kind, job.cafeteria_uuid, job.queue) == (1, "payments.inbox.jobs.work_off", None, "short")
