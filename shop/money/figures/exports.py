"""The ledger as a file for the accountant, written while it is read: a year of a busy cafeteria takes no more memory than a day."""

import csv
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import F, Q
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from core.money import DECIMALS, as_text
from payments.ledger.models import LedgerEntry, Method
from shop.money.figures.forms import Span
from shop.money.figures.queries import entries_of
from tenants.refs import TenantRef

Kind = LedgerEntry.Kind
AT_A_TIME = 1_000
BYTE_ORDER_MARK = "\ufeff"  # Without it, spreadsheets take UTF-8 for something older.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = ("id", "business_date", "at", "payment__order_number", "kind", "method", "amount", "fee", "currency", "charge__mp_id")


class _Line:
    """A file for csv.writer that hands back what was written."""

    def write(self, text: str) -> str:
        return text


def ledger_csv(ref: TenantRef, span: Span) -> Iterator[str]:
    """One line an entry, oldest first, in the language that is active now. Outside every scope: the ledger is in public."""
    header = (
        *(_("Business day"), _("Moment"), _("Order"), _("Kind"), _("Method"), _("Amount"), _("Fee"), _("Net"), _("Currency")),
        *(_("Mercado Pago id"), _("Who"), _("Note")),
    )
    return _lines(ref, span, header, _words())


def csv_lines(header: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    """UTF-8 with its mark. The cells are as they will stand: pass people's words through `plain`."""
    writer = csv.writer(_Line())
    yield BYTE_ORDER_MARK + writer.writerow(header)
    for row in rows:
        yield writer.writerow(row)


def plain(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _words() -> dict[str, str]:
    """What kinds and methods are called. Looked up at once: the language is another one by the time that the file is sent."""
    return {
        Kind.PAYMENT: _("payment"),
        Kind.REFUND: _("refund"),
        Kind.CHARGEBACK: _("chargeback"),
        Kind.ADJUSTMENT: _("adjustment"),
        Method.MERCADOPAGO: "Mercado Pago",
        Method.CASH: pgettext("payment", "cash"),
        Method.CARD: pgettext("payment", "card"),
    }


def _lines(ref: TenantRef, span: Span, header: Sequence[str], words: dict[str, str]) -> Iterator[str]:
    return csv_lines(header, (_row(entry, ref.zone, words) for entry in _entries(ref, span)))


def _entries(ref: TenantRef, span: Span) -> Iterator[dict[str, Any]]:
    """Day by day and page by page: each step reads one day by its index."""
    every = entries_of(ref, span)
    for day in every.order_by("business_date").values_list("business_date", flat=True).distinct():
        of_day = every.filter(business_date=day).order_by("at", "id").values(*COLUMNS, "note", who=F("actor_label"))
        page = list(of_day[:AT_A_TIME])
        while page:
            yield from page
            last = page[-1]
            page = list(of_day.filter(Q(at__gt=last["at"]) | Q(at=last["at"], id__gt=last["id"]))[:AT_A_TIME])


def _row(entry: dict[str, Any], zone: ZoneInfo, words: dict[str, str]) -> tuple[str, ...]:
    currency = entry["currency"]
    amounts = (entry["amount"], entry["fee"], entry["amount"] - entry["fee"])
    return (
        entry["business_date"].isoformat(),
        moment_text(entry["at"], zone),
        str(entry["payment__order_number"]),
        words[entry["kind"]],
        words[entry["method"]],
        *(amount_text(amount, currency) for amount in amounts),
        currency,
        plain(entry["charge__mp_id"] or ""),
        plain(entry["who"]),
        plain(entry["note"]),
    )


def moment_text(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).isoformat(timespec="seconds")


def amount_text(amount: Decimal, currency: str) -> str:
    return as_text(amount, currency) if currency in DECIMALS else str(amount)
