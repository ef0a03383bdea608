from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DataError
from django.utils import timezone
from structlog.testing import capture_logs

from core.alerts.models import Alert
from core.jobs.models import Job
from core.vault import new_key
from payments.gateway.errors import GatewayUnavailable, TokenRefused
from payments.ledger.charges import record_charge
from payments.ledger.errors import NotConnected
from payments.ledger.models import Payment, Refund
from payments.reconciliation.actions import _next_check, check_due_payments, check_payment, look_for_buyer, remind_of_refunds
from tests.emulator.process import Emulator
from tests.payments.till import Till, long_ago, open_till
from tests.world import World

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FAULTS = ["status_500", "status_429", "html_502", "truncated_json", "connection_reset"]


def in_time(till: Till, monkeypatch: pytest.MonkeyPatch, payment: Payment, after: timedelta, **changes: Any) -> timedelta | None:
    """When the payment is looked at next, counted from its begin, after a look `after` it."""
    begun: datetime = payment.created_at
    monkeypatch.setattr("payments.reconciliation.actions.timezone.now", lambda: begun + after)
    for name, value in changes.items():
        setattr(payment, name, value)
    wanted = _next_check(payment)
    assert wanted is None or isinstance(wanted, datetime)
    return None if wanted is None else wanted - begun


