"""Asking Mercado Pago by ourselves: whatever a notification has not told is found. An error is a failed look, never "no payments"."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from core.alerts.actions import raise_alert, resolve_alerts
from core.alerts.models import Alert
from core.errors import AppError
from core.jobs import enqueue
from payments.gateway.data import ChargeSnapshot, SearchPage
from payments.gateway.errors import ChargeNotFound, GatewayUnavailable, TokenRefused
from payments.gateway.gateway import Gateway, gateway
from payments.ledger.actions import close_checkout, expire_payment, is_left_open
from payments.ledger.charges import PREFIX, record_charge
from payments.ledger.errors import NotConnected
from payments.ledger.models import Charge, Payment, Refund
from payments.sellers.actions import mark_needs_reconnect
from payments.sellers.models import Seller
from payments.sellers.queries import seller_of
from payments.sellers.vault import token_of

log = structlog.get_logger()
UNREAD = "payments.reconciliation"  # the alert of a cafeteria whose payments cannot be asked for
Status = Payment.Status
WAITS = (timedelta(minutes=2), timedelta(minutes=10), timedelta(hours=1))  # after the payment's begin; then hourly
AFTER_EXPIRY = timedelta(hours=48)
AFTER_A_FAILURE = timedelta(minutes=2)
AT_A_TIME = 24
AT_ONCE = 6
TIMEOUT = 5.0  # seconds: one attempt; what fails comes again
OVERLAP = timedelta(minutes=10)  # of one sweep with the one before
FIRST_SWEEP = timedelta(days=2)
REFUNDABLE = timedelta(days=180)
A_DAY = timedelta(days=1)
FAILURES_TO_TELL = 3
SILENCES, SILENT_FOR = 5, timedelta(minutes=10)  # accounts that were not answered, and none that was: Mercado Pago is down
LOOK_EVERY = timedelta(seconds=5)
LOOK_TIMEOUT = 3.0  # seconds: it holds a web thread
# Those that nobody knows to be paid come first: a crowd of paid ones must not keep them waiting. What a killed worker had taken is free
# again after as long as a batch can last.
CLAIM = """UPDATE public.payments_payment SET next_check_at = now() + interval '90 seconds', checks = checks + 1
    WHERE id = ANY(ARRAY(
        SELECT id FROM public.payments_payment WHERE next_check_at <= now()
        ORDER BY status = 'paid', next_check_at LIMIT %s FOR UPDATE SKIP LOCKED))
    RETURNING id"""


@dataclass(kw_only=True)
class Looked:
    checked: int = 0
    failed: int = 0
    expired: int = 0
    is_over: bool = True  # nothing is due any more


def check_due_payments(*, seconds: float = 15.0) -> Looked:
    """Look after the payments whose time has come: fetch what Mercado Pago has for their references, take it in, expire what is over.

    Begins no further batch after so many seconds: the next run goes on (`is_over` is False).
    """
    looked, give_up = Looked(), time.monotonic() + seconds
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="mercadopago") as pool:
        while due := _claim_due():
            askings = [_asking(payment) for payment in due]
            for payment, asking, answer in zip(due, askings, pool.map(_asked, askings), strict=True):
                _take(payment, asking, answer, looked)
            if time.monotonic() >= give_up:
                looked.is_over = False
                break
    return looked


def check_payment(payment: Payment, *, timeout: float = TIMEOUT) -> None:
    """One look at one payment, at once. Outside every scope. Raises payments.gateway.errors, NotConnected."""
    asking = _asking(payment)
    answer = _asked(asking, timeout)
    if isinstance(answer, AppError):
        _note_refusal(asking, answer)
        raise answer
    _take_in(asking, answer)


def look_for_buyer(payment: Payment) -> bool:
    """check_payment for a buyer who has just come back; whether Mercado Pago was asked and answered.

    Whoever reloads the page asks nobody: once in LOOK_EVERY for each payment, whichever process is asked. Outside every scope.
    """
    now = timezone.now()
    idle = Q(looked_at__isnull=True) | Q(looked_at__lt=now - LOOK_EVERY)
    if not Payment.objects.filter(idle, pk=payment.pk).update(looked_at=now):
        return False
    try:
        check_payment(payment, timeout=LOOK_TIMEOUT)
    except AppError as error:  # The notification and the next check are still to come.
        log.info("look_failed", payment=str(payment.pk), code=error.code)
        return False
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class Asking:
    """A question to Mercado Pago."""

    seller: Seller
    token: str
    reference: str


type Answer = list[ChargeSnapshot] | AppError


def _claim_due() -> list[Payment]:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, [AT_A_TIME])
        ids = [row[0] for row in cursor.fetchall()]
    return list(Payment.objects.filter(pk__in=ids))


def _asking(payment: Payment) -> Asking | AppError:
    seller = seller_of(payment.cafeteria_uuid, payment.collector_id or 0)
    if seller is None:
        return NotConnected()
    try:
        return Asking(seller=seller, token=token_of(seller), reference=payment.reference)
    except AppError as error:
        return error


def _asked(asking: Asking | AppError, timeout: float = TIMEOUT) -> Answer:
    """In a thread of its own, far from the database."""
    if isinstance(asking, AppError):
        return asking
    try:
        return gateway(asking.token, attempts=1, timeout=timeout).charges_of(asking.reference)
    except AppError as error:
        return error


def _take_in(asking: Asking | AppError, snapshots: list[ChargeSnapshot]) -> None:
    assert isinstance(asking, Asking)
    for snapshot in snapshots:
        record_charge(seller=asking.seller, snapshot=snapshot)


def _note_refusal(asking: Asking | AppError, error: Exception) -> None:
    if isinstance(error, TokenRefused) and isinstance(asking, Asking):
        mark_needs_reconnect(seller_id=asking.seller.pk, refused_token=asking.token)


def _take(payment: Payment, asking: Asking | AppError, answer: Answer, looked: Looked) -> None:
    try:
        if isinstance(answer, AppError):
            raise answer
        _take_in(asking, answer)
        looked.expired += expire_payment(payment_id=payment.pk)
        payment.refresh_from_db()
        if is_left_open(payment):  # Its job has failed, or came before there was anything to close.
            close_checkout(payment_id=payment.pk, attempts=1)
    except Exception as error:
        if not isinstance(error, AppError):  # A fault of ours in one payment keeps nobody from the others.
            log.exception("payment_not_checked", payment=str(payment.pk))
        looked.failed += 1
        _note_refusal(asking, error)
        looked.expired += _failed(payment, error)
        return
    looked.checked += 1
    if payment.check_failures:
        resolve_alerts(kind=UNREAD, cafeteria_uuid=payment.cafeteria_uuid, subject="checks")
    Payment.objects.filter(pk=payment.pk).update(next_check_at=_next_check(payment), check_failures=0)


def _failed(payment: Payment, error: Exception) -> bool:
    """Look again later. After the last look its time is over, known or not: whatever comes all the same goes back. Whether it ended."""
    failures = payment.check_failures + 1
    wait = AFTER_A_FAILURE * min(2 ** (failures - 1), 30)
    over = payment.expires_at is not None and timezone.now() > payment.expires_at + AFTER_EXPIRY
    Payment.objects.filter(pk=payment.pk).update(next_check_at=None if over else timezone.now() + wait, check_failures=min(failures, 1_000))
    if failures >= FAILURES_TO_TELL:
        why = str(error) if isinstance(error, AppError) else type(error).__name__
        detail = f"Mercado Pago could not be asked about payments {failures} times in a row: {why}"
        raise_alert(kind=UNREAD, cafeteria_uuid=payment.cafeteria_uuid, subject="checks", detail=detail)
    return over and expire_payment(payment_id=payment.pk)


def _next_check(payment: Payment) -> object:
    """+2 min, +10 min, +1 h after its begin, hourly after that until its end and 48 h; at its end as well, to give the stock back.

    One that is known to be paid: once more at its end.
    """
    now, end = timezone.now(), payment.expires_at
    if end is None or now > end + AFTER_EXPIRY:
        return None
    if payment.status not in {Status.PENDING, Status.FAILED, Status.CANCELLED, Status.REVIEW}:
        return end if now < end else None  # Known to be paid: once more, for what came all the same before its checkout was closed.
    wanted = next((payment.created_at + wait for wait in WAITS if payment.created_at + wait > now), now + timedelta(hours=1))
    return min(wanted, end) if now < end else wanted


def sellers_to_sweep() -> list[int]:
    """The accounts whose changes are to be read once a day, those first that wait longest."""
    return list(_swept().values_list("pk", flat=True))


def sweep_account(seller_id: int) -> int:
    """Take in whatever has changed there since the last time, refunds and disputes of long ago included; how many were ours.

    What goes wrong is an alert, until it goes well. Raises GatewayUnavailable: a later try may fare better; other refusals are only told.
    """
    seller = _swept().filter(pk=seller_id).first()
    if seller is None:  # left meanwhile
        return 0
    try:
        found = sweep_seller(seller)
    except Exception as error:
        why = str(error) if isinstance(error, AppError) else type(error).__name__
        detail = f"The changes at Mercado Pago could not be read: {why}"
        raise_alert(kind=UNREAD, cafeteria_uuid=seller.cafeteria_uuid, subject="sweep", detail=detail)
        if isinstance(error, AppError) and not isinstance(error, GatewayUnavailable):
            return 0
        raise
    resolve_alerts(kind=UNREAD, cafeteria_uuid=seller.cafeteria_uuid, subject="sweep")
    return found


def is_silent() -> bool:
    """Whether Mercado Pago has lately failed some accounts' sweeps, and answered nobody's."""
    since = timezone.now() - SILENT_FOR
    failed = Alert.objects.filter(kind=UNREAD, subject="sweep", resolved_at=None, last_at__gt=since)
    return failed.count() >= SILENCES and not Seller.objects.filter(swept_until__gt=since).exists()


def _swept() -> QuerySet[Seller]:
    """The accounts that are connected, and those that were left while something that was paid to them can still be given back."""
    now = timezone.now()
    charges = Charge.objects.filter(collector_id=OuterRef("mp_user_id"), cafeteria_uuid=OuterRef("cafeteria_uuid"))
    refundable = Exists(charges.filter(approved_at__gt=now - REFUNDABLE))
    left = Q(status=Seller.Status.DISCONNECTED, expires_at__gt=now) & refundable
    return Seller.objects.filter(Q(status=Seller.Status.CONNECTED) | left).order_by(F("swept_until").asc(nulls_first=True), "id")


def sweep_seller(seller: Seller) -> int:
    """Take in every change of the account's payments since its last sweep; how many were ours. Goes on where it was killed.

    The search is walked by the time of the change, not by offset: what changes meanwhile moves to its end and would shift the pages.
    """
    until, token = timezone.now(), token_of(seller)
    since = (seller.swept_until or until - FIRST_SWEEP) - OVERLAP
    outside, offset, seen = gateway(token), 0, set[str]()
    try:
        while True:
            page = outside.changed_charges(since, until, offset=offset)
            _take_page(seller, outside, page, seen)
            length = len(page.charges) + len(page.unreadable)
            if not length or offset + length >= page.total:
                break
            newest = page.charges[-1].last_updated if page.charges else since
            if newest > since:
                since, offset = newest, 0
                Seller.objects.filter(pk=seller.pk).update(swept_until=newest)
            else:  # more of one moment than a page has, or a page of other sales that cannot be read
                offset += length
    except TokenRefused:
        mark_needs_reconnect(seller_id=seller.pk, refused_token=token)
        raise
    Seller.objects.filter(pk=seller.pk).update(swept_until=until)
    return len(seen)


def _take_page(seller: Seller, outside: Gateway, page: SearchPage, seen: set[str]) -> None:
    """Fetch and take in what is ours of it. Raises GatewayUnavailable for one of ours that cannot be read.

    Nearly all of a day's payments are known by then as they stand: those are not asked for again.
    """
    if any(reference.startswith(PREFIX) for reference in page.unreadable):
        raise GatewayUnavailable
    ours = [found for found in page.charges if found.reference.startswith(PREFIX)]
    known = dict(
        Charge.objects.filter(
            cafeteria_uuid=seller.cafeteria_uuid, collector_id=seller.mp_user_id, mp_id__in=[found.mp_id for found in ours]
        ).values_list("mp_id", "last_updated")
    )
    for found in ours:
        if found.mp_id not in seen:
            seen.add(found.mp_id)
            if found.mp_id in known and known[found.mp_id] >= found.last_updated:
                continue
            try:
                record_charge(seller=seller, snapshot=outside.charge(found.mp_id))
            except ChargeNotFound:  # found and yet not there: nothing is known of it
                log.warning("charge_vanished", mp_id=found.mp_id, about=str(seller.cafeteria_uuid))


def remind_of_refunds() -> int:
    """Send again what Mercado Pago has not taken up for a day, and tell; how many."""
    now = timezone.now()
    waiting = Refund.objects.filter(state__in=(Refund.State.REQUESTED, Refund.State.IN_PROCESS), requested_at__lt=now - A_DAY)
    for refund in waiting:
        detail = f"A refund for order {refund.payment.order_number} waits since {refund.requested_at:%Y-%m-%d}."
        raise_alert(kind="payments.refund_waits", cafeteria_uuid=refund.cafeteria_uuid, subject=str(refund.pk), detail=detail)
        enqueue(
            "payments.ledger.jobs.send_refund",
            cafeteria_uuid=refund.cafeteria_uuid,
            idempotency_key=f"{refund.pk}:{now:%Y-%m-%d}",
            refund_id=str(refund.pk),
        )
    return len(waiting)
