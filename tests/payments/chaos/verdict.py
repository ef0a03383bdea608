"""What has to hold after a run: our orders and ledger against the emulator's own file, and every step that the database noted."""

import json
import sqlite3
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import QuerySet

from core.jobs.models import Job
from core.jobs.tick import WORKER_DIED
from payments.ledger.models import Charge, LedgerEntry, Payment, Refund
from shop.orders.models import Order, OrderEvent
from tenants.scope import tenant_scope
from tests.payments.chaos.buyers import ENDS, Purchase
from tests.payments.chaos.run import CHECK, Run, deadlocks

WORK_OFF = "payments.inbox.jobs.work_off"
ZERO = Decimal(0)
ONE_TRANSACTION = timedelta(seconds=1)  # at most, between what the same look has written
HAS_PAID = {"paid", "refunded", "partially_refunded", "charged_back"}  # from none of these is there a way back to the others


@dataclass(frozen=True, kw_only=True)
class Row:
    what: str
    expected: object
    found: object

    @property
    def holds(self) -> bool:
        return self.expected == self.found


class Note(NamedTuple):
    """What the database noted: a step of the order, or the begin (`claim`) and the end (`look`) of a look of reconciliation."""

    what: str
    before: str
    after: str
    at: datetime
    backend: int


@dataclass(kw_only=True)
class Theirs:
    """A payment as the emulator has it."""

    mp_id: str
    seller: int
    reference: str
    status: str
    approved_at: float | None  # seconds since 1970
    amount: Decimal
    returned: Decimal
    fee: Decimal
    refunds: list[tuple[str, Decimal]]

    @property
    def net(self) -> Decimal:
        return ZERO if self.approved_at is None or self.status == "charged_back" else self.amount - self.returned


@dataclass(kw_only=True)
class Verdict:
    rows: list[Row] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)  # seconds from the money at Mercado Pago to the paid order

    @property
    def holds(self) -> bool:
        return all(row.holds for row in self.rows)

    def expect(self, what: str, expected: object, found: object) -> None:
        self.rows.append(Row(what=what, expected=expected, found=found))

    def none(self, what: str, found: list[str]) -> None:
        """Nothing of this kind may be."""
        self.expect(what, 0, len(found))
        self.examples += [f"{what}: {example}" for example in found[:5]]

    def percentile(self, part: int) -> float:
        return quantiles(self.lags, n=100, method="inclusive")[part - 1] if len(self.lags) > 1 else 0.0


@dataclass(kw_only=True)
class Books:
    """Everything that is compared."""

    orders: dict[str, Order]
    events: dict[str, Counter[str]]
    payments: dict[str, list[Payment]]
    charges: dict[str, Charge]
    ledger: dict[str, Decimal]
    fees: Decimal
    refunds: list[Refund]
    theirs: dict[str, list[Theirs]]  # by reference
    notes: dict[str, list[Note]]

    def theirs_of(self, order: Order) -> list[Theirs]:
        return [found for payment in self.payments.get(order.secret, []) for found in self.theirs.get(payment.reference, [])]

    def net_of(self, order: Order) -> Decimal:
        """What Mercado Pago holds for the order, but for what waits for somebody's decision."""
        return sum((found.net for found in self.theirs_of(order) if not self.is_doubtful(found)), ZERO)

    def is_doubtful(self, found: Theirs) -> bool:
        """An attempt without money that was never looked for may be unknown here; one with money then makes the sums differ."""
        charge = self.charges.get(found.mp_id)
        return charge is not None and bool(charge.review)


def judge(run: Run) -> Verdict:
    verdict, books = Verdict(), read_books(run)
    verdict.none("stories that broke", run.buyers.failures)
    _count_the_paid(verdict, run, books)
    _look_at_steps(verdict, run, books)
    _look_at_refunds(verdict, run, books)
    _add_up(verdict, run, books)
    _look_at_looks(verdict, run, books)
    verdict.none("jobs given up", [f"{job.kind} {job.error}" for job in _given_up()])
    verdict.expect("forged notifications answered with success", 0, run.seen["forged and accepted"])
    verdict.expect("deadlocks in PostgreSQL", run.deadlocks_before, deadlocks())
    return verdict


def _given_up() -> QuerySet[Job]:
    """But for those whose next one does the same work, when what ended them was that their workers were killed each time."""
    failed = Job.objects.filter(state="failed").exclude(kind="config.demo.jobs.connect_test_seller")
    return failed.exclude(kind__in=(CHECK, WORK_OFF), error=WORKER_DIED)


