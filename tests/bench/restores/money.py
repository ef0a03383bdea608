"""Six hours of money, gone through again after a restore: what Mercado Pago, the ledger and the orders say in the end."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from ops.backups.actions import take_backup  # noqa: E402
from ops.restores.actions import run_restore, start_restore  # noqa: E402
from ops.restores.models import Restore  # noqa: E402
from payments.ledger.models import LedgerEntry, Payment  # noqa: E402
from shop.money.books.actions import check_books  # noqa: E402
from shop.orders.models import Order  # noqa: E402
from tenants.fleet.public import migrate_public  # noqa: E402
from tenants.queries import ref_by_uuid  # noqa: E402
from tenants.scope import tenant_scope  # noqa: E402
from tests.bench.load import machine  # noqa: E402
from tests.emulator.process import running_emulator  # noqa: E402
from tests.payments.application import point_to  # noqa: E402
from tests.payments.till import Till, open_till  # noqa: E402
from tests.world import build_world  # noqa: E402

PRICE = Decimal("1000.00")
BEFORE = 20  # orders that were paid before the backup
UNTOLD = 0.04  # of the payments: Mercado Pago has told nobody of them yet when the cafeteria goes back
UNSENT = 0.25  # of the refunds: written down, and not sent yet then
GOAL = 300.0  # seconds

type Sale = tuple[Order, str]  # the order, its payment's id at Mercado Pago


@dataclass(kw_only=True)
class History:
    before: list[Sale] = field(default_factory=list)
    since: list[Sale] = field(default_factory=list)
    refunded: dict[str, Decimal] = field(default_factory=dict)  # by the payment's id


def run(folder: Path, *, payments: int, refunds: int) -> bool:
    migrate_public()
    world = build_world("luna", "sol")
    with running_emulator(folder) as emulator:
        point_to(emulator, settings)
        till = open_till(world.a, emulator)
        history = History(before=[_bought(till) for _ in range(BEFORE)])
        backup = take_backup(cafeteria_uuid=till.uuid, kind="manual")
        began = time.monotonic()
        _six_hours(till, history, payments=payments, refunds=refunds)
        lasted = time.monotonic() - began
        posted = len(_posts(till))

        began = time.monotonic()
        restore = run_restore(restore_id=start_restore(cafeteria_uuid=till.uuid, backup_id=backup.pk).pk)
        till.place.ref = ref_by_uuid(till.uuid)
        back = time.monotonic() - began
        asked_in_it = len(_posts(till)) - posted
        _what_the_jobs_do(till)
        took = time.monotonic() - began
        rows = _verdict(till, history, asked_in_it=asked_in_it, took=took)
        _show(
            rows,
            restore,
            f"{payments} payments and {refunds} refunds made in {lasted:.0f} s; the restore took {back:.1f} s, all {took:.1f} s",
        )
    return all(found == expected for _, expected, found in rows)


def _six_hours(till: Till, history: History, *, payments: int, refunds: int) -> None:
    untold = int(payments * UNTOLD)
    history.since = [_bought(till) for _ in range(payments - untold)]
    # Some of what was paid before the backup goes back after it; every fourth one only in part.
    chosen = history.before[: refunds // 8] + history.since[: refunds - refunds // 8]
    for number, (order, mp_id) in enumerate(chosen):
        amount = Decimal("250.00") if number % 4 == 0 else PRICE
        till.refund(till.payment(order), amount)
        history.refunded[mp_id] = amount
        if number == int(len(chosen) * (1 - UNSENT)):
            till.send_refunds()
    for _ in range(untold):
        order = till.order(waits=True)
        history.since.append((order, till.pay(till.checkout(order))))


def _bought(till: Till) -> Sale:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    return order, mp_id


def _what_the_jobs_do(till: Till) -> None:
    """Reconciliation looks at what is open, refunds are sent, and everything twice: none may move twice."""
    for _ in range(2):
        till.look()
        till.work()
        till.send_refunds()


def _verdict(till: Till, history: History, *, asked_in_it: int, took: float) -> list[tuple[str, Any, Any]]:
    sales = history.before + history.since
    with tenant_scope(till.place.ref):
        orders = {order.secret: order for order in Order.objects.all()}
    theirs = {mp_id: till.theirs(mp_id) for _, mp_id in sales}
    stayed: Callable[[str], Decimal] = lambda mp_id: PRICE - history.refunded.get(mp_id, Decimal(0))  # noqa: E731
    charged = Counter(entry.order_key for entry in LedgerEntry.objects.filter(cafeteria_uuid=till.uuid, kind="payment"))
    found = [order for order, _ in history.since if order.secret in orders]
    right = [mp_id for order, mp_id in sales if order.secret in orders and orders[order.secret].paid == stayed(mp_id)]
    numbers = [orders[order.secret].number for order, _ in sales if order.secret in orders]
    return [
        ("payments since the backup whose order is there", len(history.since), len(found)),
        ("orders paid as much as has stayed at Mercado Pago", len(sales), len(right)),
        ("orders charged once", len(sales), sum(1 for order, _ in sales if charged[order.secret] == 1)),
        ("payments that gave back what was asked, once", len(sales), sum(_gave_back(theirs[mp_id], history) for _, mp_id in sales)),
        ("refunds at Mercado Pago", len(history.refunded), sum(len(row["refunds"]) for row in theirs.values())),
        (
            "orders that kept their number",
            len(sales),
            sum(number == order.number for number, (order, _) in zip(numbers, sales, strict=False)),
        ),
        ("payments open for ever", 0, Payment.objects.filter(cafeteria_uuid=till.uuid, status="pending").count()),
        ("requests that move money during the restore", 0, asked_in_it),
        ("books that differ from the orders", 0, len(check_books(till.place.ref).problems)),
        (f"within {GOAL:.0f} s", True, took < GOAL),
    ]


def _gave_back(theirs: dict[str, Any], history: History) -> bool:
    return Decimal(str(theirs["transaction_amount_refunded"])) == history.refunded.get(str(theirs["id"]), Decimal(0))


def _posts(till: Till) -> list[dict[str, Any]]:
    return till.emulator.entries("request", method="POST")


def _show(rows: list[tuple[str, Any, Any]], restore: Restore, title: str) -> None:
    report = restore.report["money"]["report"]
    table = Table("", "expected", "found", title=title)
    for what, expected, found in rows:
        table.add_row(what if expected == found else f"FAILS: {what}", str(expected), str(found))
    console = Console()
    console.print(table)
    console.print(
        f"Its signed report: {report['orders']} orders, {len(report['recreated'])} made again, {report['paid']} paid, "
        f"{report['refunded']} refunded, {len(report['problems'])} problems; away {restore.away_seconds:.2f} s. {machine()}"
    )
