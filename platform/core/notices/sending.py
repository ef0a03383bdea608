"""From what waits on a channel to messages. Outside of every transaction: a message is a call of the outside world."""

import uuid
from datetime import timedelta

import structlog
from django.conf import settings
from django.db.models import Count, Max, Min
from django.utils import timezone
from django.utils.module_loading import import_string

from core.alerts.actions import raise_alert, resolve_alerts
from core.notices.actions import UNDELIVERED
from core.notices.errors import ChannelFailed
from core.notices.gateway import send_message
from core.notices.models import Notice
from core.notices.texts import message_of

log = structlog.get_logger()

MANY = 6  # messages within an hour: past it, kinds that were told within the hour wait for APART
HOUR = timedelta(hours=1)
APART = timedelta(minutes=10)
TOLERATED = timedelta(minutes=5)  # A channel that has taken nothing for so long is told of on the others.


def send_waiting(*, channel: str) -> int:
    """Put all that waits on the channel into one message and send it; how many were told. One that was not taken goes out first, as it was.

    Killed between sending and noting it, the same message goes out again, under the same id. Raises ChannelFailed, with an alert on the
    other channels once it has lasted.
    """
    told = 0
    for _ in range(2):  # What was left of an earlier try, and what has come since.
        message_id = _unsent(channel) or _new_message(channel)
        if message_id is None:
            break
        told += _send(channel, message_id)
    return told


def channels_with_waiting() -> list[str]:
    return sorted(Notice.objects.filter(sent_at=None).values_list("channel", flat=True).distinct())


def _send(channel: str, message_id: uuid.UUID) -> int:
    mine = Notice.objects.filter(channel=channel, message_id=message_id, sent_at=None)
    rows = list(mine.order_by("id"))
    slugs = import_string(settings.CAFETERIA_SLUGS)({row.cafeteria_uuid for row in rows if row.cafeteria_uuid})
    try:
        send_message(channel, message_of(rows, slugs), message_id=message_id)
    except ChannelFailed as error:
        log.warning("notice_not_taken", channel=channel, message=str(message_id), error=str(error))
        if rows[0].at < timezone.now() - TOLERATED:
            raise_alert(kind=UNDELIVERED, subject=channel, detail=str(error), severity="critical")
        raise
    mine.update(sent_at=timezone.now())
    resolve_alerts(kind=UNDELIVERED, subject=channel)
    log.info("notice_sent", channel=channel, message=str(message_id), notices=len(rows))
    return len(rows)


def _unsent(channel: str) -> uuid.UUID | None:
    left = Notice.objects.filter(channel=channel, sent_at=None, message_id__isnull=False)
    return left.order_by("id").values_list("message_id", flat=True).first()


def _new_message(channel: str) -> uuid.UUID | None:
    """Take what waits into a new message, as far as it may be told now; None when there is nothing."""
    waiting = Notice.objects.filter(channel=channel, sent_at=None, message_id=None).exclude(kind__in=_held_back(channel))
    message_id = uuid.uuid4()
    return message_id if waiting.update(message_id=message_id) else None


def _held_back(channel: str) -> list[str]:
    """The kinds that have been told of often enough for now: a flood is a message in ten minutes, and hides nothing new."""
    now = timezone.now()
    sent = Notice.objects.filter(channel=channel, sent_at__gt=now - HOUR)
    facts = sent.aggregate(messages=Count("message_id", distinct=True), newest=Max("sent_at"))
    if facts["messages"] < MANY or facts["newest"] < now - APART:
        return []
    return list(sent.values_list("kind", flat=True).distinct())


def waiting_by_channel() -> list[tuple[str, int, float]]:
    """(channel, notices that wait, seconds that the oldest has waited)."""
    waiting = Notice.objects.filter(sent_at=None).values_list("channel").annotate(Count("id"), Min("at")).order_by("channel")
    return [(channel, count, (timezone.now() - oldest).total_seconds()) for channel, count, oldest in waiting]