def read_books(run: Run) -> Books:
    uuids = [till.uuid for till in run.stage.tills]
    orders: dict[str, Order] = {}
    events: dict[str, Counter[str]] = {}
    for till in run.stage.tills:
        with tenant_scope(till.place.ref):
            found = {order.pk: order for order in Order.objects.all()}
            orders |= {order.secret: order for order in found.values()}
            for order_id, kind in OrderEvent.objects.values_list("order_id", "kind"):
                events.setdefault(found[order_id].secret, Counter[str]())[kind] += 1
    payments: dict[str, list[Payment]] = defaultdict(list)
    for payment in Payment.objects.filter(cafeteria_uuid__in=uuids):
        payments[payment.order_key].append(payment)
    ledger: dict[str, Decimal] = defaultdict(lambda: ZERO)
    fees = ZERO
    for key, amount, fee in LedgerEntry.objects.filter(cafeteria_uuid__in=uuids).values_list("order_key", "amount", "fee"):
        ledger[key] += amount
        fees += fee
    return Books(
        orders=orders,
        events=events,
        payments=payments,
        charges={charge.mp_id: charge for charge in Charge.objects.filter(cafeteria_uuid__in=uuids)},
        ledger=ledger,
        fees=fees,
        refunds=list(Refund.objects.filter(cafeteria_uuid__in=uuids).select_related("charge")),
        theirs=read_emulator(run.stage.folder / "mercadopago.sqlite"),
        notes=_read_notes(),
    )


def read_emulator(path: Path) -> dict[str, list[Theirs]]:
    """All payments, by their reference, from the emulator's file."""
    found: dict[str, list[Theirs]] = defaultdict(list)
    store = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    rows = store.execute("SELECT id, owner, reference, status, approved, body FROM documents WHERE kind = 'payment'").fetchall()
    store.close()
    for mp_id, seller, reference, status, approved, text in rows:
        body = json.loads(text, parse_float=Decimal)
        theirs = Theirs(
            mp_id=mp_id,
            seller=seller,
            reference=reference,
            status=status,
            approved_at=approved and approved / 1000,
            amount=Decimal(body["transaction_amount"]),
            returned=Decimal(body["transaction_amount_refunded"]),
            fee=sum((Decimal(fee["amount"]) for fee in body["fee_details"]), ZERO),
            refunds=[(str(refund["id"]), Decimal(refund["amount"])) for refund in body["refunds"]],
        )
        found[reference].append(theirs)
    return found


