"""A business day at Mercado Pago set against the same day in our ledger.

A day is that of the payments approved on it, with all that has become of them since: its sums can be asked for again and must then come to
the same. An error is a statement that FAILED, never a day without payments.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import structlog
from django.db.models import QuerySet, Sum
from django.utils import timezone

from core.alerts.actions import raise_alert, resolve_alerts
from core.business_day import business_date, business_span
from core.errors import AppError
from core.money import DECIMALS, as_text
from payments.gateway.data import ChargeSnapshot
from payments.gateway.errors import ChargeNotFound, GatewayUnavailable, TokenRefused
from payments.gateway.gateway import Gateway, gateway
from payments.ledger.cases import ZERO
from payments.ledger.charges import MOVED, PREFIX, record_charge
from payments.ledger.models import Charge, LedgerEntry, Method, Payment
from payments.reconciliation.models import DayStatement
from payments.sellers.actions import mark_needs_reconnect
from payments.sellers.models import Seller
from payments.sellers.vault import token_of
from tenants.errors import CafeteriaNotFound
from tenants.models import Cafeteria
from tenants.queries import ref_by_uuid
from tenants.refs import TenantRef

log = structlog.get_logger()
Kind, State = LedgerEntry.Kind, DayStatement.State
DIFFERS, UNASKED = "payments.day_differs", "payments.reconciliation"
DAYS_BACK = 7  # A day that differs is looked at again for so long.
PAGE = 100
ATTEMPTS = 2
AT_A_TIME = 500
MOST_DIFFERENCES = 500  # that are kept of a day
A_DAY = timedelta(days=1)
TICK = timedelta(milliseconds=1)  # the search's finest step, both ends included


@dataclass(frozen=True, kw_only=True, slots=True)
class Amounts:
    """Of one payment, or of a day: what came, what went back until now, what others keep."""

    paid: Decimal = ZERO
    back: Decimal = ZERO
    fee: Decimal = ZERO

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(paid=self.paid + other.paid, back=self.back + other.back, fee=self.fee + other.fee)


@dataclass(kw_only=True)
class Comparison:
    """What has been found out of a day so far."""

    ref: TenantRef
    start: datetime
    end: datetime
    theirs: Amounts = field(default_factory=Amounts)
    ours: Amounts = field(default_factory=Amounts)
    count: int = 0  # payments at Mercado Pago
    differences: list[dict[str, str | int]] = field(default_factory=list)

    def differ(self, *, mp_id: str, kind: str, currency: str, theirs: object = "", ours: object = "", **about: str | int) -> None:
        written = {"theirs": _written(theirs, currency), "ours": _written(ours, currency)}
        self.differences.append({"mp_id": mp_id, "kind": kind, "currency": currency, **written, **about})


def state_due_days(cafeteria_uuid: UUID) -> list[DayStatement]:
    """State each day of the cafeteria that is due, until Mercado Pago cannot be asked; none of one that is closed or gone."""
    try:
        ref = ref_by_uuid(cafeteria_uuid)
    except CafeteriaNotFound:
        return []
    days = due_days(ref, now=timezone.now()) if ref.status != Cafeteria.Status.CLOSED else []
    stated: list[DayStatement] = []
    for day in days:
        statement = state_day(cafeteria_uuid=cafeteria_uuid, day=day)
        if statement is not None:
            stated.append(statement)
            if statement.state == State.FAILED:
                break
    return stated


def due_days(ref: TenantRef, *, now: datetime) -> list[date]:
    """The business days that are over and have not been found to agree, the newest first."""
    newest = business_date(now, zone=ref.zone, cutoff=ref.day_cutoff) - A_DAY
    days = [newest - number * A_DAY for number in range(DAYS_BACK)]
    known = DayStatement.objects.filter(cafeteria_uuid=ref.uuid, business_date__in=days, state=State.AGREES)
    checked = dict(known.values_list("business_date", "checked_at"))
    return [day for day in days if day not in checked or checked[day] < _span(ref, day)[1]]


def state_day(*, cafeteria_uuid: UUID, day: date) -> DayStatement | None:
    """Compare the day, take in what was unknown here, keep the statement, and tell of a difference; None when no account sold that day.

    Outside every scope. Mercado Pago's silence is a statement too (FAILED), which leaves the sums known before. Raises CafeteriaNotFound.
    """
    ref = ref_by_uuid(cafeteria_uuid)
    sellers = sellers_of_day(ref, day)
    if not sellers:
        return None
    start, end = _span(ref, day)
    comparison = Comparison(ref=ref, start=start, end=end)
    try:
        for seller in sellers:
            _compare(comparison, seller, day)
    except AppError as error:
        return _keep_failure(ref, day, error)
    return _keep(comparison, day)


def _span(ref: TenantRef, day: date) -> tuple[datetime, datetime]:
    return business_span(day, zone=ref.zone, cutoff=ref.day_cutoff)


def sellers_of_day(ref: TenantRef, day: date) -> list[Seller]:
    """The connected account, if it was connected by then, and whichever else took money that day: who has to be asked about it."""
    start, end = _span(ref, day)
    took = set(_entries(ref, day, start, end).values_list("charge__collector_id", flat=True))
    sellers = Seller.objects.filter(cafeteria_uuid=ref.uuid).order_by("pk")
    return [seller for seller in sellers if _was_connected(seller, end) or seller.mp_user_id in took]


def _was_connected(seller: Seller, end: datetime) -> bool:
    return seller.status == Seller.Status.CONNECTED and seller.connected_at < end


def _entries(ref: TenantRef, day: date, start: datetime, end: datetime) -> QuerySet[LedgerEntry]:
    """What came through Mercado Pago that day. By the moment: the cutoff may have been another one when the entry was written."""
    near = LedgerEntry.objects.filter(cafeteria_uuid=ref.uuid, business_date__range=(day - A_DAY, day + A_DAY))
    return near.filter(kind=Kind.PAYMENT, method=Method.MERCADOPAGO, charge__isnull=False, at__gte=start, at__lt=end)


def _compare(comparison: Comparison, seller: Seller, day: date) -> None:
    """One account's payments of the day. Raises payments.gateway.errors."""
    ref, token = comparison.ref, token_of(seller)
    outside = gateway(token, attempts=ATTEMPTS)
    try:
        found = _found_there(outside, comparison)
        known = _entries(ref, day, comparison.start, comparison.end).filter(charge__collector_id=seller.mp_user_id)
        for mp_id in sorted(set(known.values_list("charge__mp_id", flat=True)) - found.keys()):
            looked_up = _looked_up(outside, mp_id)
            if looked_up is None:
                _missing_there(comparison, seller, mp_id)
            else:
                found[mp_id] = looked_up
        for snapshots in _batches(found.values()):
            _compare_batch(comparison, seller, outside, snapshots)
    except TokenRefused:
        mark_needs_reconnect(seller_id=seller.pk, refused_token=token)
        raise


