"""A restore takes rows back, never money: what was paid and refunded since is put back into the orders, from the ledger in public."""

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from django.db.models import Q, Sum
from django.utils import timezone

from core.alerts.actions import resolve_alerts
from ops.backups.bundles.keys import bundle_keys
from payments.ledger.cases import Case, open_case
from payments.ledger.data import LostOrder, order_book
from payments.ledger.models import Charge, LedgerEntry, Payment, Refund
from tenants.queries import ref_by_uuid
from tenants.scope import tenant_scope

STILL_OPEN = timedelta(minutes=15)  # No transaction that moves money lasts longer.


@dataclass(kw_only=True)
class MoneyReport:
    """What was done about the money since the moment that the cafeteria went back to. Amounts as text, in its currency."""

    since: str
    orders: int = 0  # whose money has moved, or could, since then
    recreated: list[dict[str, Any]] = field(default_factory=list)  # {"number", "day", "total", "paid"}
    settled: int = 0
    payments: int = 0  # ledger entries since then
    paid: str = "0"
    refunded: str = "0"
    problems: list[str] = field(default_factory=list)


def reconcile_money(*, cafeteria_uuid: UUID, since: datetime) -> MoneyReport:
    """Bring every order whose money has moved since that moment to what the ledger says; those that are gone are made again.

    Nothing is charged, refunded or told to anybody. Goes on where it was killed: doing it again changes nothing. Mercado Pago is asked
    about what was open, by the next reconciliation.
    """
    report = MoneyReport(since=since.isoformat())
    entries = LedgerEntry.objects.filter(cafeteria_uuid=cafeteria_uuid, recorded_at__gt=since)
    report.payments = entries.count()
    report.paid = str(entries.filter(kind="payment").aggregate(sum=Sum("amount"))["sum"] or Decimal(0))
    report.refunded = str(-(entries.filter(kind="refund").aggregate(sum=Sum("amount"))["sum"] or Decimal(0)))
    # What was recorded just before may have been committed after the snapshot was taken. To settle an order once more does no harm.
    around = since - STILL_OPEN
    keys = set(LedgerEntry.objects.filter(cafeteria_uuid=cafeteria_uuid, recorded_at__gt=around).values_list("order_key", flat=True))
    touched = Payment.objects.filter(cafeteria_uuid=cafeteria_uuid).filter(Q(created_at__gt=around) | Q(updated_at__gt=around))
    keys |= set(touched.values_list("order_key", flat=True))
    asked_back = Refund.objects.filter(cafeteria_uuid=cafeteria_uuid, requested_at__gt=around)
    keys |= set(asked_back.values_list("payment__order_key", flat=True))
    for key in sorted(keys):
        report.orders += 1
        _reconcile_order(cafeteria_uuid, key, around, report)
    still_open = Payment.objects.filter(cafeteria_uuid=cafeteria_uuid, closed_at=None, next_check_at__isnull=False)
    still_open.update(next_check_at=timezone.now())
    return report


def signed_report(report: dict[str, Any]) -> dict[str, Any]:
    """With the signature of the newest backup key over the report's canonical JSON."""
    key = bundle_keys()[0]
    text = orjson.dumps(report, option=orjson.OPT_SORT_KEYS, default=str)
    return {"report": orjson.loads(text), "key_id": key.key_id, "signature": key.sign(text)}


def money_report(report: MoneyReport) -> dict[str, Any]:
    return asdict(report)


def _reconcile_order(cafeteria_uuid: UUID, key: str, since: datetime, report: MoneyReport) -> None:
    with tenant_scope(ref_by_uuid(cafeteria_uuid), also_suspended=True, also_closed=True):
        with open_case(cafeteria_uuid, key) as case:
            lost = _lost(case) if case.order is None else None
        if lost is not None:
            number = order_book().recreate_order(lost)
            paid = _moved(cafeteria_uuid, key)
            report.recreated.append({"number": number, "day": lost.business_date.isoformat(), "total": str(lost.total), "paid": str(paid)})
        with open_case(cafeteria_uuid, key) as case:
            if case.order is not None:
                if not case.order.cancelled and _was_cancelled(case, since):
                    order_book().cancel_again(case.order.id)
                case.settle()
                report.settled += 1
                for charge in Charge.objects.filter(payment__in=case.payments):
                    resolve_alerts(kind="payments.order_missing", cafeteria_uuid=cafeteria_uuid, subject=charge.mp_id)


def _was_cancelled(case: Case, since: datetime) -> bool:
    """Whether the order was cancelled after the moment that the cafeteria went back to: its money went back for that, or is about to."""
    return Refund.objects.filter(payment__in=case.payments, reason=Refund.Reason.CANCELLED, requested_at__gt=since).exists()


def _lost(case: Case) -> LostOrder | None:
    """What has to be made again. An order that nobody paid or is paying is gone, as the restore wants it."""
    has_moved = LedgerEntry.objects.filter(cafeteria_uuid=case.cafeteria_uuid, order_key=case.order_key).exists()
    is_open = any(payment.closed_at is None and payment.status in {"pending", "failed", "review"} for payment in case.payments)
    if not case.payments or not (has_moved or is_open):
        return None
    newest = next((payment for payment in reversed(case.payments) if payment.order_copy), case.payments[-1])
    total = newest.order_copy.get("total")
    return LostOrder(
        key=case.order_key,
        id=newest.order_id,
        number=newest.order_number,
        business_date=newest.business_date,
        total=Decimal(total) if total is not None else max(payment.amount for payment in case.payments),
        at=case.payments[0].created_at,
        cancelled=has_moved and case.net <= 0,
        copy=newest.order_copy,
    )


def _moved(cafeteria_uuid: UUID, key: str) -> Decimal:
    entries = LedgerEntry.objects.filter(cafeteria_uuid=cafeteria_uuid, order_key=key)
    return entries.aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