def test_how_often_it_is_looked_at(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = till.checkout(till.order())
    assert payment.next_check_at == payment.created_at + 2 * MINUTE
    payment.expires_at = payment.created_at + 3 * HOUR
    for after, wanted in [
        (1 * MINUTE, 2 * MINUTE),
        (2 * MINUTE, 10 * MINUTE),
        (9 * MINUTE, 10 * MINUTE),
        (10 * MINUTE, 1 * HOUR),
        (1 * HOUR, 2 * HOUR),
        (2 * HOUR + 30 * MINUTE, 3 * HOUR),  # at its end, to give the stock back
        (3 * HOUR, 4 * HOUR),
        (50 * HOUR, 51 * HOUR),
        (51 * HOUR, 52 * HOUR),
        (51 * HOUR + MINUTE, None),
    ]:
        assert in_time(till, monkeypatch, payment, after) == wanted
    for status, wanted in [("paid", None), ("refunded", None), ("failed", 5 * HOUR), ("cancelled", 5 * HOUR), ("review", 5 * HOUR)]:
        assert in_time(till, monkeypatch, payment, 4 * HOUR, status=status) == wanted
    assert in_time(till, monkeypatch, payment, 30 * MINUTE, status="paid") == 3 * HOUR  # once more, at its end
    assert in_time(till, monkeypatch, payment, 30 * MINUTE, status="partially_refunded") == 3 * HOUR
    assert in_time(till, monkeypatch, payment, HOUR, expires_at=None) is None


def test_all_that_was_dropped_is_found_by_the_first_look(till: Till) -> None:
    till.emulator.settings(webhooks="auto")
    till.emulator.fault("drop", None)
    order = till.order(waits=True)
    payment = till.checkout(order)
    till.pay(payment, "rejected")
    till.pay(payment)
    assert check_due_payments().checked == 0  # not yet its time
    Payment.objects.update(next_check_at=long_ago())
    assert check_due_payments().checked == 1
    assert (till.now(order).payment_status, [charge.status for charge in till.charges(payment)]) == ("paid", ["rejected", "approved"])
    assert [entry["outcome"] for entry in till.emulator.entries("delivery")] == ["dropped"] * 4


def test_what_a_notification_has_told_is_looked_at_once_more_at_its_end(till: Till) -> None:
    """Not in two minutes: a crowd of paid ones would keep those waiting that nobody has told of."""
    payment = till.checkout(till.order())
    till.told(till.pay(payment))
    payment.refresh_from_db()
    assert (payment.status, payment.next_check_at) == ("paid", payment.expires_at)
    Payment.objects.update(next_check_at=long_ago(), expires_at=timezone.now() - MINUTE)
    assert check_due_payments().checked == 1
    payment.refresh_from_db()
    assert payment.next_check_at is None


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("path", ["search", "/v1/payments/[0-9]+$"], ids=["search", "get"])
def test_an_error_is_a_failed_look_told_after_three_and_never_no_payments(till: Till, kind: str, path: str) -> None:
    order = till.order(waits=True)
    payment = till.checkout(order)
    till.pay(payment)
    Payment.objects.update(expires_at=timezone.now() - HOUR)
    till.emulator.fault(kind, None, match={"path": path})
    for failures in range(1, 4):
        before = timezone.now()
        looked = till.look()
        assert (looked.checked, looked.failed, looked.expired) == (0, 1, 0)
        payment.refresh_from_db()
        assert payment.check_failures == failures
        assert payment.next_check_at is not None
        assert round((payment.next_check_at - before) / MINUTE) == 2**failures
        assert till.open_alerts() == ([] if failures < 3 else [("payments.reconciliation", "checks")])
    assert (till.now(order).status, till.now(order).payment_status) == ("pending", "pending")
    till.emulator.control("DELETE", "/_emu/faults")
    assert till.look().checked == 1
    payment.refresh_from_db()
    assert (till.now(order).payment_status, payment.check_failures, till.open_alerts()) == ("paid", 0, [])


def test_a_long_outage_is_asked_about_once_an_hour(till: Till) -> None:
    payment = till.checkout(till.order())
    Payment.objects.update(check_failures=1_200)
    till.emulator.fault("status_500", None)
    before = timezone.now()
    till.look()
    payment.refresh_from_db()
    assert (round(((payment.next_check_at or before) - before) / MINUTE), payment.check_failures) == (60, 1_000)


def test_a_revoked_connection_is_a_failed_look_and_harms_nobody_else(till: Till, world: World, emulator: Emulator) -> None:
    sol = open_till(world.b, emulator)
    mine, theirs = till.order(), sol.order()
    till.pay(till.checkout(mine))
    sol.pay(sol.checkout(theirs))
    emulator.control("POST", f"/_emu/sellers/{till.seller.mp_user_id}/deauthorize")
    looked = till.look()
    assert (looked.checked, looked.failed) == (1, 1)
    assert (till.now(mine).payment_status, sol.now(theirs).payment_status) == ("pending", "paid")
    till.seller.refresh_from_db()
    sol.seller.refresh_from_db()
    assert (till.seller.status, sol.seller.status) == ("needs_reconnect", "connected")


def test_a_fault_of_ours_in_one_keeps_nobody_from_the_others(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [till.order() for _ in range(3)]
    poisoned = till.pay(till.checkout(orders[0]))
    for order in orders[1:]:
        till.pay(till.checkout(order))

    def taken_in(**facts: Any) -> Any:
        if facts["snapshot"].mp_id == poisoned:
            raise DataError("value too long")
        return record_charge(**facts)

    monkeypatch.setattr("payments.reconciliation.actions.record_charge", taken_in)
    with capture_logs() as lines:
        for _ in range(3):
            looked = till.look()
            assert (looked.checked, looked.failed) == (2, 1)
    assert [till.now(order).payment_status for order in orders] == ["pending", "paid", "paid"]
    assert {line["event"] for line in lines} >= {"payment_not_checked"}
    assert Alert.objects.get(kind="payments.reconciliation").detail.endswith("3 times in a row: DataError")


def test_a_locked_vault_and_an_account_that_is_gone_are_failed_looks(till: Till, settings: Any) -> None:
    order = till.order()
    payment = till.checkout(order)
    keys, settings.VAULT_KEYS = settings.VAULT_KEYS, [new_key()]
    assert till.look().failed == 1
    with pytest.raises(GatewayUnavailable):
        check_payment(payment)
    settings.VAULT_KEYS = keys
    assert till.look().checked == 1
    till.seller.delete()
    assert till.look().failed == 1
    with pytest.raises(NotConnected):
        check_payment(payment)


def test_no_batch_begins_after_its_time_and_the_next_run_goes_on(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payments.reconciliation.actions.AT_A_TIME", 2)
    for _ in range(3):
        till.checkout(till.order())
    Payment.objects.update(next_check_at=long_ago())
    first, second = check_due_payments(seconds=0), check_due_payments()
    assert (first.checked, first.is_over, second.checked, second.is_over) == (2, False, 1, True)


def test_all_of_many_are_looked_at(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payments.reconciliation.actions.AT_A_TIME", 2)
    for _ in range(5):
        till.checkout(till.order())
    assert till.look().checked == 5


def test_one_look_at_once(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    till.pay(payment)
    check_payment(payment)
    assert till.now(order).payment_status == "paid"
    till.emulator.control("POST", f"/_emu/sellers/{till.seller.mp_user_id}/deauthorize")
    with pytest.raises(TokenRefused):
        check_payment(payment)
    till.seller.refresh_from_db()
    assert till.seller.status == "needs_reconnect"


def test_a_buyer_who_comes_back_has_it_asked_once_in_five_seconds(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    assert look_for_buyer(payment) is True
    till.pay(payment)
    assert look_for_buyer(payment) is False
    Payment.objects.update(looked_at=timezone.now() - timedelta(seconds=6))
    till.emulator.fault("status_500", 1)
    assert look_for_buyer(payment) is False
    Payment.objects.update(looked_at=long_ago())
    assert look_for_buyer(payment) is True
    assert till.now(order).payment_status == "paid"


def test_refunds_that_wait_are_told_and_sent_again_once_a_day(till: Till) -> None:
    order = till.order()
    till.told(till.pay(till.checkout(order)))
    [refund] = till.refund(till.payment(order))
    jobs = Job.objects.filter(kind="payments.ledger.jobs.send_refund")
    assert (remind_of_refunds(), jobs.count()) == (0, 1)
    Refund.objects.update(requested_at=timezone.now() - timedelta(hours=25))
    assert (remind_of_refunds(), remind_of_refunds(), jobs.count()) == (1, 1, 2)
    assert till.open_alerts() == [("payments.refund_waits", str(refund.pk))]
    till.send_refunds()
    assert (remind_of_refunds(), till.open_alerts()) == (0, [])