def _read_notes() -> dict[str, list[Note]]:
    notes: dict[str, list[Note]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute("SELECT order_key, what, before, after, at, backend FROM public.chaos_note ORDER BY at")
        for key, *facts in cursor.fetchall():
            notes[key].append(Note(*facts))
    return notes


def _bought(run: Run, books: Books) -> list[tuple[Purchase, Order]]:
    return [(purchase, books.orders[purchase.order.secret]) for purchase in run.purchases if purchase.order is not None]


def _count_the_paid(verdict: Verdict, run: Run, books: Books) -> None:
    bought = _bought(run, books)
    verdict.expect("orders placed", len(run.purchases), len(books.orders))
    meant = [order for purchase, order in bought if purchase.is_meant_to_be_paid]
    paid = [order for order in meant if any(found.approved_at for found in books.theirs_of(order)) and order.payment_status in HAS_PAID]
    verdict.expect("orders meant to be paid, and paid", sum(purchase.is_meant_to_be_paid for purchase in run.purchases), len(paid))
    ends = [(purchase, order) for purchase, order in bought if order.payment_status != ENDS[purchase.kind]]
    verdict.none("orders that ended as something else", [f"{p.kind} {o.payment_status} {o.secret}" for p, o in ends])
    forged = [
        f"{purchase.kind} {order.secret}"
        for purchase, order in bought
        if not purchase.is_meant_to_be_paid
        and purchase.kind != "late"
        and (books.events[order.secret]["paid"] or any(note.after == "paid" for note in books.notes[order.secret]) or order.paid)
    ]
    verdict.none("seen as paid, and not paid at Mercado Pago", forged)


def _look_at_steps(verdict: Verdict, run: Run, books: Books) -> None:
    back, often = [], []
    for purchase, order in _bought(run, books):
        steps = [(note.before, note.after) for note in books.notes[order.secret] if note.what == "step"]
        back += [f"{order.secret} {before} -> {after}" for before, after in steps if before in HAS_PAID and after not in HAS_PAID]
        if purchase.kind != "returned" and books.events[order.secret]["paid"] > 1:
            often.append(f"{purchase.kind} {order.secret}")
    verdict.none("steps backward", back)
    verdict.none("orders whose history says paid twice", often)


def _look_at_refunds(verdict: Verdict, run: Run, books: Books) -> None:
    wrong, expected, found = [], 0, 0
    for purchase, order in _bought(run, books):
        refunds = [refund for theirs in books.theirs_of(order) for refund in theirs.refunds]
        wanted = [purchase.back] if purchase.back else []
        expected, found = expected + len(wanted), found + len(refunds)
        if [amount for _, amount in refunds] != wanted:
            wrong.append(f"{purchase.kind} {order.secret}: {refunds} instead of {wanted}")
    verdict.expect("refunds at Mercado Pago", expected, found)
    verdict.none("orders with another refund than theirs", wrong)
    theirs = sorted(mp_refund_id for known in books.theirs.values() for one in known for mp_refund_id, _ in one.refunds)
    ours = sorted(refund.mp_refund_id for refund in books.refunds if refund.state == Refund.State.APPROVED)
    verdict.expect("our refunds are theirs, one to one", theirs, ours)


def _add_up(verdict: Verdict, run: Run, books: Books) -> None:
    off = [
        f"{order.secret}: order {order.paid}, ledger {books.ledger[order.secret]}, Mercado Pago {books.net_of(order)}"
        for order in books.orders.values()
        if not order.paid == books.ledger[order.secret] == books.net_of(order)
    ]
    verdict.none("orders whose sums differ", off)
    for till in run.stage.tills:
        keys = {order.secret for order in books.orders.values() if order.secret in _keys(till.uuid)}
        ours, ledger = sum((books.orders[key].paid for key in keys), ZERO), sum((books.ledger[key] for key in keys), ZERO)
        known = [one for found in books.theirs.values() for one in found if one.seller == till.seller.mp_user_id]
        held = sum((one.net for one in known if not books.is_doubtful(one)), ZERO)
        if not ours == ledger == held:
            verdict.none("cafeterias whose sums differ", [f"{till.place.ref.slug}: {ours}, {ledger}, {held}"])
    total = sum((order.paid for order in books.orders.values()), ZERO)
    verdict.expect("sum of the orders = sum of the ledger", total, sum(books.ledger.values(), ZERO))
    verdict.expect("sum of the orders = what Mercado Pago holds", total, sum((books.net_of(o) for o in books.orders.values()), ZERO))
    kept = [one for found in books.theirs.values() for one in found if one.approved_at and not books.is_doubtful(one)]
    verdict.expect("fees in the ledger = theirs", sum((one.fee for one in kept), ZERO), books.fees)


def _keys(cafeteria_uuid: Any) -> set[str]:
    return set(Payment.objects.filter(cafeteria_uuid=cafeteria_uuid).values_list("order_key", flat=True))


def _look_at_looks(verdict: Verdict, run: Run, books: Books) -> None:
    """No payment that was approved when reconciliation came for the first time, and was answered, may have been left unpaid by it."""
    late = []
    for purchase, order in _bought(run, books):
        approved = min((theirs.approved_at for theirs in books.theirs_of(order) if theirs.approved_at), default=None)
        notes = books.notes[order.secret]
        seen = next((note.at for note in notes if note.what == "step" and note.after in HAS_PAID), None)
        if approved is None or seen is None or not purchase.is_meant_to_be_paid:
            continue
        verdict.lags.append(seen.timestamp() - approved)
        if any(begun.timestamp() > approved and ended < seen - ONE_TRANSACTION for begun, ended in _looks(notes)):
            late.append(f"{purchase.kind} {order.secret}")
    verdict.none("missed by the first look of reconciliation", late)


def _looks(notes: list[Note]) -> list[tuple[datetime, datetime]]:
    """When each that was answered began and ended. A look that is slow may overlap with the next one of another process."""
    looks, begun = [], dict[int, datetime]()
    for note in notes:
        if note.what == "claim":
            begun[note.backend] = note.at
        elif note.what == "look" and note.backend in begun:
            looks.append((begun.pop(note.backend), note.at))
    return looks
