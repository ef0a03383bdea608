"""What the operators are told of: noted in the transaction of what happens, so that a rollback tells nothing and a commit tells surely."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from core.notices.models import Channel, Notice

UNDELIVERED = "notices.undelivered"  # the alert of a channel that takes nothing; its subject is the channel
# Acts of the audit that operators hear of, whoever did them.
TOLD_ACTS = frozenset(
    {
        "restore.started",
        "restore.exchanged",
        "restore.done",
        "restore.failed",
        "restore.undone",
        "recovery.settled",
        "cafeteria.suspended",
        "cafeteria.resumed",
        "cafeteria.closed",
    }
)
# For each row of {told} (what, kind, severity, cafeteria_uuid, subject, detail, since) and each of %(channels)s; that a channel takes
# nothing is not told on that channel. A part of whoever's statement it is: what happens and its notice are one.
TELL = f"""INSERT INTO public.core_notice (channel, what, kind, severity, cafeteria_uuid, subject, detail, since)
    SELECT channel, what, kind, severity, cafeteria_uuid, subject, detail, since
    FROM {{told}} AS told, unnest(%(channels)s::text[]) AS channel WHERE NOT (kind = '{UNDELIVERED}' AND subject = channel)"""  # noqa: S608 - statements of our own


def note_act(action: str, *, cafeteria_uuid: UUID | None, target: str) -> None:
    """Tell of an act that the audit has just noted, if it is one that operators are told of. Nobody is named."""
    channels = set_up_channels()
    if action not in TOLD_ACTS or not channels:
        return
    Notice.objects.bulk_create(
        Notice(
            channel=channel,
            what=Notice.What.HAPPENED,
            kind=action,
            severity="info",
            cafeteria_uuid=cafeteria_uuid,
            subject="" if "@" in target else target[:120],
        )
        for channel in channels
    )


def set_up_channels() -> tuple[str, ...]:
    slack = (Channel.SLACK.value,) if settings.SLACK_WEBHOOK_URL else ()
    mail = (Channel.MAIL.value,) if settings.OPS_EMAILS and settings.MAIL_ENABLED else ()
    return slack + mail


def prune_notices(*, days: int) -> int:
    """Erase what was sent so long ago, and what could not be sent for as long; how many."""
    limit = timezone.now() - timedelta(days=days)
    return Notice.objects.filter(sent_at__lt=limit).delete()[0] + Notice.objects.filter(sent_at=None, at__lt=limit).delete()[0]
