"""The jobs as the queue runs them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from core.alerts.models import Alert
from core.jobs import enqueue
from core.jobs.models import Job
from core.jobs.runner import run_job
from payments.inbox.models import Notification
from payments.ledger.models import Payment
from payments.reconciliation.actions import Looked
from tests.payments.till import Till, long_ago


def ran(kind: str) -> Job:
    """The newest job of the kind, run."""
    job = Job.objects.filter(kind=kind).order_by("-id")[0]
    Job.objects.filter(pk=job.pk).update(run_after=long_ago())
    run_job(str(job.pk))
    job.refresh_from_db()
    return job


def test_from_the_notification_to_the_paid_order(committed_till: Till) -> None:
    till = committed_till
    order = till.order(waits=True)
    till.notify(till.pay(till.checkout(order)))
    Notification.objects.update(try_after=long_ago())
    job = ran("payments.inbox.jobs.work_off")
    assert (job.state, job.result) == ("succeeded", {"done": 1, "later": 0, "failed": 0})
    assert till.now(order).payment_status == "paid"
    closing = ran("payments.ledger.jobs.close_checkout")
    assert (closing.state, till.payment(order).preference_closed_at is not None) == ("succeeded", True)
    till.refund(till.payment(order))
    refund = ran("payments.ledger.jobs.send_refund")
    assert (refund.state, refund.result, refund.max_attempts) == ("succeeded", {"state": "approved"}, 20)


def test_a_refund_that_mercado_pago_does_not_answer_comes_again(committed_till: Till) -> None:
    till = committed_till
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    till.refund(till.payment(order))
    till.emulator.fault("status_500", 3, match={"method": "POST"})
    job = ran("payments.ledger.jobs.send_refund")
    assert (job.state, job.attempts, till.refunded(mp_id)) == ("queued", 1, 0)
    assert (ran("payments.ledger.jobs.send_refund").state, till.refunded(mp_id)) == ("succeeded", 1000)


def test_a_sweep_that_mercado_pago_does_not_answer_comes_again_soon(committed_till: Till) -> None:
    """It does not use up its attempts: those are for workers that die."""
    till = committed_till
    till.pay(till.checkout(till.order()))
    enqueue("payments.reconciliation.jobs.sweep")
    ran("payments.reconciliation.jobs.sweep")
    till.emulator.fault("status_500", None, match={"path": "search"})
    job = ran("payments.reconciliation.jobs.sweep_account")
    assert (job.state, job.attempts) == ("queued", 0)
    assert job.run_after < timezone.now() + timedelta(minutes=3)
    Job.objects.filter(pk=job.pk).update(arguments={**job.arguments, "until": "2026-01-01T00:00:00+00:00"}, run_after=timezone.now())
    job = ran("payments.reconciliation.jobs.sweep_account")
    assert (job.state, job.attempts) == ("queued", 1)  # as any job that fails: the day is over


def test_while_mercado_pago_answers_nobody_the_other_sweeps_wait_without_asking(
    committed_till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payments.reconciliation.actions.SILENCES", 1)
    till, hours = committed_till, timedelta(hours=1)
    enqueue("payments.reconciliation.jobs.sweep_account", seller_id=till.seller.pk, until=(timezone.now() + 12 * hours).isoformat())
    till.emulator.fault("status_500", None, match={"path": "search"})
    asked = []
    for _ in range(2):
        job = ran("payments.reconciliation.jobs.sweep_account")
        assert (job.state, job.attempts) == ("queued", 0)
        assert hours / 2 < job.run_after - timezone.now() <= hours  # eight hours after the first: more seldom
        asked.append(len(till.emulator.entries("request", path="/v1/payments/search")))
    assert asked[0] == asked[1] > 0
    till.emulator.control("DELETE", "/_emu/faults")
    Alert.objects.filter(cafeteria_uuid=till.uuid).update(last_at=timezone.now() - hours)
    assert ran("payments.reconciliation.jobs.sweep_account").state == "succeeded"


def test_the_periodic_ones(committed_till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    till = committed_till
    order = till.order()
    till.pay(till.checkout(order))
    Payment.objects.update(next_check_at=long_ago())
    for kind, result in [
        ("payments.reconciliation.jobs.check_payments", {"checked": 1, "failed": 0, "expired": 0}),
        ("payments.reconciliation.jobs.sweep", {"sellers": 1, "refunds_waiting": 0}),
        ("payments.inbox.jobs.prune", {"erased": 0}),
    ]:
        enqueue(kind)
        job = ran(kind)
        assert (job.state, job.result) == ("succeeded", result)
    assert till.now(order).payment_status == "paid"
    assert ran("payments.reconciliation.jobs.sweep_account").result == {"charges": 1}
    kind = "payments.reconciliation.jobs.check_payments"
    monkeypatch.setattr("payments.reconciliation.actions.check_due_payments", lambda: Looked(checked=24, is_over=False))
    enqueue(kind)
    before = Job.objects.filter(kind=kind).count()
    assert ran(kind).result == {"checked": 24, "failed": 0, "expired": 0}
    assert Job.objects.filter(kind=kind).count() == before + 1  # the rest, at once
