"""Row 19: what is declined is never paid; grace, then suspension; another card opens the cafeteria again."""

from datetime import timedelta
from typing import Any

import pytest

from billing.errors import AlreadySubscribed
from billing.models import Subscription
from tenants.actions import suspend_cafeteria
from tenants.models import Cafeteria
from tests.billing.desk import Desk


def test_four_failed_retries_are_processed_and_never_paid(desk: Desk) -> None:
    row = desk.subscribed()
    desk.end_trial()
    desk.charge(row, "rejected")
    desk.hour()
    assert (desk.status, desk.invoices()) == ("past_due", [("failed", "rejected")])
    assert desk.subscription.grace_until is None  # Mercado Pago still tries
    for _retry in range(3):
        desk.pass_time(days=2.5)
        desk.hour()
        assert (desk.status, desk.invoices()) == ("past_due", [("failed", "rejected")])
    desk.pass_time(days=2.5)
    desk.hour()
    assert desk.invoices() == [("unpaid", "rejected")]
    assert (desk.status, desk.site()) == ("past_due", 200)
    assert desk.subscription.paid_until is None
    assert "subscription.paid" not in desk.audited()
    assert desk.alerts() == {"billing.past_due"}


def unpaid(desk: Desk) -> Any:
    """A month that Mercado Pago has given up, and of which we know."""
    row = desk.subscribed()
    desk.end_trial()
    desk.charge(row, "rejected")
    desk.pass_time(days=10)
    desk.hour()
    assert (desk.status, desk.invoices()) == ("past_due", [("unpaid", "rejected")])
    return row


def test_grace_is_a_week_and_then_the_cafeteria_is_suspended(desk: Desk) -> None:
    unpaid(desk)
    desk.pass_time(days=6, hours=23)
    desk.hour()
    assert (desk.status, desk.site(), desk.cafeteria.status) == ("past_due", 200, "open")
    desk.pass_time(hours=2)
    desk.hour()
    assert (desk.status, desk.site(), desk.cafeteria.status) == ("suspended", 503, "suspended")
    assert [entry for entry in desk.audited() if entry.startswith("cafeteria.")] == ["cafeteria.suspended"]
    assert desk.alerts() == {"billing.suspended"}
    desk.hour()
    assert desk.audited().count("cafeteria.suspended") == 1


def suspended(desk: Desk) -> Any:
    row = unpaid(desk)
    desk.end_grace()
    desk.hour()
    assert (desk.status, desk.site()) == ("suspended", 503)
    return row


def test_another_card_on_the_same_subscription_opens_the_cafeteria_again(desk: Desk) -> None:
    row = suspended(desk)
    desk.charge(row, "approved")
    desk.hour()
    assert (desk.status, desk.site(), desk.subscription.grace_until) == ("active", 200, None)
    assert desk.invoices() == [("unpaid", "rejected"), ("paid", "approved")]
    assert [entry for entry in desk.audited() if entry.startswith("cafeteria.")] == ["cafeteria.suspended", "cafeteria.resumed"]
    assert desk.alerts() == set()


def test_a_new_subscription_with_another_card_opens_it_when_it_is_paid_and_ends_the_old_one(desk: Desk) -> None:
    old = suspended(desk)
    new = desk.subscribe()
    assert (new.pk != old.pk, new.free_days) == (True, 0)
    desk.agree(new)
    desk.hour()
    assert (desk.status, desk.site()) == ("suspended", 503)  # agreed is not paid
    assert desk.theirs(old) == "cancelled"
    desk.charge(new)
    desk.hour()
    assert (desk.status, desk.site()) == ("active", 200)


def test_a_notification_alone_opens_it(desk: Desk) -> None:
    row = suspended(desk)
    invoice = desk.charge(row)
    assert desk.notify("subscription_authorized_payment", str(invoice["id"])) == 200
    desk.work()
    assert (desk.status, desk.site()) == ("active", 200)


def test_three_rejected_months_end_it_at_mercado_pago_and_suspend_after_grace(desk: Desk) -> None:
    row = desk.subscribed()
    desk.end_trial()
    for _month in range(3):
        desk.charge(row, "rejected")
        desk.pass_time(days=10)
    assert desk.theirs(row) == "cancelled"
    desk.hour()
    assert (desk.status, desk.invoices()) == ("past_due", [("unpaid", "rejected")] * 3)
    desk.pass_time(days=7, minutes=1)
    desk.hour()
    assert (desk.status, desk.site()) == ("suspended", 503)


