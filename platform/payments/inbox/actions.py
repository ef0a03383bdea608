"""The inbox: what Mercado Pago tells is written before it is answered, and worked off in a job."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from core.alerts.actions import raise_alert
from core.errors import AppError
from core.jobs import enqueue
from core.jobs.models import Job
from payments.gateway.data import ChargeSnapshot
from payments.gateway.errors import ChargeNotFound, TokenRefused
from payments.gateway.gateway import gateway
from payments.inbox.models import Notification
from payments.ledger.charges import record_charge
from payments.sellers.actions import mark_needs_reconnect
from payments.sellers.models import Seller
from payments.sellers.vault import token_of

log = structlog.get_logger()
State = Notification.State
CLAIM = timedelta(seconds=90)
AT_A_TIME = 48
AT_ONCE = 6  # calls to Mercado Pago
TIMEOUT = 5.0  # seconds: one attempt; what fails comes again
MOST_ATTEMPTS = 8
LONGEST_WAIT = timedelta(hours=6)
SPAN = 0.5  # seconds: notifications of one span are worked off by one job
SLACK = 0.05  # seconds that clocks may differ by
_woken = {"span": 0}  # the newest span whose job this process has committed

STORE = """INSERT INTO public.payments_notification (seller_id, cafeteria_uuid, topic, action, data_id, mp_user_id, request_id, state)
    SELECT s.id, s.cafeteria_uuid, %(topic)s, %(action)s, %(data_id)s, %(user_id)s, %(request_id)s,
        CASE WHEN %(user_id)s IS DISTINCT FROM s.mp_user_id THEN 'ignored' ELSE 'new' END
    FROM public.payments_seller s WHERE s.webhook_key = %(key)s RETURNING state, cafeteria_uuid, statement_timestamp()"""
STORE_FOR_PLATFORM = """INSERT INTO public.payments_notification (topic, action, data_id, mp_user_id, request_id, state)
    VALUES (%(topic)s, %(action)s, %(data_id)s, %(user_id)s, %(request_id)s, 'new') RETURNING state, NULL, statement_timestamp()"""
CLAIM_DUE = """UPDATE public.payments_notification n SET claimed_until = now() + make_interval(secs => %s), attempts = attempts + 1
    WHERE id = ANY(ARRAY(SELECT id FROM public.payments_notification WHERE state = 'new' AND try_after <= now()
        AND (claimed_until IS NULL OR claimed_until < now()) ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED))
    RETURNING id, seller_id, topic, data_id, attempts"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A notification with a good signature."""

    topic: str
    action: str
    data_id: str
    user_id: int | None  # as the body claims; nobody signs it
    request_id: str


@dataclass(kw_only=True)
class Subject:
    """What some notifications are about: asked for once, however many there are."""

    seller_id: int | None
    topic: str
    data_id: str
    ids: list[int] = field(default_factory=list)
    attempts: int = 0


@dataclass(kw_only=True)
class Worked:
    done: int = 0
    later: int = 0
    failed: int = 0


def store_notification(*, key: str | None, told: Told) -> bool:
    """Keep it and wake the job; committed when this returns. False when no seller has that key (None: the platform's own address).

    One whose body names another account than the seller's is kept as ignored, with an alert.
    """
    facts: dict[str, Any] = {
        "topic": told.topic,
        "action": told.action[:60],
        "data_id": told.data_id,
        "user_id": told.user_id,
        "request_id": told.request_id[:80],
        "key": key,
    }
    span, is_ours = _span(), False
    if _woken["span"] == span:  # Its job is committed: the row alone, in one statement and one flush to the disk.
        stored = _store(facts)
    else:
        with transaction.atomic():
            stored = _store(facts)
            if stored is not None and stored[0] == State.NEW:
                is_ours = wake_inbox().created_at >= stored[2]  # by this transaction: both are seen together, or neither
                transaction.on_commit(lambda: _woken.update(span=span))
    if stored is None:
        return False
    state, cafeteria_uuid, _ = stored
    if state == State.IGNORED:
        detail = f"A notification names the account {told.user_id}, which is not the cafeteria's."
        raise_alert(kind="payments.foreign_notification", cafeteria_uuid=cafeteria_uuid, detail=detail)
    elif not is_ours and _span(after=SLACK) > span:  # The span's job may have begun before this was committed.
        wake_inbox()
    return True


def _store(facts: dict[str, Any]) -> tuple[str, UUID | None, datetime] | None:
    """(its state, whose it is, when); None when nobody has the key."""
    with connection.cursor() as cursor:
        cursor.execute(STORE_FOR_PLATFORM if facts["key"] is None else STORE, facts)
        stored: tuple[str, UUID | None, datetime] | None = cursor.fetchone()
    return stored


def wake_inbox(*, after: float = 0.0) -> Job:
    """A job that works the inbox off, `after` seconds from the end of this span. Whoever asks in one span gets the same job."""
    end = _span(after=after) + 1
    return enqueue("payments.inbox.jobs.work_off", idempotency_key=str(end), run_after=datetime.fromtimestamp(end * SPAN, UTC))


def _span(*, after: float = 0.0) -> int:
    """The number of the span of time that it is now."""
    return int((time.time() + after) / SPAN)


