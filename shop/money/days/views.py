"""Mercado Pago's days against ours."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from core.errors import NotFound
from core.jobs import enqueue
from payments.reconciliation.days import sellers_of_day
from payments.reconciliation.models import DayStatement
from payments.sellers.queries import active_seller
from shop.money.days.queries import differences_of, is_being_checked, why_unasked
from shop.money.figures.exports import amount_text, csv_lines, moment_text
from shop.money.figures.forms import A_DAY, FIRST_DAY
from shop.money.figures.views import csv_answer, today_of
from shop.people.doors import cafeteria_page
from tenants.refs import TenantRef
from tenants.scope import current_tenant

SHOWN = 31
IN_A_FILE = 366
State = DayStatement.State


@require_safe
@cafeteria_page(access="manager")
def money_days(request: HttpRequest) -> HttpResponse:
    """The newest days, or those until `until`."""
    ref = current_tenant()
    today = today_of(ref)
    until = min(_day(request.GET.get("until", "")) or today, today)
    statements = list(_statements(ref, until)[: SHOWN + 1])
    more = statements[SHOWN].business_date if len(statements) > SHOWN else None
    states = _states()
    about = {
        "statements": [(found, states[found.state]) for found in statements[:SHOWN]],
        "earlier": more,
        "until": until,
        "is_newest": until == today,
    }
    return render(
        request,
        "shop/money/days.html",
        {"tab": "days", **about, "seller": active_seller(ref.uuid), **_first_day(ref, today)},
    )


@require_safe
@cafeteria_page(access="manager")
def money_day(request: HttpRequest, day: str) -> HttpResponse:
    """One day; `part` alone while it is being checked."""
    ref = current_tenant()
    asked = _past_day(ref, day)
    template = "shop/money/day_state.html" if getattr(request, "htmx", None) else "shop/money/day.html"
    return render(request, template, {"tab": "days", **_about(ref, asked)})


@require_POST
@cafeteria_page(access="manager")
def money_day_check(request: HttpRequest, day: str) -> HttpResponse:
    """Has the day compared again, by a job. Twice is once."""
    ref = current_tenant()
    asked = _past_day(ref, day)
    if sellers_of_day(ref, asked) and not is_being_checked(ref.uuid, asked):
        key = f"{asked}:{timezone.now():%Y-%m-%dT%H:%M:%S}"
        enqueue("payments.reconciliation.jobs.state_day", idempotency_key=key, day=asked.isoformat())
    return redirect("money_day", asked.isoformat())


@require_safe
@cafeteria_page(access="manager", scope=False)
def money_days_file(request: HttpRequest) -> StreamingHttpResponse:
    """One line a day, the newest first. Statements are in public: no scope."""
    ref: TenantRef = request.tenant  # type: ignore[attr-defined]
    until = _day(request.GET.get("until", "")) or today_of(ref)
    header = (
        *(_("Business day"), _("State"), _("Payments"), _("Taken, Mercado Pago"), _("Given back, Mercado Pago"), _("Fees, Mercado Pago")),
        *(_("Net, Mercado Pago"), _("Taken, books"), _("Given back, books"), _("Fees, books"), _("Net, books"), _("Differences")),
        *(_("Currency"), _("Checked")),
    )
    words = {state: str(label) for state, (label, *_look) in _states().items()}
    lines = csv_lines(header, _rows(ref, until, words))
    return csv_answer(lines, f"{_('reconciliation')}-{ref.slug}-{until}.csv")


def _first_day(ref: TenantRef, today: date) -> dict[str, Any]:
    yesterday = today - A_DAY
    return {"yesterday": yesterday, "comparable": bool(sellers_of_day(ref, yesterday))}


def _rows(ref: TenantRef, until: date, words: dict[str, str]) -> Iterator[tuple[str, ...]]:
    for statement in _statements(ref, until)[:IN_A_FILE]:
        theirs = (statement.their_payments, statement.their_refunds, statement.their_fees, statement.their_net)
        ours = (statement.our_payments, statement.our_refunds, statement.our_fees, statement.our_net)
        yield (
            statement.business_date.isoformat(),
            words[statement.state],
            str(statement.count),
            *(amount_text(amount, statement.currency) for amount in (*theirs, *ours)),
            str(len(statement.differences)),
            statement.currency,
            moment_text(statement.checked_at, ref.zone),
        )


def _about(ref: TenantRef, day: date) -> dict[str, Any]:
    statement = DayStatement.objects.filter(cafeteria_uuid=ref.uuid, business_date=day).first()
    waits = is_being_checked(ref.uuid, day)
    found: dict[str, Any] = {"day": day, "statement": statement, "waits": waits, "comparable": bool(sellers_of_day(ref, day))}
    found["poll"] = reverse("money_day", args=[day.isoformat()])
    if statement is not None:
        found |= {"state": _states()[statement.state], "differences": differences_of(statement), "sides": _sides(statement)}
    if statement is not None and statement.state == State.FAILED:
        found["why"] = why_unasked(statement.error)
    return found


def _sides(statement: DayStatement) -> list[tuple[str, Any, Any, bool]]:
    """(what, theirs, ours, whether they differ)."""
    rows = [
        (_("Taken"), statement.their_payments, statement.our_payments),
        (_("Given back since"), statement.their_refunds, statement.our_refunds),
        (_("Fees"), statement.their_fees, statement.our_fees),
        (_("Net"), statement.their_net, statement.our_net),
    ]
    return [(label, theirs, ours, theirs != ours) for label, theirs, ours in rows]


def _statements(ref: TenantRef, until: date) -> QuerySet[DayStatement]:
    return DayStatement.objects.filter(cafeteria_uuid=ref.uuid, business_date__lte=until).order_by("-business_date")


def _states() -> dict[str, tuple[str, str, str]]:
    """(words, the badge's kind, its icon)."""
    return {
        State.AGREES: (_("Agrees"), "good", "check"),
        State.DIFFERS: (_("Differs"), "bad", "warning"),
        State.FAILED: (_("No answer"), "warn", "wifi-off"),
    }


def _past_day(ref: TenantRef, text: str) -> date:
    """A day that is over. Raises NotFound."""
    day = _day(text)
    if day is None or not FIRST_DAY <= day < today_of(ref):
        raise NotFound
    return day


def _day(text: str) -> date | None:
    with suppress(ValueError):
        return date.fromisoformat(text)
    return None
