"""What came in: a day, a week, a month, from the ledger."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.decorators.http import require_safe

from core.business_day import business_date
from core.design.formats import format_day, format_money
from payments.ledger.models import Method
from shop.money.figures.exports import ledger_csv
from shop.money.figures.forms import Span, read_span
from shop.money.figures.queries import Figures, Flow, figures_of
from shop.money.queries import order_address
from shop.people.doors import cafeteria_page
from tenants.refs import TenantRef
from tenants.scope import current_tenant


@require_safe
@cafeteria_page(access="manager")
def money(request: HttpRequest) -> HttpResponse:
    ref = current_tenant()
    span = asked_span(request, ref)
    figures = figures_of(ref, span)
    unpaid = [(order_address(order.pk), order) for order in figures.unpaid.orders]
    return render(
        request,
        "shop/money/figures.html",
        {
            "tab": "money",
            "span": span,
            "lengths": _lengths(span),
            "figures": figures,
            "methods": _methods(figures),
            "unpaid": unpaid,
            "chart": _chart(figures, ref.currency),
            "days": _days(figures),
        },
    )


@require_safe
@cafeteria_page(access="manager", scope=False)
def money_entries(request: HttpRequest) -> StreamingHttpResponse:
    """The span's entries as a file. Without a scope: it is sent after the view has ended."""
    ref: TenantRef = request.tenant  # type: ignore[attr-defined]
    span = asked_span(request, ref)
    return csv_answer(ledger_csv(ref, span), f"{_('money')}-{ref.slug}-{span.first}-{span.last}.csv")


def csv_answer(lines: Iterator[str], file_name: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{file_name}"'
    response["Cache-Control"] = "private, no-store"
    return response


def today_of(ref: TenantRef) -> date:
    return business_date(timezone.now(), zone=ref.zone, cutoff=ref.day_cutoff)


def asked_span(request: HttpRequest, ref: TenantRef) -> Span:
    return read_span(request.GET.dict(), today=today_of(ref))


def _lengths(span: Span) -> list[tuple[str, str, bool]]:
    """(the query, the words, whether it is this one)."""
    words = {
        "day": pgettext("span", "Day"),
        "week": pgettext("span", "7 days"),
        "days30": pgettext("span", "30 days"),
        "month": pgettext("span", "Month"),
    }
    return [(span.of_length(length), label, length == span.length) for length, label in words.items()]  # type: ignore[arg-type]


def _methods(figures: Figures) -> list[tuple[str, Flow]]:
    words = {
        Method.MERCADOPAGO: "Mercado Pago",
        Method.CASH: pgettext("method of payment", "Cash"),
        Method.CARD: pgettext("method of payment", "Card, at the counter"),
    }
    return [(str(words[Method(method)]), flow) for method, flow in figures.by_method.items()]


def _days(figures: Figures) -> list[tuple[str, Flow]]:
    """The newest first; none for a single day."""
    if len(figures.by_day) == 1:
        return []
    return [(format_day(day), flow) for day, flow in sorted(figures.by_day.items(), reverse=True)]


def _chart(figures: Figures, currency: str) -> list[tuple[str, Decimal, str]]:
    if len(figures.by_day) == 1 or not figures.moved:
        return []
    return [(str(day.day), flow.taken, format_money(flow.taken, currency)) for day, flow in figures.by_day.items()]
