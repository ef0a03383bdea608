"""A day's differences in words."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from core.jobs.models import Job, JobState
from payments.reconciliation.models import DayStatement
from shop.money.queries import order_address, written

JOB = "payments.reconciliation.jobs.state_day"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One payment that the two sides do not agree about."""

    mp_id: str
    title: str
    theirs: str
    ours: str
    advice: str
    number: int | None
    address: str  # of the order
    decides: bool  # whether the review queue is where it ends


def differences_of(statement: DayStatement) -> list[Difference]:
    return [_difference(found, statement.currency) for found in statement.differences]


def is_being_checked(cafeteria_uuid: UUID, day: date) -> bool:
    waiting = Job.objects.filter(kind=JOB, cafeteria_uuid=cafeteria_uuid, state__in=(JobState.QUEUED, JobState.RUNNING))
    return waiting.filter(arguments__day=day.isoformat()).exists()


def why_unasked(error: str) -> str:
    """Why Mercado Pago could not be asked, by the error's code."""
    if error == "needs_reconnect":
        return _("Mercado Pago no longer accepts the connection. Connect the account again, then check this day again.")
    return _("Mercado Pago did not answer. It is asked again tomorrow by itself; you can check again now.")


def _difference(found: dict[str, Any], own_currency: str) -> Difference:
    kind, order_id = found["kind"], found.get("order_id")
    titles, advice = _titles(), _advice()
    return Difference(
        mp_id=found["mp_id"],
        title=titles.get(kind, kind),
        theirs=_text(found["theirs"], found["currency"], own_currency),
        ours=_text(found["ours"], found["currency"], own_currency),
        advice=advice.get(kind, ""),
        number=found.get("order_number"),
        address=order_address(order_id) if order_id is not None else "",
        decides=kind == "review",
    )


def _titles() -> dict[str, str]:
    return {
        "missing_here": _("Missing in your books"),
        "missing_there": _("Missing at Mercado Pago"),
        "amount": pgettext("difference", "Another amount"),
        "refunded": _("Another sum given back"),
        "fee": _("Another fee"),
        "review": _("Waits for your decision"),
    }


def _advice() -> dict[str, str]:
    again = _("Check again. If it stays, tell the platform the payment's number.")
    return {
        "missing_here": _(
            "Money came for an order that is not here. Look for the payment at Mercado Pago and give it back there, or tell the platform."
        ),
        "missing_there": _("See at Mercado Pago whether the payment is in another account of yours. If not, tell the platform."),
        "amount": again,
        "refunded": again,
        "fee": _("Mercado Pago has changed its fee since. Check again tomorrow; if it stays, tell the platform the payment's number."),
        "review": _("It is not in your books until you accept it or give it back."),
    }


def _text(amount: str, currency: str, own_currency: str) -> str:
    return written(Decimal(amount), currency, own_currency) if amount else "—"