def work_off(*, seconds: float = 15.0, check: Callable[[], None] = lambda: None) -> Worked:
    """Work off what is due, until none is left or the time is over. Several may run at once: each takes its own."""
    worked, give_up = Worked(), time.monotonic() + seconds
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="mercadopago") as pool:
        while time.monotonic() < give_up:
            check()
            subjects = _claim()
            if not subjects:
                return worked
            askings = [_asking(subject) for subject in subjects]
            for subject, asking, answer in zip(subjects, askings, pool.map(_asked, askings), strict=True):
                _finish(subject, asking, answer, worked)
    wake_inbox()
    return worked


@dataclass(frozen=True, kw_only=True, slots=True)
class Asking:
    """A question to Mercado Pago; without a seller there is none."""

    seller: Seller | None
    token: str
    topic: str
    data_id: str


type Answer = list[ChargeSnapshot] | AppError


def _claim() -> list[Subject]:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM_DUE, [CLAIM.total_seconds(), AT_A_TIME])
        rows = cursor.fetchall()
    subjects: dict[tuple[int | None, str, str], Subject] = {}
    for row_id, seller_id, topic, data_id, attempts in sorted(rows):
        subject = subjects.setdefault((seller_id, topic, data_id), Subject(seller_id=seller_id, topic=topic, data_id=data_id))
        subject.ids.append(row_id)
        subject.attempts = max(subject.attempts, attempts)
    return list(subjects.values())


def _asking(subject: Subject) -> Asking | AppError:
    seller = Seller.objects.filter(pk=subject.seller_id).first() if subject.seller_id is not None else None
    try:
        token = token_of(seller) if seller is not None else ""
    except AppError as error:
        return error
    return Asking(seller=seller, token=token, topic=subject.topic, data_id=subject.data_id)


def _asked(asking: Asking | AppError) -> Answer:
    """What Mercado Pago answers with the seller's own token. In a thread of its own, far from the database."""
    if isinstance(asking, AppError):
        return asking
    if asking.seller is None:
        return []
    try:
        outside = gateway(asking.token, attempts=1, timeout=TIMEOUT)
        mp_ids = [asking.data_id] if asking.topic == "payment" else outside.chargeback_charges(asking.data_id)
        return [outside.charge(mp_id) for mp_id in mp_ids]
    except AppError as error:
        return error


def _finish(subject: Subject, asking: Asking | AppError, answer: Answer, worked: Worked) -> None:
    seller = asking.seller if isinstance(asking, Asking) else None
    try:
        if isinstance(answer, AppError):
            raise answer
        for snapshot in answer:
            assert seller is not None
            record_charge(seller=seller, snapshot=snapshot)
        handler = settings.NOTIFICATION_HANDLERS.get(subject.topic)
        if subject.seller_id is None and handler:
            import_string(handler)(topic=subject.topic, data_id=subject.data_id)
    except Exception as error:
        if not isinstance(error, AppError):  # A fault of ours in one keeps nobody from the others.
            log.exception("notification_not_worked_off", topic=subject.topic, data_id=subject.data_id)
        if isinstance(error, TokenRefused) and seller is not None and isinstance(asking, Asking):
            mark_needs_reconnect(seller_id=seller.pk, refused_token=asking.token)
        _put_off(subject, error, worked)
    else:
        worked.done += len(subject.ids)
        _close(subject.ids, State.DONE)


def _put_off(subject: Subject, error: Exception, worked: Worked) -> None:
    """Later again, a bounded number of times. What is given up is still found by reconciliation."""
    why = str(error) if isinstance(error, AppError) else type(error).__name__
    if subject.attempts >= MOST_ATTEMPTS:
        log.warning("notification_given_up", topic=subject.topic, data_id=subject.data_id, error=why)
        worked.failed += len(subject.ids)
        _close(subject.ids, State.FAILED, error=why)
        return
    unknown = isinstance(error, ChargeNotFound)
    if unknown and subject.attempts == 1:
        log.warning("notification_of_unknown", topic=subject.topic, data_id=subject.data_id)
    wait = min(timedelta(seconds=5 * 3 ** (subject.attempts - 1)), LONGEST_WAIT)
    worked.later += len(subject.ids)
    Notification.objects.filter(pk__in=subject.ids).update(try_after=timezone.now() + wait, claimed_until=None, error=why[:300])
    wake_inbox(after=wait.total_seconds())


def _close(ids: Iterable[int], state: str, *, error: str = "") -> None:
    Notification.objects.filter(pk__in=list(ids)).update(state=state, finished_at=timezone.now(), claimed_until=None, error=error[:300])


def prune_notifications(*, days: int) -> int:
    """Erase what was worked off so long ago; how many."""
    limit = timezone.now() - timedelta(days=days)
    return Notification.objects.exclude(state=State.NEW).filter(received_at__lt=limit).delete()[0]


def seller_key(cafeteria_uuid: UUID) -> str | None:
    """The webhook key of the cafeteria's present account."""
    found = Seller.objects.exclude(status=Seller.Status.DISCONNECTED).filter(cafeteria_uuid=cafeteria_uuid)
    return found.values_list("webhook_key", flat=True).first()