def test_a_decline_that_is_paid_on_a_retry_leaves_no_trace_of_debt(desk: Desk) -> None:
    row = desk.subscribed()
    desk.end_trial()
    desk.charge(row, "rejected")
    desk.hour()
    assert desk.status == "past_due"
    desk.charge(row, "approved")
    desk.hour()
    assert (desk.status, desk.invoices(), desk.alerts()) == ("active", [("paid", "approved")], set())


def test_nothing_is_decided_while_mercado_pago_cannot_be_asked(desk: Desk) -> None:
    row = unpaid(desk)
    desk.charge(row, "approved")  # We have not heard of it.
    desk.end_grace()
    desk.emulator.fault("status_500", None)
    assert desk.apply_policy()["failed"] == 1
    assert desk.look().failed == 1
    assert (desk.status, desk.site(), desk.invoices()) == ("past_due", 200, [("unpaid", "rejected")])
    desk.emulator.control("DELETE", "/_emu/faults")
    desk.hour()
    assert (desk.status, desk.site()) == ("active", 200)


def test_three_failed_looks_are_told_and_a_good_one_ends_the_alert(desk: Desk) -> None:
    desk.subscribed()
    desk.emulator.fault("status_500", None)
    for _look in range(2):
        desk.look()
    assert desk.alerts() == set()
    desk.look()
    assert desk.alerts() == {"billing.reconciliation"}
    desk.emulator.control("DELETE", "/_emu/faults")
    desk.look()
    assert (desk.alerts(), desk.subscription.check_failures) == (set(), 0)


def test_where_billing_is_not_enforced_nobody_is_suspended(desk: Desk, settings: Any) -> None:
    settings.BILLING_ENFORCED = False
    unpaid(desk)
    desk.end_grace()
    desk.pass_time(days=60)
    desk.hour()
    assert (desk.status, desk.site()) == ("past_due", 200)


def test_turning_enforcement_off_opens_what_it_had_closed(desk: Desk, settings: Any) -> None:
    suspended(desk)
    settings.BILLING_ENFORCED = False
    desk.hour()
    assert (desk.status, desk.site()) == ("past_due", 200)


@pytest.mark.parametrize(("status", "follows"), [("suspended", "active"), ("closed", "cancelled")])
def test_what_somebody_else_has_closed_is_not_opened_by_a_payment(desk: Desk, status: str, follows: str) -> None:
    row = unpaid(desk)
    suspend_cafeteria(cafeteria_id=desk.place.ref.id)
    Cafeteria.objects.filter(pk=desk.place.ref.id).update(status=status)
    desk.end_grace()
    desk.hour()
    assert not desk.subscription.suspended_site
    desk.charge(row)
    desk.look()
    assert (desk.status, desk.cafeteria.status) == (follows, status)


def test_a_late_charge_is_awaited_and_then_asked_for(desk: Desk) -> None:
    """Renewal is not our clock's business alone: a charge may come days late, and be known later still."""
    row = desk.subscribed()
    desk.end_trial()
    desk.charge(row)
    desk.hour()
    desk.pass_time(days=33)
    desk.hour()
    assert (desk.status, desk.site()) == ("active", 200)
    desk.pass_time(days=4)
    desk.hour()
    assert (desk.status, desk.alerts()) == ("past_due", {"billing.past_due"})
    grace = desk.subscription.grace_until
    desk.charge(row)
    desk.hour()
    assert (desk.status, desk.subscription.grace_until) == ("active", None)
    assert grace is not None


def test_months_follow_by_themselves_when_the_clock_charges(desk: Desk) -> None:
    desk.emulator.settings(billing="auto")
    desk.subscribed()
    for _week in range(13):
        desk.pass_time(days=7)
        desk.hour()
        assert (desk.status, desk.site()) == ("active", 200)
    assert [state for state, _payment in desk.invoices()] == ["paid"] * 3
    assert Subscription.objects.get(pk=desk.subscription.pk).covered_until - timedelta(days=31) < desk.subscription.looked_at  # type: ignore[operator]


def test_while_the_new_cards_charge_is_on_its_way_no_third_one_is_agreed_to(desk: Desk) -> None:
    suspended(desk)
    new = desk.subscribed()
    assert awaited(desk)
    with pytest.raises(AlreadySubscribed):
        desk.subscribe("corner")
    desk.charge(new, "rejected")
    desk.look()
    assert not awaited(desk)
    assert desk.subscribe("corner").pk != new.pk


def awaited(desk: Desk) -> bool:
    with desk.at():
        return desk.account.is_awaited
