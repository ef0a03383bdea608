from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from core.errors import IdempotencyConflict
from core.jobs import JobPostponed
from core.jobs.models import Job
from payments.gateway.errors import GatewayUnavailable, TokenRefused
from payments.gateway.gateway import gateway
from payments.ledger import sending
from payments.ledger.errors import (
    AlreadyRefunded,
    InexactAmount,
    NotConnected,
    NothingDue,
    NothingToRefund,
    PaymentNotFound,
    RefundTooLarge,
)
from payments.ledger.jobs import send_refund as refund_job
from payments.ledger.models import LedgerEntry, Refund
from payments.ledger.refunds import request_refund
from payments.ledger.reviews import accept_charge, return_charge
from payments.ledger.sending import send_refund
from payments.reconciliation.actions import remind_of_refunds
from shop.orders.models import Order
from tenants.scope import tenant_scope
from tests.payments.till import BOSS, Till
from tests.world import World

D = Decimal
pytestmark = pytest.mark.usefixtures("no_pauses")


def paid(till: Till, *, quantity: int = 1) -> tuple[Order, str]:
    order = till.order(quantity=quantity)
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    assert till.now(order).payment_status == "paid"
    return order, mp_id


def posts(till: Till, mp_id: str) -> list[str]:
    """The keys of the refunds that Mercado Pago was asked for."""
    found = till.emulator.entries("request", method="POST", path=f"/v1/payments/{mp_id}/refunds")
    return [entry["idempotency_key"] for entry in found]


def money(till: Till, order: Order) -> tuple[str, Decimal, Decimal]:
    now = till.now(order)
    return now.payment_status, now.paid, now.refunded


def jobs_of(refund: Refund) -> list[Job]:
    return list(Job.objects.filter(kind="payments.ledger.jobs.send_refund", arguments__refund_id=str(refund.pk)))


def test_a_part_then_the_rest(till: Till) -> None:
    order, mp_id = paid(till)
    payment = till.payment(order)
    [part] = till.refund(payment, 300)
    assert (part.state, part.reason, part.actor_label, len(jobs_of(part))) == ("requested", "staff", "boss@people.test", 1)
    assert money(till, order) == ("paid", D(1000), D(0))  # only Mercado Pago's own answer moves it
    [part] = till.send_refunds()
    assert (part.state, part.mp_refund_id != "", part.finished_at is not None) == ("approved", True, True)
    assert money(till, order) == ("partially_refunded", D(700), D(300))
    assert till.payment(order).status == "partially_refunded"
    with pytest.raises(NothingDue):  # what was given back out of kindness is not asked for again
        till.checkout(order, amount=D(300))
    [rest] = till.refund(payment)
    assert rest.amount == D(700)
    till.send_refunds()
    assert money(till, order) == ("refunded", D(0), D(1000))
    assert till.entries(order) == [("payment", D(1000)), ("refund", D(-300)), ("refund", D(-700))]
    assert [entry.refund_id for entry in LedgerEntry.objects.filter(kind="refund").order_by("id")] == [part.pk, rest.pk]
    assert till.refunded(mp_id) == 1000
    with pytest.raises(AlreadyRefunded):
        till.refund(payment)


def test_an_order_that_was_refunded_whole_can_be_paid_again(till: Till) -> None:
    order, first = paid(till)
    till.refund(till.payment(order))
    till.send_refunds()
    again = till.pay(till.checkout(order))
    till.told(again)
    assert money(till, order) == ("paid", D(1000), D(1000))
    assert till.send_refunds() == []
    assert (till.refunded(first), till.refunded(again)) == (1000, 0)


def test_made_by_hand_at_mercado_pagos_own_site(till: Till) -> None:
    order, mp_id = paid(till)
    till.emulator.transition(mp_id, "partially_refunded", amount=400)
    till.told(mp_id)
    assert money(till, order) == ("partially_refunded", D(600), D(400))
    with pytest.raises(RefundTooLarge, match=r"At most 600\.00 ARS"):
        till.refund(till.payment(order), 601)
    till.emulator.transition(mp_id, "refunded")
    till.told(mp_id)
    assert money(till, order) == ("refunded", D(0), D(1000))
    assert list(LedgerEntry.objects.filter(kind="refund").values_list("refund_id", flat=True)) == [None, None]
    assert Refund.objects.count() == 0


