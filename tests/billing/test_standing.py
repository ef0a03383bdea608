"""The policy by itself: facts and a clock."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing.models import Invoice, State, Status
from billing.standing import GRACE, LATE, RETRIES, Facts, debt_of, one_month_after, standing, state_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def facts(**changes: Any) -> Facts:
    """A cafeteria whose paid month ended ten days ago, and of which Mercado Pago was asked just now."""
    values: dict[str, Any] = {
        "status": Status.ACTIVE,
        "is_free": False,
        "trial_ends_at": NOW - 60 * DAY,
        "paid_until": NOW - 10 * DAY,
        "grace_until": None,
        "authorized_at": None,
        "ended_there": True,
        "cancelled_here": False,
        "looked_at": NOW,
        "debt": "none",
        "enforced": True,
    }
    return Facts(**{**values, **changes})


CASES: dict[str, tuple[dict[str, Any], str, datetime | None]] = {
    "free": ({"is_free": True, "debt": "unpaid"}, "active", None),
    "in its trial": ({"trial_ends_at": NOW + DAY, "paid_until": None}, "trial", None),
    "agreed in its trial": ({"trial_ends_at": NOW + DAY, "paid_until": None, "authorized_at": NOW}, "active", None),
    "paid": ({"paid_until": NOW + DAY, "authorized_at": NOW - 40 * DAY, "ended_there": False}, "active", None),
    "paid and paused": ({"paid_until": NOW + DAY, "ended_there": False}, "active", None),
    "paid and ended": ({"paid_until": NOW + DAY}, "cancelled", None),
    "ended": ({}, "past_due", NOW + GRACE),
    "ended by its owner here": ({"cancelled_here": True}, "suspended", NOW),
    "ended, in grace": ({"grace_until": NOW + DAY}, "past_due", NOW + DAY),
    "ended, after grace": ({"grace_until": NOW - DAY}, "suspended", NOW - DAY),
    "ended, not enforced": ({"enforced": False}, "active", None),
    "late": ({"authorized_at": NOW - 40 * DAY, "paid_until": NOW - LATE + DAY, "looked_at": NOW}, "active", None),
    "too late": ({"authorized_at": NOW - 40 * DAY}, "past_due", NOW + GRACE),
    "too late, and not asked since": ({"authorized_at": NOW - 40 * DAY, "looked_at": NOW - 7 * DAY}, "active", None),
    "too late, and never asked": ({"authorized_at": NOW - 40 * DAY, "looked_at": None}, "active", None),
    "agreed, nothing paid yet": ({"authorized_at": NOW, "paid_until": None}, "pending", None),
    "agreed while suspended": (
        {"authorized_at": NOW, "status": Status.SUSPENDED, "grace_until": NOW - DAY, "paid_until": None},
        "suspended",
        NOW - DAY,
    ),
    "declined": ({"debt": "retrying", "authorized_at": NOW, "paid_until": NOW + DAY}, "past_due", None),
    "declined while suspended": ({"debt": "retrying", "status": Status.SUSPENDED, "grace_until": NOW - DAY}, "suspended", NOW - DAY),
    "unpaid": ({"debt": "unpaid", "authorized_at": NOW}, "past_due", NOW + GRACE),
    "unpaid after grace": ({"debt": "unpaid", "authorized_at": NOW, "grace_until": NOW}, "suspended", NOW),
    "unpaid after grace, not enforced": ({"debt": "unpaid", "grace_until": NOW - DAY, "enforced": False}, "past_due", NOW - DAY),
    "suspended, no longer enforced": ({"status": Status.SUSPENDED, "grace_until": NOW - DAY, "enforced": False}, "past_due", NOW - DAY),
    "paid again": ({"status": Status.SUSPENDED, "grace_until": NOW - DAY, "paid_until": NOW + DAY, "authorized_at": NOW}, "active", None),
}


@pytest.mark.parametrize(("changes", "status", "grace"), CASES.values(), ids=CASES.keys())
def test_what_follows_from_the_facts(changes: dict[str, Any], status: str, grace: datetime | None) -> None:
    found = standing(facts(**changes), NOW)
    assert (found.status, found.grace_until) == (status, grace)
    again = standing(facts(**changes | {"status": found.status, "grace_until": found.grace_until}), NOW)
    assert again == found


STATES = {
    ("processed", "approved"): "paid",
    ("processed", "in_mediation"): "paid",
    ("processed", "rejected"): "unpaid",
    ("processed", "cancelled"): "unpaid",
    ("processed", "charged_back"): "unpaid",
    ("processed", ""): "unpaid",
    ("processed", "in_process"): "scheduled",
    ("processed", "refunded"): "refunded",
    ("recycling", "rejected"): "failed",
    ("recycling", "approved"): "failed",
    ("scheduled", ""): "scheduled",
    ("scheduled", "approved"): "scheduled",
    ("cancelled", "rejected"): "unpaid",
    ("cancelled", ""): "void",
    ("something new", "approved"): "scheduled",
}


@pytest.mark.parametrize(("there", "ours"), STATES.items(), ids=["-".join(there) for there in STATES])
def test_only_an_approved_payment_of_a_processed_invoice_is_paid(there: tuple[str, str], ours: str) -> None:
    assert state_of(*there) == ours


def bill(state: State, days_ago: float) -> Invoice:
    return Invoice(state=state, debit_at=NOW - days_ago * DAY)


DEBTS: dict[str, tuple[list[tuple[State, float]], str]] = {
    "nothing": ([], "none"),
    "paid": ([(State.PAID, 3)], "none"),
    "declined": ([(State.PAID, 33), (State.FAILED, 3)], "retrying"),
    "declined for ever": ([(State.FAILED, RETRIES / DAY + 1)], "unpaid"),
    "unpaid": ([(State.PAID, 33), (State.UNPAID, 3)], "unpaid"),
    "unpaid, the next declined": ([(State.UNPAID, 33), (State.FAILED, 3)], "unpaid"),
    "unpaid, the next paid": ([(State.UNPAID, 33), (State.PAID, 3)], "none"),
    "given back": ([(State.PAID, 33), (State.REFUNDED, 3)], "none"),
    "on its way": ([(State.SCHEDULED, 0), (State.VOID, 3)], "none"),
}


@pytest.mark.parametrize(("bills", "debt"), DEBTS.values(), ids=DEBTS.keys())
def test_the_next_paid_month_settles_what_was_before(bills: list[tuple[State, float]], debt: str) -> None:
    found = [bill(state, days) for state, days in bills]
    assert debt_of(found, NOW) == debt
    assert debt_of(found[::-1], NOW) == debt


@pytest.mark.parametrize(
    ("moment", "after"),
    [("2026-01-31", "2026-02-28"), ("2028-01-31", "2028-02-29"), ("2026-12-15", "2027-01-15"), ("2026-03-31", "2026-04-30")],
)
def test_a_month_ends_on_the_same_day_or_the_last_one(moment: str, after: str) -> None:
    assert one_month_after(datetime.fromisoformat(moment)) == datetime.fromisoformat(after)