def _found_there(outside: Gateway, comparison: Comparison) -> dict[str, ChargeSnapshot]:
    """The payments for our references that were approved that day. Walked by their time, as payments.reconciliation.actions does."""
    found: dict[str, ChargeSnapshot] = {}
    since, offset = comparison.start, 0
    while True:
        page = outside.changed_charges(since, comparison.end - TICK, offset=offset, by="date_approved")
        if any(reference.startswith(PREFIX) for reference in page.unreadable):
            raise GatewayUnavailable
        for snapshot in page.charges:
            if snapshot.reference.startswith(PREFIX) and snapshot.status in MOVED:
                found[snapshot.mp_id] = snapshot
        read = len(page.charges) + len(page.unreadable)
        if not read or offset + read >= page.total:
            return found
        newest = max((snapshot.approved_at for snapshot in page.charges if snapshot.approved_at), default=since)
        since, offset = (newest, 0) if newest > since else (since, offset + PAGE)


def _looked_up(outside: Gateway, mp_id: str) -> ChargeSnapshot | None:
    """The search may lag behind."""
    try:
        return outside.charge(mp_id)
    except ChargeNotFound:
        return None


def _compare_batch(comparison: Comparison, seller: Seller, outside: Gateway, snapshots: list[ChargeSnapshot]) -> None:
    mine = _of_this_cafeteria(comparison.ref, snapshots)
    stored = _charges(seller, mine)
    fresh: dict[str, ChargeSnapshot] = {}
    for snapshot in mine:
        charge = stored.get(snapshot.mp_id)
        if charge is None or charge.last_updated < snapshot.last_updated or _differs(snapshot, charge):
            fresh[snapshot.mp_id] = outside.charge(snapshot.mp_id)
            record_charge(seller=seller, snapshot=fresh[snapshot.mp_id])
    if fresh:
        stored = _charges(seller, mine)
    amounts = _ours(stored.values())
    for snapshot in mine:
        _weigh(comparison, fresh.get(snapshot.mp_id, snapshot), stored.get(snapshot.mp_id), amounts)


