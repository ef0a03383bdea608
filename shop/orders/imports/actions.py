import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import batched
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.utils import timezone

from core.business_day import business_date
from core.jobs import enqueue
from core.jobs.models import Job, Queue
from core.money import LARGEST
from shop.menu.models import Product
from shop.orders.imports import sql
from shop.orders.imports.errors import BadLine, SalesFileRefused
from shop.orders.imports.forms import SalesFile, SoldLine, Ticket, read_sales
from shop.orders.imports.queries import Names, products_for_items
from shop.orders.models import DayCounter, Order
from tenants.pulse import bump_orders
from tenants.refs import TenantRef
from tenants.scope import current_tenant

type Progress = Callable[[float, str], None]  # how far, 0 to 1, and in words

BATCH = 500  # tickets written at once
TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtext('import_sales'), %s)"


@dataclass(frozen=True, kw_only=True, slots=True)
class SalesImported:
    imported: int  # tickets that became orders
    known: int  # tickets that an earlier import had brought
    left_out: int  # lines of the file that sold nothing
    days: int  # business days with imported tickets
    revenue: Decimal  # of the imported ones, at today's prices


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sale:
    ticket: Ticket
    day: date  # the business day
    quantities: Counter[Product]  # in the ticket's order
    total: Decimal


def import_sales(*, raw: bytes, names: Names | None = None, progress: Progress = lambda _share, _message: None) -> SalesImported:
    """Makes a completed, paid order of each ticket of a file of past sales (shop.orders.imports.forms), in the current cafeteria.

    Prices are those of today's menu, without choices; numbers go on after those of each business day, in the order of time. Takes no
    stock and tells nobody. All or nothing: SalesFileRefused names every bad line. A ticket that an earlier import brought is passed over.
    """
    tenant = current_tenant()
    file = read_sales(raw, zone=tenant.zone, now=timezone.now())
    progress(0.0, f"{len(file.tickets)} tickets to import")
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(TAKE_TURNS, [tenant.id])
        known = _known(file)
        fresh = [ticket for ticket in file.tickets if ticket.reference not in known]
        products = _products(fresh, names or {})
        sales = _sales(fresh, products, tenant)
        _write(sales, tenant, progress)
    dropped = sum(products[line.item] is None for ticket in fresh for line in ticket.lines)
    return SalesImported(
        imported=len(sales),
        known=len(known),
        left_out=file.left_out + dropped,
        days=len({sale.day for sale in sales}),
        revenue=sum((sale.total for sale in sales), Decimal(0)),
    )


def enqueue_sales_import(*, cafeteria: TenantRef, raw: bytes, names: Names | None = None) -> Job:
    """Stores the file and adds the job that imports it (shop.orders.jobs.import_sales). Call outside of a scope: storing may take long."""
    stored = default_storage.save(f"imports/{cafeteria.uuid}/{hashlib.sha256(raw).hexdigest()}.csv", ContentFile(raw))
    return enqueue(
        "shop.orders.jobs.import_sales",
        queue=Queue.LONG,
        cafeteria_uuid=cafeteria.uuid,
        file=stored,
        names=None if names is None else dict(names),
    )


def _known(file: SalesFile) -> set[str]:
    references = [ticket.reference for ticket in file.tickets]
    known = Order.objects.filter(import_reference__in=references).values_list("import_reference", flat=True)
    return {reference for reference in known if reference is not None}


def _products(tickets: list[Ticket], names: Names) -> dict[str, Product | None]:
    lines: dict[str, list[SoldLine]] = {}
    for ticket in tickets:
        for line in ticket.lines:
            lines.setdefault(line.item, []).append(line)
    products, problems = products_for_items(lines, names)
    if problems:
        raise SalesFileRefused([_unknown(problem, lines[item]) for item, problem in problems.items()])
    return products


def _unknown(problem: str, lines: list[SoldLine]) -> BadLine:
    count = f"{len(lines)} lines have it" if len(lines) > 1 else "one line has it"
    return BadLine(line=lines[0].line, column="item", problem=f"{problem} ({count})")


def _sales(tickets: list[Ticket], products: dict[str, Product | None], tenant: TenantRef) -> list[_Sale]:
    """In the order of time."""
    sales = []
    for ticket in sorted(tickets, key=lambda ticket: ticket.at):
        quantities = Counter(product for line in ticket.lines if (product := products[line.item]) is not None)
        if not quantities:
            continue
        total = sum((product.price * quantity for product, quantity in quantities.items()), Decimal(0))
        if total > LARGEST:
            problem = f"transaction {ticket.reference} comes to {total}: {LARGEST} is the most"
            raise SalesFileRefused([BadLine(line=ticket.lines[0].line, column="", problem=problem)])
        day = business_date(ticket.at, zone=tenant.zone, cutoff=tenant.day_cutoff)
        sales.append(_Sale(ticket=ticket, day=day, quantities=quantities, total=total))
    return sales


def _write(sales: list[_Sale], tenant: TenantRef, progress: Progress) -> None:
    newest = _reserve_numbers(Counter(sale.day for sale in sales))
    written = 0
    for batch in batched(sales, BATCH):
        with connection.cursor() as cursor:
            cursor.execute(sql.INSERT_ORDERS, {"currency": tenant.currency, **_order_columns(batch, newest)})
            cursor.execute(sql.INSERT_ITEMS, _item_columns(batch))
        written += len(batch)
        progress(written / len(sales), f"{written} of {len(sales)} tickets imported")
    if sales:
        bump_orders()


def _reserve_numbers(tickets: Counter[date]) -> dict[date, int]:
    """The number before the first free one of each day. Locks the counters, in the order of the days, until the transaction ends."""
    days = sorted(tickets)
    DayCounter.objects.bulk_create([DayCounter(day=day, newest=0) for day in days], ignore_conflicts=True)
    counters = list(DayCounter.objects.select_for_update().filter(day__in=days).order_by("day"))
    before = {counter.day: counter.newest for counter in counters}
    for counter in counters:
        counter.newest += tickets[counter.day]
    DayCounter.objects.bulk_update(counters, ["newest"], batch_size=BATCH)
    return before


def _order_columns(sales: Sequence[_Sale], newest: dict[date, int]) -> dict[str, list[Any]]:
    numbers = []
    for sale in sales:
        newest[sale.day] += 1
        numbers.append(newest[sale.day])
    return {
        "days": [sale.day for sale in sales],
        "numbers": numbers,
        "totals": [sale.total for sale in sales],
        "secrets": [secrets.token_urlsafe(16) for _ in sales],
        "references": [sale.ticket.reference for sale in sales],
        "times": [sale.ticket.at for sale in sales],
    }


def _item_columns(sales: Sequence[_Sale]) -> dict[str, list[Any]]:
    lines = [(sale.ticket.reference, product, quantity) for sale in sales for product, quantity in sale.quantities.items()]
    return {
        "references": [reference for reference, _, _ in lines],
        "products": [product.pk for _, product, _ in lines],
        "names": [product.name for _, product, _ in lines],
        "quantities": [quantity for _, _, quantity in lines],
        "prices": [product.price for _, product, _ in lines],
    }
