"""Whether the orders say of their money what the ledger says, cafeteria by cafeteria. Reads only; what is wrong is told, not mended."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

import structlog
from django.db import DatabaseError, connection

from core.alerts.actions import raise_alert, resolve_alerts
from core.errors import AppError
from core.money import DECIMALS
from shop.money.books import sql
from tenants.models import Cafeteria
from tenants.queries import ref_by_id
from tenants.refs import TenantRef
from tenants.scope import tenant_scope

log = structlog.get_logger()
BOOKS_DIFFER = "payments.books_differ"
PROBLEMS = {
    "paid": "say another sum paid than the ledger",
    "refunded": "say another sum given back than the ledger",
    "unbacked": "are paid without an entry in the ledger",
    "status": "have another payment status than their entries give",
    "currency": "have entries in another currency",
    "decimals": "have amounts with more decimals than the currency has",
    "no_order": "are in the ledger and nowhere else",
    "payment": "have a payment whose status is not what its entries give",
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    code: str  # one of PROBLEMS
    count: int
    examples: list[str]  # orders, at most five

    def __str__(self) -> str:
        return f"{self.count} orders {PROBLEMS[self.code]} ({', '.join(self.examples)})"


@dataclass(frozen=True, kw_only=True)
class Books:
    ref: TenantRef
    orders: int = 0
    entries: int = 0
    paid: Decimal = Decimal(0)  # as the orders say
    ledger: Decimal = Decimal(0)  # as the entries come to
    problems: list[Problem] = field(default_factory=list)
    error: str = ""  # why they could not be read

    @property
    def right(self) -> bool:
        return not self.problems and not self.error


type Progress = Callable[[int, int], None]


def check_all_books(*, progress: Progress | None = None) -> Iterator[Books]:
    """The books of every cafeteria that has a schema and is no copy, each in a scope of its own: one that cannot be read hides no other."""
    ids = list(Cafeteria.objects.filter(copy_of=None).exclude(schema_head="").order_by("id").values_list("id", flat=True))
    for number, cafeteria_id in enumerate(ids):
        if progress is not None:
            progress(number, len(ids))
        yield check_books(ref_by_id(cafeteria_id))


def check_books(ref: TenantRef) -> Books:
    """One cafeteria's, and an alert for as long as they are wrong. Outside every scope. Suspended and closed ones too."""
    try:
        with tenant_scope(ref, also_suspended=True, also_closed=True) as fresh:
            books = _read(fresh)
    except (AppError, DatabaseError) as error:
        log.exception("books_unread", about=str(ref.uuid))
        books = Books(ref=ref, error=type(error).__name__)
    if books.right:
        resolve_alerts(kind=BOOKS_DIFFER, cafeteria_uuid=ref.uuid)
    else:
        said = [str(problem) for problem in books.problems] or [f"They could not be read: {books.error}"]
        raise_alert(kind=BOOKS_DIFFER, cafeteria_uuid=ref.uuid, detail="; ".join(said), severity="critical")
    return books


def _read(ref: TenantRef) -> Books:
    facts: dict[str, str | int] = {"cafeteria": str(ref.uuid), "decimals": DECIMALS[ref.currency]}
    with connection.cursor() as cursor:
        cursor.execute(sql.TOTALS, facts)
        orders, paid, entries, ledger = cursor.fetchone()
        cursor.execute(sql.ORDERS, facts)
        problems = [Problem(code=code, count=count, examples=examples) for code, count, examples in cursor.fetchall()]
        cursor.execute(sql.PAYMENTS, facts)
        count, examples = cursor.fetchone()
    if count:
        problems.append(Problem(code="payment", count=count, examples=examples))
    return Books(ref=ref, orders=orders, entries=entries, paid=paid, ledger=ledger, problems=problems)