def test_a_hand_was_faster(till: Till) -> None:
    order, mp_id = paid(till)
    [refund] = till.refund(till.payment(order))
    till.emulator.transition(mp_id, "refunded")
    [sent] = till.send_refunds()
    assert (sent.state, sent.pk) == ("approved", refund.pk)  # the same amount went back: once
    assert money(till, order) == ("refunded", D(0), D(1000))
    assert till.open_alerts() == []


def test_a_hand_gave_back_something_else(till: Till) -> None:
    order, mp_id = paid(till)
    [refund] = till.refund(till.payment(order), 700)
    till.emulator.transition(mp_id, "partially_refunded", amount=400)
    [sent] = till.send_refunds()
    assert (sent.pk, sent.state, sent.error) == (
        refund.pk,
        "rejected",
        "Mercado Pago refused: The amount exceeds what is left of the payment",
    )
    assert money(till, order) == ("partially_refunded", D(600), D(400))
    assert till.charge(mp_id).review == "refund_failed"
    till.emulator.transition(mp_id, "refunded")
    [other] = till.refund(till.payment(order), 100)
    [sent] = till.send_refunds()
    assert (sent.pk, sent.state, sent.error) == (other.pk, "rejected", "Given back at Mercado Pago before.")
    assert (money(till, order), till.open_alerts()) == (("refunded", D(0), D(1000)), [])
    assert till.charge(mp_id).verdict == "returned"


def test_the_news_is_faster_than_the_answer(till: Till) -> None:
    order, mp_id = paid(till)
    [refund] = till.refund(till.payment(order), 250)
    token = till.seller.access_token
    gateway(token).refund(mp_id, amount=refund.amount, currency="ARS", key=refund.key)  # and here the process is killed
    till.told(mp_id)
    assert money(till, order) == ("partially_refunded", D(750), D(250))
    assert LedgerEntry.objects.get(kind="refund").refund_id == refund.pk
    with pytest.raises(RefundTooLarge):
        till.refund(till.payment(order), 800)
    [sent] = till.send_refunds()
    assert sent.state == "approved"
    assert (till.refunded(mp_id), posts(till, mp_id)) == (250, [refund.key] * 2)
    assert till.entries(order) == [("payment", D(1000)), ("refund", D(-250))]