def _of_this_cafeteria(ref: TenantRef, snapshots: list[ChargeSnapshot]) -> list[ChargeSnapshot]:
    """One account may serve several cafeterias. What no cafeteria knows is everybody's business."""
    references = [snapshot.reference for snapshot in snapshots]
    owners = dict(Payment.objects.filter(reference__in=references).values_list("reference", "cafeteria_uuid"))
    return [snapshot for snapshot in snapshots if owners.get(snapshot.reference, ref.uuid) == ref.uuid]


def _charges(seller: Seller, snapshots: list[ChargeSnapshot]) -> dict[str, Charge]:
    wanted = [snapshot.mp_id for snapshot in snapshots]
    found = Charge.objects.filter(cafeteria_uuid=seller.cafeteria_uuid, collector_id=seller.mp_user_id, mp_id__in=wanted)
    return {charge.mp_id: charge for charge in found.select_related("payment")}


def _differs(snapshot: ChargeSnapshot, charge: Charge) -> bool:
    """Though Mercado Pago has not said that it changed: a fee may come to be known later, a snapshot may have been lost."""
    known = (charge.status, charge.amount, charge.refunded, charge.net)
    return known != (snapshot.status, snapshot.amount, snapshot.refunded, snapshot.net)


def _ours(charges: Iterable[Charge]) -> dict[int, Amounts]:
    """By charge, from the ledger: all that was ever written of it."""
    rows = LedgerEntry.objects.filter(charge__in=[charge.pk for charge in charges]).values_list("charge_id", "kind")
    found: dict[int, Amounts] = {}
    for charge_id, kind, amount, fee in rows.annotate(Sum("amount"), Sum("fee")):
        came = kind in {Kind.PAYMENT, Kind.ADJUSTMENT}
        part = Amounts(paid=amount if came else ZERO, back=ZERO if came else -amount, fee=fee)
        found[charge_id] = found.get(charge_id, Amounts()) + part
    return found


def _weigh(comparison: Comparison, snapshot: ChargeSnapshot, charge: Charge | None, amounts: dict[int, Amounts]) -> None:
    """Add one payment to both sides, and note in what they differ."""
    back = snapshot.amount if snapshot.status in {"refunded", "charged_back"} else snapshot.refunded
    about = {"order_id": charge.payment.order_id, "order_number": charge.payment.order_number} if charge is not None else {}
    if charge is not None and not charge.counts:
        if back < snapshot.amount:  # Else it came and went.
            comparison.count += 1
            comparison.differ(
                mp_id=snapshot.mp_id, kind="review", currency=snapshot.currency, theirs=snapshot.amount, why=charge.review, **about
            )
            _add_theirs(comparison, snapshot, back, fee=None, ours=Amounts())
        return
    ours = amounts.get(charge.pk, Amounts()) if charge is not None else Amounts()
    fee = snapshot.amount - snapshot.net if snapshot.net is not None else None
    comparison.count += 1
    comparison.ours += ours
    _add_theirs(comparison, snapshot, back, fee=fee, ours=ours)
    if not ours.paid:
        comparison.differ(mp_id=snapshot.mp_id, kind="missing_here", currency=snapshot.currency, theirs=snapshot.amount, ours=ZERO, **about)
        return
    theirs = {"amount": (snapshot.amount, ours.paid), "refunded": (back, ours.back), "fee": (ours.fee if fee is None else fee, ours.fee)}
    for kind, (there, here) in theirs.items():
        if there != here:
            comparison.differ(mp_id=snapshot.mp_id, kind=kind, currency=snapshot.currency, theirs=there, ours=here, **about)


