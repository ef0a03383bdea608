"""Restores as people read them: what would change, how far one is, what became of the money."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from core.audit.models import AuditEntry
from core.design.formats import format_day, format_money
from core.jobs.models import Job, JobState
from ops.backups.models import Backup
from ops.console.errors import NoPreview
from ops.console.targets import Target, target_of
from ops.console.words import METHODS, MOVEMENTS, ORDER_STATES, PARTS, PAYMENT_STATES, TABLES, Words, table_words
from ops.console.work.queries import NOBODY, About, known_by_uuid, percent_of, what_moves
from ops.restores.models import Restore
from payments.ledger.models import LedgerEntry, Payment
from tenants.models import Cafeteria

AT_A_TIME = 30
NEVER_BACK = {"shop_daycounter"}  # A number is not given twice: the exchange keeps the higher one (ops.restores.actions).
MOVEMENTS_SHOWN = 50
PREVIEW, UNDO = "ops.restores.jobs.preview", "ops.restores.jobs.undo"
UNDER_WAY = (Restore.Phase.WAITING, Restore.Phase.BUILT, Restore.Phase.EXCHANGED)
BEFORE_EXCHANGE = (Restore.Phase.WAITING, Restore.Phase.BUILT)
# Where in the job's progress each step of a restore ends (ops.restores.actions).
STEP_ENDS = (0.3, 0.5, 0.85, 0.9, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class TableLine:
    words: Words
    now: int
    then: int
    lost: int
    back: int
    changed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RowLine:
    """A row that would change, in words."""

    change: str  # lost, back, changed
    name: str
    facts: list[str]  # as it is, or would be
    differences: list[tuple[str, str, str]]  # (what, now, then)
    note: str = ""  # what becomes of its money


@dataclass(frozen=True, kw_only=True, slots=True)
class Movement:
    """Money that moved since the moment: it stays moved."""

    entry: LedgerEntry
    words: Words
    method: Words
    order: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Diff:
    """What going back would change."""

    tables: list[TableLine]
    orders: list[RowLine]
    more_orders: int
    products: list[RowLine]
    more_products: int
    movements: list[Movement]
    more_movements: int

    @property
    def is_empty(self) -> bool:
        return not self.tables


@dataclass(frozen=True, kw_only=True, slots=True)
class RestoreLine:
    """One of a list."""

    restore: Restore
    about: About
    moment: datetime | None  # that it goes back to; None while nobody has read a bundle that is a file
    is_pictures: bool  # nothing but these


@dataclass(frozen=True, kw_only=True, slots=True)
class RestoreFacts:
    """Where a restore stands."""

    restore: Restore
    cafeteria: Cafeteria
    job: Job | None
    backup: Backup | None  # that it goes back to; None: a file, a moment, or erased since
    undo_job: Job | None  # the newest
    steps: list[tuple[str, Words, datetime | None]]
    percent: int
    undone_by: str
    money: Mapping[str, Any] | None
    undo_money: Mapping[str, Any] | None
    parts: list[Words]

    @property
    def is_under_way(self) -> bool:
        return self.restore.phase in UNDER_WAY and not self.is_stuck

    @property
    def is_stuck(self) -> bool:
        """Its job has ended before it."""
        return self.restore.phase in UNDER_WAY and (self.job is None or self.job.has_ended)

    @property
    def is_undoing(self) -> bool:
        return self.undo_job is not None and not self.undo_job.has_ended

    @property
    def undo_failed(self) -> bool:
        return self.restore.phase == Restore.Phase.DONE and self.undo_job is not None and self.undo_job.state == JobState.FAILED

    @property
    def may_cancel(self) -> bool:
        return self.is_under_way and self.restore.phase in BEFORE_EXCHANGE and self.job is not None and not self.job.cancel_requested

    @property
    def may_undo(self) -> bool:
        return self.restore.phase == Restore.Phase.DONE and bool(self.restore.kept_schema) and not self.is_undoing

    @property
    def undo_is_over(self) -> bool:
        return self.restore.undo_until is None or self.restore.undo_until < timezone.now()

    @property
    def is_over(self) -> bool:
        """Whether nothing of it changes by itself any more."""
        return not self.is_under_way and not self.is_undoing

    @property
    def facts(self) -> tuple[object, ...]:
        """All that its page shows and may change."""
        job, undo = self.job, self.undo_job
        return (self.restore.phase, self.restore.error, what_moves(job), what_moves(undo), bool(self.undo_money))


def preview_by_id(job_id: UUID) -> tuple[Job, Cafeteria, Target]:
    """Raises NoPreview for anything else, BackupNotFound when its backup is gone."""
    job = Job.objects.filter(pk=job_id, kind=PREVIEW).first()
    cafeteria: Cafeteria | None = Cafeteria.objects.filter(uuid=job.cafeteria_uuid).first() if job is not None else None
    if job is None or cafeteria is None:
        raise NoPreview
    return job, cafeteria, target_of(cafeteria, {"backup": job.arguments.get("backup_id", ""), "at": job.arguments.get("at", "")})


def newest_preview(cafeteria: Cafeteria, target: Target) -> Job | None:
    """The newest one of this target that has ended well."""
    wanted = {"arguments__backup_id": str(target.backup.pk)} if target.backup is not None else {"arguments__at": target.at_text}
    done = Job.objects.filter(kind=PREVIEW, cafeteria_uuid=cafeteria.uuid, state=JobState.SUCCEEDED, **wanted)
    return done.order_by("-id").first()


def diff_of(result: Mapping[str, Any], cafeteria: Cafeteria, since: datetime) -> Diff:
    """A preview's result, in words and the cafeteria's money, with the money that has moved since."""
    changes = [change for change in result.get("tables", []) if change["table"] not in NEVER_BACK]
    tables = [_table_line(change) for change in sorted(changes, key=_place)]
    rows = result.get("rows", {})
    orders, products = rows.get("shop_order", []), rows.get("shop_product", [])
    moved = LedgerEntry.objects.filter(cafeteria_uuid=cafeteria.uuid, recorded_at__gt=since)
    entries = list(moved.select_related("payment").order_by("-recorded_at", "-id")[:MOVEMENTS_SHOWN])
    paid = _paid_orders(cafeteria, orders)
    return Diff(
        tables=tables,
        orders=[_order_line(row, cafeteria, paid) for row in orders],
        more_orders=_more(result, "shop_order", len(orders)),
        products=[_product_line(row, cafeteria) for row in products],
        more_products=_more(result, "shop_product", len(products)),
        movements=[_movement(entry) for entry in entries],
        more_movements=max(moved.count() - len(entries), 0) if len(entries) == MOVEMENTS_SHOWN else 0,
    )


def restore_facts(restore: Restore, cafeteria: Cafeteria) -> RestoreFacts:
    job = Job.objects.filter(pk=restore.job_id).first() if restore.job_id is not None else None
    undos = Job.objects.filter(kind=UNDO, cafeteria_uuid=restore.cafeteria_uuid, arguments__restore_id=str(restore.pk))
    undone = AuditEntry.objects.filter(cafeteria_uuid=restore.cafeteria_uuid, action="restore.undone", target=str(restore.pk)).first()
    return RestoreFacts(
        restore=restore,
        cafeteria=cafeteria,
        job=job,
        backup=Backup.objects.filter(pk=restore.backup_id).defer("manifest").first() if restore.backup_id else None,
        undo_job=undos.order_by("-id").first(),
        steps=_steps(restore, job),
        percent=percent_of(job),
        undone_by=undone.actor_label if undone is not None else "",
        money=_report(restore.report, "money"),
        undo_money=_report(restore.report, "undo"),
        parts=[PARTS.get(part, part) for part in restore.parts],
    )


def restore_lines(restores: list[Restore]) -> list[RestoreLine]:
    """Two queries at most."""
    known = known_by_uuid({restore.cafeteria_uuid for restore in restores})
    unread = {restore.backup_id for restore in restores if restore.moment is None and restore.backup_id is not None}
    taken = dict(Backup.objects.filter(pk__in=unread).values_list("id", "taken_at")) if unread else {}
    return [
        RestoreLine(
            restore=restore,
            about=known.get(restore.cafeteria_uuid, NOBODY),
            moment=restore.moment or (taken.get(restore.backup_id) if restore.backup_id is not None else None),
            is_pictures=restore.parts == ["files"],
        )
        for restore in restores
    ]


def restores_page(*, cafeteria: Cafeteria | None, number: str) -> tuple[list[RestoreLine], Page[Restore]]:
    """All restores, the newest first."""
    found = Restore.objects.order_by("-started_at")
    found = found.filter(cafeteria_uuid=cafeteria.uuid) if cafeteria is not None else found
    page = Paginator(found, AT_A_TIME).get_page(number)
    return restore_lines(list(page.object_list)), page


def _report(report: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """What was reconciled, and with which key it is signed."""
    signed = report.get(name)
    if not signed:
        return None
    recreated = [{**order, "day": date.fromisoformat(order["day"])} for order in signed["report"]["recreated"]]
    return {**signed["report"], "recreated": recreated, "key_id": signed["key_id"]}


def _steps(restore: Restore, job: Job | None) -> list[tuple[str, Words, datetime | None]]:
    first = (
        _("Read the backup and check it")
        if restore.backup_id is not None or restore.file
        else _("Recover that moment beside, and check it")
    )
    names = (
        first,
        _("Take a safety copy of now"),
        _("Build it beside and compare every row"),
        _("Exchange the two"),
        _("Put the money back"),
    )
    if restore.phase in {Restore.Phase.DONE, Restore.Phase.UNDONE}:
        at = len(names)
    elif restore.phase == Restore.Phase.EXCHANGED:
        at = 4
    elif restore.phase == Restore.Phase.BUILT:
        at = 3
    else:
        at = sum((job.progress if job else 0) >= end for end in STEP_ENDS[:2])
    return [("done" if number < at else "now" if number == at else "next", name, None) for number, name in enumerate(names)]


def _place(change: Mapping[str, Any]) -> tuple[int, str]:
    known = list(TABLES)
    return (known.index(change["table"]) if change["table"] in TABLES else len(known), change["table"])


def _table_line(change: Mapping[str, Any]) -> TableLine:
    counts = {name: int(change[name]) for name in ("now", "then", "lost", "back", "changed")}
    return TableLine(words=table_words(change["table"]), **counts)


def _more(result: Mapping[str, Any], table: str, shown: int) -> int:
    """How many rows of it would change and are not told one by one."""
    total = sum(int(row["lost"]) + int(row["back"]) + int(row["changed"]) for row in result.get("tables", []) if row["table"] == table)
    return max(total - shown, 0)


def _paid_orders(cafeteria: Cafeteria, rows: list[Mapping[str, Any]]) -> dict[tuple[int, str], Decimal]:
    """(order's id, its day): what its payments in public come to. They do not go back."""
    ids = [row["now"]["id"] for row in rows if row["change"] == "lost" and row["now"]]
    paid: dict[tuple[int, str], Decimal] = {}
    settled = (Payment.Status.PAID, Payment.Status.PARTIALLY_REFUNDED, Payment.Status.REVIEW)
    for payment in Payment.objects.filter(cafeteria_uuid=cafeteria.uuid, order_id__in=ids, status__in=settled):
        key = (payment.order_id, payment.business_date.isoformat())
        paid[key] = paid.get(key, Decimal(0)) + payment.amount
    return paid


def _order_line(row: Mapping[str, Any], cafeteria: Cafeteria, paid: Mapping[tuple[int, str], Decimal]) -> RowLine:
    one = row["now"] or row["then"]
    money = paid.get((one["id"], one["business_date"]))
    note = _("Its {money} stay paid: the order is made again.").format(money=format_money(money, cafeteria.currency)) if money else ""
    return RowLine(
        change=row["change"],
        name=_("Order {number}").format(number=one["number"]),
        facts=[_day(one["business_date"]), *_order_words(one, cafeteria)],
        differences=_differences(row, lambda order: _order_facts(order, cafeteria)),
        note=note,
    )


def _product_line(row: Mapping[str, Any], cafeteria: Cafeteria) -> RowLine:
    one = row["now"] or row["then"]
    return RowLine(
        change=row["change"],
        name=str(one["name"]),
        facts=[words for name, words in _product_facts(one, cafeteria) if name != _("Name")],
        differences=_differences(row, lambda product: _product_facts(product, cafeteria)),
    )


def _differences(row: Mapping[str, Any], told: Any) -> list[tuple[str, str, str]]:
    if row["change"] != "changed":
        return []
    pairs = zip(told(row["now"]), told(row["then"]), strict=True)
    return [(name, now, then) for (name, now), (_name, then) in pairs if now != then]


def _order_facts(order: Mapping[str, Any], cafeteria: Cafeteria) -> list[tuple[str, str]]:
    return [
        (_("Total"), format_money(Decimal(str(order["total"])), cafeteria.currency)),
        (_("State"), str(ORDER_STATES.get(order["status"], order["status"]))),
        (pgettext("of an order", "Payment"), str(PAYMENT_STATES.get(order["payment_status"], order["payment_status"]))),
        (pgettext("of an order", "Paid"), format_money(Decimal(str(order["paid"])), cafeteria.currency)),
    ]


def _order_words(order: Mapping[str, Any], cafeteria: Cafeteria) -> list[str]:
    """Its total, state and payment; what is paid only where that is not all or nothing."""
    total, state, payment, (name, paid) = _order_facts(order, cafeteria)
    in_part = Decimal(str(order["paid"])) not in {Decimal(0), Decimal(str(order["total"]))}
    return [total[1], state[1], payment[1], *([f"{name}: {paid}"] if in_part else [])]


def _product_facts(product: Mapping[str, Any], cafeteria: Cafeteria) -> list[tuple[str, str]]:
    stock = product.get("stock")
    return [
        (_("Name"), str(product["name"])),
        (_("Price"), format_money(Decimal(str(product["price"])), cafeteria.currency)),
        (_("Stock"), pgettext("stock", "not counted") if stock is None else str(stock)),
        (_("On sale"), _("yes") if product["is_available"] else _("no")),
    ]


def _day(text: str) -> str:
    return format_day(date.fromisoformat(text))


def _movement(entry: LedgerEntry) -> Movement:
    order = _("Order {number}").format(number=entry.payment.order_number)
    return Movement(entry=entry, words=MOVEMENTS.get(entry.kind, entry.kind), method=METHODS.get(entry.method, entry.method), order=order)