def test_it_is_done_but_the_answer_is_lost(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    order, mp_id = paid(till)
    [refund] = till.refund(till.payment(order))
    till.emulator.fault("connection_reset", 1, match={"method": "GET", "path": f"/v1/payments/{mp_id}$"})
    till.emulator.fault("commit_then_timeout", 1, match={"method": "POST", "path": "refunds"}, seconds=2.5)
    monkeypatch.setattr("payments.ledger.sending.gateway", lambda token, **_: gateway(token, attempts=1, timeout=1.0))
    for _ in range(2):
        with pytest.raises(GatewayUnavailable):
            send_refund(refund_id=refund.pk)
        refund.refresh_from_db()
        assert refund.state == "requested"
    [sent] = till.send_refunds()
    assert (sent.state, posts(till, mp_id)) == ("approved", [refund.key] * 3)
    assert (till.refunded(mp_id), len(till.theirs(mp_id)["refunds"])) == (1000, 1)
    assert till.entries(order) == [("payment", D(1000)), ("refund", D(-1000))]
    assert send_refund(refund_id=refund.pk).state == "approved"  # done already is done
    assert len(posts(till, mp_id)) == 3


def test_a_key_that_mercado_pago_may_have_forgotten(till: Till) -> None:
    """Hours later the refunds are listed before it is asked again: under another key it would be made twice."""
    order, mp_id = paid(till)
    [refund] = till.refund(till.payment(order), 250)
    gateway(till.seller.access_token).refund(mp_id, amount=refund.amount, currency="ARS", key="forgotten")
    Refund.objects.update(requested_at=timezone.now() - timedelta(hours=2))
    [sent] = till.send_refunds()
    assert (sent.state, till.refunded(mp_id), posts(till, mp_id)) == ("approved", 250, ["forgotten"])
    [second] = till.refund(till.payment(order), 250)
    Refund.objects.filter(pk=second.pk).update(requested_at=timezone.now() - timedelta(hours=2))
    [sent] = till.send_refunds()  # the one that is known is not taken for this one
    assert (sent.pk, sent.state, till.refunded(mp_id)) == (second.pk, "approved", 500)


def test_one_that_takes_its_time(till: Till) -> None:
    order, mp_id = paid(till)
    till.emulator.settings(refunds="in_process")
    [refund] = till.refund(till.payment(order))
    with pytest.raises(JobPostponed):
        refund_job(None, refund_id=str(refund.pk))  # type: ignore[arg-type]
    refund.refresh_from_db()
    assert (refund.state, money(till, order)) == ("in_process", ("paid", D(1000), D(0)))
    with pytest.raises(AlreadyRefunded):
        till.refund(till.payment(order))
    Refund.objects.update(requested_at=timezone.now() - timedelta(days=2))
    assert refund_job(None, refund_id=str(refund.pk)) == {"state": "in_process"}  # type: ignore[arg-type]  # the daily reminder goes on
    assert remind_of_refunds() == 1
    assert till.open_alerts() == [("payments.refund_waits", str(refund.pk))]
    till.emulator.control("POST", f"/_emu/payments/{mp_id}/refunds/{refund.mp_refund_id}", {"status": "approved"})
    assert refund_job(None, refund_id=str(refund.pk)) == {"state": "approved"}  # type: ignore[arg-type]
    assert (money(till, order), till.open_alerts()) == (("refunded", D(0), D(1000)), [])
    assert posts(till, mp_id) == [refund.key]
    assert remind_of_refunds() == 0


def test_one_that_is_rejected_is_reviewed_and_asked_for_again(till: Till) -> None:
    order, mp_id = paid(till)
    till.emulator.settings(refunds="rejected")
    till.refund(till.payment(order), 300)
    [sent] = till.send_refunds()
    assert (sent.state, sent.error, money(till, order)) == ("rejected", "rejected", ("paid", D(1000), D(0)))
    charge = till.charge(mp_id)
    assert (charge.review, charge.in_review, charge.counts) == ("refund_failed", True, True)
    assert till.open_alerts() == [("payments.refund_failed", mp_id)]
    with tenant_scope(till.place.ref):
        retry = return_charge(cafeteria_uuid=till.uuid, charge_id=charge.pk, actor=BOSS)
        assert return_charge(cafeteria_uuid=till.uuid, charge_id=charge.pk, actor=BOSS).pk == retry.pk
    assert (retry.amount, retry.reason) == (D(300), "review")  # what failed, not all that is left
    till.send_refunds()  # rejected once more
    assert till.open_alerts() == [("payments.refund_failed", mp_id)]
    till.emulator.settings(refunds="approved")
    with tenant_scope(till.place.ref):
        last = return_charge(cafeteria_uuid=till.uuid, charge_id=charge.pk, actor=BOSS)
    assert (last.amount, last.key != retry.key) == (D(300), True)
    till.send_refunds()
    charge.refresh_from_db()
    assert (charge.verdict, charge.in_review, till.open_alerts()) == ("returned", False, [])
    assert (money(till, order), till.refunded(mp_id)) == (("partially_refunded", D(700), D(300)), 300)
    till.emulator.settings(refunds="rejected")
    till.refund(till.payment(order), 50)
    till.send_refunds()
    charge.refresh_from_db()
    assert (charge.in_review, till.open_alerts()) == (True, [("payments.refund_failed", mp_id)])
    with tenant_scope(till.place.ref):
        assert return_charge(cafeteria_uuid=till.uuid, charge_id=charge.pk, actor=BOSS).amount == D(50)


def test_one_that_failed_can_be_left_at_that(till: Till) -> None:
    order, mp_id = paid(till)
    till.emulator.settings(refunds="rejected")
    till.refund(till.payment(order))
    till.send_refunds()
    with tenant_scope(till.place.ref):
        accept_charge(cafeteria_uuid=till.uuid, charge_id=till.charge(mp_id).pk, actor=BOSS)
    assert (money(till, order), till.open_alerts()) == (("paid", D(1000), D(0)), [])
    assert (till.charge(mp_id).verdict, till.charge(mp_id).reviewed_by) == ("accepted", "boss@people.test")


def test_the_whole_of_it_again_after_a_failure_by_the_usual_way(till: Till) -> None:
    order, mp_id = paid(till)
    till.emulator.settings(refunds="rejected")
    till.refund(till.payment(order))
    till.send_refunds()
    till.emulator.settings(refunds="approved")
    till.refund(till.payment(order))
    till.send_refunds()
    assert (till.charge(mp_id).verdict, till.open_alerts()) == ("returned", [])
    assert money(till, order) == ("refunded", D(0), D(1000))


def test_a_payment_that_mercado_pago_has_lost(till: Till) -> None:
    order, mp_id = paid(till)
    [refund] = till.refund(till.payment(order))
    till.emulator.control("DELETE", "/_emu/all")
    till.emulator.seller("MLA", user_id=till.seller.mp_user_id)
    tokens = till.emulator.connect(till.seller.mp_user_id)
    till.seller.keep_tokens(access=tokens["access_token"], refresh=tokens["refresh_token"])
    till.seller.save()
    for hours in (0, 2):
        Refund.objects.filter(pk=refund.pk).update(state="requested", requested_at=timezone.now() - timedelta(hours=hours))
        [sent] = till.send_refunds()
        assert (sent.state, sent.error) == ("rejected", "Mercado Pago knows no such payment of this account.")
    assert till.open_alerts() == [("payments.refund_failed", mp_id)]


def test_cash_goes_back_at_once(till: Till) -> None:
    order = till.order()
    payment = till.take(order)
    [part] = till.refund(payment, 400)
    assert (part.state, part.charge_id, money(till, order)) == ("approved", None, ("partially_refunded", D(600), D(400)))
    assert (send_refund(refund_id=part.pk).state, jobs_of(part)) == ("approved", [])
    with pytest.raises(RefundTooLarge):
        till.refund(payment, 601)
    till.refund(payment)
    assert money(till, order) == ("refunded", D(0), D(1000))
    assert till.entries(order) == [("payment", D(1000)), ("refund", D(-400)), ("refund", D(-600))]
    with pytest.raises(AlreadyRefunded):
        till.refund(payment)
    assert till.take(order, "card").amount == D(1000)  # taken by mistake, and now by card


def test_spread_over_two_charges(till: Till) -> None:
    """Paid twice, and the second could not be given back: the staff left it at that."""
    order = till.order()
    payment = till.checkout(order)
    first, second = till.pay(payment), till.pay(payment)
    till.told(first)
    till.emulator.settings(refunds="rejected")
    till.told(second)
    till.send_refunds()
    till.emulator.settings(refunds="approved")
    with tenant_scope(till.place.ref):
        accept_charge(cafeteria_uuid=till.uuid, charge_id=till.charge(second).pk, actor=BOSS)
    assert money(till, order) == ("paid", D(2000), D(0))
    made = till.refund(payment, 1500, key="k1", fingerprint="f")
    assert [(refund.charge.mp_id if refund.charge else "", refund.amount) for refund in made] == [(first, D(1000)), (second, D(500))]
    assert [refund.pk for refund in till.refund(payment, 1500, key="k1", fingerprint="f")] == [refund.pk for refund in made]
    till.send_refunds()
    assert (till.refunded(first), till.refunded(second)) == (1000, 500)
    assert [refund.state for refund in till.refund(payment, 1500, key="k1", fingerprint="f")] == ["approved", "approved"]
    with pytest.raises(IdempotencyConflict):
        till.refund(payment, 400, key="k1", fingerprint="another")
    assert till.entries(order)[-2:] == [("refund", D(-1000)), ("refund", D(-500))]


def test_what_cannot_be_given_back(till: Till, world: World) -> None:
    order = till.order()
    payment = till.checkout(order)
    with pytest.raises(NothingToRefund):
        till.refund(payment)
    till.told(till.pay(payment, "in_process"))
    with pytest.raises(NothingToRefund):
        till.refund(payment, 1)
    for amount in (D(0), D(-1), D("0.001"), D("NaN"), D("Infinity"), D("1E+40")):
        with tenant_scope(till.place.ref), pytest.raises(InexactAmount):
            request_refund(cafeteria_uuid=till.uuid, payment_id=payment.pk, amount=amount, actor=BOSS)
    with tenant_scope(till.place.ref), pytest.raises(PaymentNotFound):
        request_refund(cafeteria_uuid=till.uuid, payment_id=uuid4(), amount=None, actor=BOSS)
    with tenant_scope(world.b.ref), pytest.raises(PaymentNotFound):
        request_refund(cafeteria_uuid=world.b.ref.uuid, payment_id=payment.pk, amount=None, actor=BOSS)
    assert Refund.objects.count() == 0


def test_while_the_token_is_refused_the_job_waits_for_the_owner(till: Till) -> None:
    order, mp_id = paid(till)
    [refund] = till.refund(till.payment(order))
    till.emulator.control("POST", f"/_emu/sellers/{till.seller.mp_user_id}/deauthorize")
    with pytest.raises(JobPostponed):
        refund_job(None, refund_id=str(refund.pk))  # type: ignore[arg-type]
    till.seller.refresh_from_db()
    assert till.seller.status == "needs_reconnect"
    Refund.objects.update(requested_at=timezone.now() - timedelta(days=2))
    with pytest.raises(TokenRefused):
        refund_job(None, refund_id=str(refund.pk))  # type: ignore[arg-type]
    tokens = till.emulator.connect(till.seller.mp_user_id)
    till.seller.keep_tokens(access=tokens["access_token"], refresh=tokens["refresh_token"])
    till.seller.save()
    assert refund_job(None, refund_id=str(refund.pk)) == {"state": "approved"}  # type: ignore[arg-type]
    assert till.refunded(mp_id) == 1000


def test_an_account_that_was_never_here_cannot_give_back(till: Till) -> None:
    order, _ = paid(till)
    [refund] = till.refund(till.payment(order))
    till.seller.delete()
    with pytest.raises(NotConnected):
        send_refund(refund_id=refund.pk)


def test_a_left_account_still_gives_back(till: Till) -> None:
    order, mp_id = paid(till)
    till.seller.status = "disconnected"
    till.seller.save()
    till.refund(till.payment(order))
    till.send_refunds()
    assert till.refunded(mp_id) == 1000


def test_a_cancelled_order_gives_back_what_came_by_any_way(till: Till) -> None:
    order, mp_id = paid(till, quantity=2)
    till.refund(till.payment(order), 500)
    till.send_refunds()
    till.cancel(order)
    [refund] = till.send_refunds()
    assert (refund.amount, refund.reason, refund.actor_label) == (D(1500), "cancelled", "manager@people.test")
    assert (till.refunded(mp_id), money(till, order)) == (2000, ("refunded", D(0), D(2000)))
    cash = till.order()
    till.take(cash)
    till.cancel(cash)
    assert money(till, cash) == ("refunded", D(0), D(1000))


def test_two_refunds_on_their_way_leave_no_more_than_there_is(till: Till) -> None:
    order, mp_id = paid(till)
    payment = till.payment(order)
    till.refund(payment, 600)
    with pytest.raises(RefundTooLarge, match=r"At most 400\.00 ARS"):
        till.refund(payment, 401)
    till.refund(payment, 400)
    with pytest.raises(AlreadyRefunded):
        till.refund(payment, 1)
    till.send_refunds()
    assert (till.refunded(mp_id), money(till, order)) == (1000, ("refunded", D(0), D(1000)))


def test_an_answer_newer_than_the_snapshot_counts(till: Till) -> None:
    """Mercado Pago has approved the refund, and its payment does not show it yet."""
    order, mp_id = paid(till)
    [refund] = till.refund(till.payment(order), 600)
    till.send_refunds()
    charge: Any = till.charge(mp_id)
    charge.refunded = 0
    charge.save(update_fields=["refunded"])
    with pytest.raises(RefundTooLarge, match=r"At most 400\.00 ARS"):
        till.refund(till.payment(order), 600)
    assert refund.amount == D(600)


def test_one_answer_at_mercado_pago_is_one_refund_of_ours(till: Till) -> None:
    """A hand gave back 500 once, while two rows of 500 were on their way: it is the one's, and the other is refused."""
    order, mp_id = paid(till)
    first, second = till.refund(till.payment(order), 500)[0], till.refund(till.payment(order), 500)[0]
    till.emulator.transition(mp_id, "partially_refunded", amount=500)
    till.emulator.transition(mp_id, "charged_back")
    sent = till.send_refunds()
    assert sorted(refund.state for refund in sent) == ["approved", "rejected"]
    assert {refund.pk for refund in sent} == {first.pk, second.pk}
    assert till.refunded(mp_id) == 500


def test_two_rows_take_one_answer_for_their_own_at_the_same_time(till: Till) -> None:
    order, mp_id = paid(till)
    first, second = till.refund(till.payment(order), 500)[0], till.refund(till.payment(order), 500)[0]
    till.emulator.transition(mp_id, "partially_refunded", amount=500)
    outside = gateway(till.seller.access_token)
    [theirs], snapshot = outside.refunds(mp_id), outside.charge(mp_id)
    states = [sending._keep(refund, till.seller, theirs, "", snapshot).state for refund in (first, second, second)]
    assert states == ["approved", "rejected", "rejected"]
    assert till.entries(order) == [("payment", D(1000)), ("refund", D(-500))]
