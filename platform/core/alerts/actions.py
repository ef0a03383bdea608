"""Alerts: raised by whatever finds something wrong, resolved by whatever finds it well again, or by a person."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import connection
from django.utils import timezone

from core.alerts.models import Alert
from core.notices.actions import TELL, set_up_channels
from core.redaction import redact_text

log = structlog.get_logger()

RAISED = """INSERT INTO public.core_alert (kind, cafeteria_uuid, subject, detail, severity, count, first_at, last_at, resolved_by)
    VALUES (%(kind)s, %(cafeteria_uuid)s, %(subject)s, %(detail)s, %(severity)s, 1, now(), now(), '')
    ON CONFLICT (kind, cafeteria_uuid, subject) WHERE resolved_at IS NULL
    DO UPDATE SET count = core_alert.count + 1, last_at = now(), detail = excluded.detail,
        severity = CASE core_alert.severity WHEN 'critical' THEN 'critical' ELSE excluded.severity END
    RETURNING *, (SELECT old.severity FROM public.core_alert old WHERE old.id = core_alert.id) AS before"""
OPENED = """(SELECT CASE WHEN before IS NULL THEN 'opened' ELSE 'worse' END AS what, *, last_at AS since FROM raised
    WHERE before IS NULL OR before <> severity)"""
RAISE = f"WITH raised AS ({RAISED}), told AS ({TELL.format(told=OPENED)}) SELECT count FROM raised"  # noqa: S608 - our own
CLOSED = """UPDATE public.core_alert SET resolved_at = now(), resolved_by = %(by)s
    WHERE kind = %(kind)s AND cafeteria_uuid IS NOT DISTINCT FROM %(cafeteria_uuid)s::uuid AND resolved_at IS NULL
        AND (%(subject)s::text IS NULL OR subject = %(subject)s)
    RETURNING 'resolved' AS what, kind, severity, cafeteria_uuid, subject, '' AS detail, first_at AS since"""
RESOLVE = f"WITH closed AS ({CLOSED}), told AS ({TELL.format(told='closed')}) SELECT count(*) FROM closed"  # noqa: S608 - our own


def raise_alert(*, kind: str, subject: str = "", cafeteria_uuid: UUID | None = None, detail: str = "", severity: str = "warning") -> None:
    """Open an alert, or count up the open one of the same kind, cafeteria and subject. One statement, in the caller's transaction.

    `detail` is an English sentence without anybody's data; secrets in it are redacted. An open critical one stays critical. Logged when
    it opens, and at every doubling; operators are told when it opens and when it becomes critical (core.notices).
    """
    detail = redact_text(detail)[:500]
    facts = {"kind": kind, "subject": subject[:120], "detail": detail, "severity": Alert.Severity(severity).value}
    count = _change(RAISE, facts, cafeteria_uuid)
    if count & (count - 1) == 0:
        write = log.error if severity == Alert.Severity.CRITICAL else log.warning
        write("alert", kind=kind, subject=subject, about=str(cafeteria_uuid or ""), detail=detail, count=count)


def resolve_alerts(*, kind: str, cafeteria_uuid: UUID | None = None, subject: str | None = None, by: str = "") -> int:
    """Close the open alerts of this kind and cafeteria, of one subject or of all; how many. One statement; operators are told."""
    return _change(RESOLVE, {"kind": kind, "subject": subject if subject is None else subject[:120], "by": by}, cafeteria_uuid)


def _change(sql: str, facts: dict[str, Any], cafeteria_uuid: UUID | None) -> int:
    facts |= {"cafeteria_uuid": cafeteria_uuid and str(cafeteria_uuid), "channels": list(set_up_channels())}
    with connection.cursor() as cursor:
        cursor.execute(sql, facts)
        return int(cursor.fetchone()[0])


def prune_alerts(*, days: int) -> int:
    """Erase what was resolved so long ago; how many. An open one stays, however old."""
    return Alert.objects.filter(resolved_at__lt=timezone.now() - timedelta(days=days)).delete()[0]
