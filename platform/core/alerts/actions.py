"""Alerts: raised by whatever finds something wrong, resolved by whatever finds it well again, or by a person."""

from datetime import timedelta
from uuid import UUID

import structlog
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from core.alerts.models import Alert
from core.redaction import redact_text

log = structlog.get_logger()

RAISE = """INSERT INTO public.core_alert (kind, cafeteria_uuid, subject, detail, severity, count, first_at, last_at, resolved_by)
    VALUES (%s, %s, %s, %s, %s, 1, now(), now(), '')
    ON CONFLICT (kind, cafeteria_uuid, subject) WHERE resolved_at IS NULL
    DO UPDATE SET count = core_alert.count + 1, last_at = now(), detail = excluded.detail,
        severity = CASE core_alert.severity WHEN 'critical' THEN 'critical' ELSE excluded.severity END
    RETURNING count"""


def raise_alert(*, kind: str, subject: str = "", cafeteria_uuid: UUID | None = None, detail: str = "", severity: str = "warning") -> None:
    """Open an alert, or count up the open one of the same kind, cafeteria and subject. One statement, in the caller's transaction.

    `detail` is an English sentence without anybody's data; secrets in it are redacted. An open critical one stays critical. Logged when
    it opens, and at every doubling.
    """
    detail = redact_text(detail)[:500]
    values = [kind, cafeteria_uuid and str(cafeteria_uuid), subject[:120], detail, Alert.Severity(severity).value]
    with connection.cursor() as cursor:
        cursor.execute(RAISE, values)
        count = cursor.fetchone()[0]
    if count & (count - 1) == 0:
        write = log.error if severity == Alert.Severity.CRITICAL else log.warning
        write("alert", kind=kind, subject=subject, about=str(cafeteria_uuid or ""), detail=detail, count=count)


def resolve_alerts(*, kind: str, cafeteria_uuid: UUID | None = None, subject: str | None = None, by: str = "") -> int:
    """Close the open alerts of this kind and cafeteria, of one subject or of all; how many."""
    found = Alert.objects.filter(kind=kind, cafeteria_uuid=cafeteria_uuid, resolved_at__isnull=True)
    if subject is not None:
        found = found.filter(subject=subject[:120])
    return found.update(resolved_at=Now(), resolved_by=by)


def prune_alerts(*, days: int) -> int:
    """Erase what was resolved so long ago; how many. An open one stays, however old."""
    return Alert.objects.filter(resolved_at__lt=timezone.now() - timedelta(days=days)).delete()[0]