def _add_theirs(comparison: Comparison, snapshot: ChargeSnapshot, back: Decimal, *, fee: Decimal | None, ours: Amounts) -> None:
    """Other currencies have no place in the sums. A fee that is not known yet counts as ours."""
    if snapshot.currency == comparison.ref.currency:
        comparison.theirs += Amounts(paid=snapshot.amount, back=back, fee=ours.fee if fee is None else fee)


def _missing_there(comparison: Comparison, seller: Seller, mp_id: str) -> None:
    charge = Charge.objects.select_related("payment").get(cafeteria_uuid=seller.cafeteria_uuid, collector_id=seller.mp_user_id, mp_id=mp_id)
    ours = _ours([charge]).get(charge.pk, Amounts())
    comparison.ours += ours
    about = {"order_id": charge.payment.order_id, "order_number": charge.payment.order_number}
    comparison.differ(mp_id=mp_id, kind="missing_there", currency=charge.currency, theirs=ZERO, ours=ours.paid, **about)


def _keep(comparison: Comparison, day: date) -> DayStatement:
    ref, theirs, ours, differences = comparison.ref, comparison.theirs, comparison.ours, comparison.differences
    values = {
        "currency": ref.currency,
        "state": State.DIFFERS if differences else State.AGREES,
        "their_payments": theirs.paid,
        "their_refunds": theirs.back,
        "their_fees": theirs.fee,
        "their_net": theirs.paid - theirs.back - theirs.fee,
        "our_payments": ours.paid,
        "our_refunds": ours.back,
        "our_fees": ours.fee,
        "count": comparison.count,
        "differences": differences[:MOST_DIFFERENCES],
        "checked_at": timezone.now(),
        "error": "",
    }
    statement, _ = DayStatement.objects.update_or_create(cafeteria_uuid=ref.uuid, business_date=day, defaults=values)
    resolve_alerts(kind=UNASKED, cafeteria_uuid=ref.uuid, subject="days")
    if differences:
        detail = f"The business day {day} at Mercado Pago and in the ledger differ in {len(differences)} points."
        raise_alert(kind=DIFFERS, cafeteria_uuid=ref.uuid, subject=day.isoformat(), detail=detail)
    else:
        resolve_alerts(kind=DIFFERS, cafeteria_uuid=ref.uuid, subject=day.isoformat())
    return statement


def _keep_failure(ref: TenantRef, day: date, error: AppError) -> DayStatement:
    log.warning("day_not_stated", about=str(ref.uuid), day=day.isoformat(), code=error.code)
    values = {"state": State.FAILED, "checked_at": timezone.now(), "error": error.code}
    statement, _ = DayStatement.objects.update_or_create(
        cafeteria_uuid=ref.uuid, business_date=day, defaults=values, create_defaults={**values, "currency": ref.currency}
    )
    detail = f"Mercado Pago could not be asked about the business day {day}: {error}"
    raise_alert(kind=UNASKED, cafeteria_uuid=ref.uuid, subject="days", detail=detail)
    return statement


def _batches(snapshots: Iterable[ChargeSnapshot]) -> Iterator[list[ChargeSnapshot]]:
    every = list(snapshots)
    for first in range(0, len(every), AT_A_TIME):
        yield every[first : first + AT_A_TIME]


def _written(amount: object, currency: str) -> str:
    """As the API writes money; another country's as it came."""
    return as_text(amount, currency) if isinstance(amount, Decimal) and currency in DECIMALS else str(amount)
