from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from core.alerts.actions import raise_alert, resolve_alerts
from core.alerts.jobs import prune
from core.alerts.metrics import AlertCollector
from core.alerts.models import Alert
from core.jobs import JobRun
from core.jobs.run import Claim

LUNA, SOL = UUID(int=1), UUID(int=2)
REVIEW, SIGNATURE = "payments.review", "payments.signature"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def open_alerts() -> list[tuple[str, UUID | None, str, int]]:
    rows = Alert.objects.filter(resolved_at=None).order_by("id")
    return [(row.kind, row.cafeteria_uuid, row.subject, row.count) for row in rows]


def test_an_alert_is_a_row() -> None:
    before = timezone.now() - timedelta(minutes=1)
    raise_alert(kind=REVIEW, subject="7", cafeteria_uuid=LUNA, detail="The amounts differ.")
    alert = Alert.objects.get()
    assert (alert.kind, alert.cafeteria_uuid, alert.subject, alert.detail) == (REVIEW, LUNA, "7", "The amounts differ.")
    assert (alert.severity, alert.count, alert.resolved_at, alert.resolved_by) == (Alert.Severity.WARNING, 1, None, "")
    assert before < alert.first_at == alert.last_at


def test_the_same_again_counts_up_and_says_the_newest() -> None:
    raise_alert(kind=REVIEW, subject="7", cafeteria_uuid=LUNA, detail="old")
    Alert.objects.update(first_at=LONG_AGO, last_at=LONG_AGO)
    raise_alert(kind=REVIEW, subject="7", cafeteria_uuid=LUNA, detail="new", severity="critical")
    alert = Alert.objects.get()
    assert (alert.count, alert.detail, alert.severity, alert.first_at) == (2, "new", Alert.Severity.CRITICAL, LONG_AGO)
    assert alert.last_at > LONG_AGO


def test_an_open_critical_alert_stays_critical() -> None:
    raise_alert(kind=REVIEW, severity="critical")
    raise_alert(kind=REVIEW, detail="a smaller thing")
    assert (Alert.objects.get().severity, Alert.objects.get().detail) == (Alert.Severity.CRITICAL, "a smaller thing")


def test_an_alert_keeps_no_secret() -> None:
    raise_alert(kind=REVIEW, detail="refused: APP_USR-1234-010203-abcdef-9")
    assert Alert.objects.get().detail == "refused: [redacted]"


def test_another_kind_cafeteria_or_subject_is_another_alert() -> None:
    for _ in range(2):
        raise_alert(kind=REVIEW, subject="7", cafeteria_uuid=LUNA)
        raise_alert(kind=SIGNATURE, subject="7", cafeteria_uuid=LUNA)
        raise_alert(kind=REVIEW, subject="7", cafeteria_uuid=SOL)
        raise_alert(kind=REVIEW, subject="8", cafeteria_uuid=LUNA)
        raise_alert(kind=REVIEW)
    assert open_alerts() == [
        (REVIEW, LUNA, "7", 2),
        (SIGNATURE, LUNA, "7", 2),
        (REVIEW, SOL, "7", 2),
        (REVIEW, LUNA, "8", 2),
        (REVIEW, None, "", 2),
    ]


def test_what_is_too_long_is_cut_and_still_found() -> None:
    for _ in range(2):
        raise_alert(kind=REVIEW, subject="s" * 200, detail="d" * 900)
    alert = Alert.objects.get()
    assert (alert.subject, alert.detail, alert.count) == ("s" * 120, "d" * 500, 2)
    assert resolve_alerts(kind=REVIEW, subject="s" * 200) == 1


def test_an_unknown_severity_is_refused() -> None:
    with pytest.raises(ValueError, match="not a valid"):
        raise_alert(kind=REVIEW, severity="grave")
    assert open_alerts() == []


def test_resolved_and_then_anew() -> None:
    raise_alert(kind=REVIEW, subject="7", cafeteria_uuid=LUNA)
    assert resolve_alerts(kind=REVIEW, cafeteria_uuid=LUNA, subject="7", by="ana@comanda.test") == 1
    old = Alert.objects.get()
    assert (old.resolved_at is not None, old.resolved_by, old.count) == (True, "ana@comanda.test", 1)
    assert resolve_alerts(kind=REVIEW, cafeteria_uuid=LUNA, subject="7", by="beto@comanda.test") == 0
    raise_alert(kind=REVIEW, subject="7", cafeteria_uuid=LUNA)
    assert open_alerts() == [(REVIEW, LUNA, "7", 1)]
    old.refresh_from_db()
    assert (old.count, old.resolved_by) == (1, "ana@comanda.test")


@pytest.mark.parametrize(
    ("cafeteria", "subject", "left"),
    [
        (LUNA, "7", [(LUNA, "8"), (LUNA, ""), (SOL, "7"), (None, "7")]),
        (LUNA, "", [(LUNA, "7"), (LUNA, "8"), (SOL, "7"), (None, "7")]),
        (LUNA, None, [(SOL, "7"), (None, "7")]),
        (None, None, [(LUNA, "7"), (LUNA, "8"), (LUNA, ""), (SOL, "7")]),
        (UUID(int=3), None, [(LUNA, "7"), (LUNA, "8"), (LUNA, ""), (SOL, "7"), (None, "7")]),
    ],
    ids=["one subject", "the empty subject", "all of a cafeteria", "the platform's", "a stranger's"],
)
def test_only_what_is_named_is_resolved(cafeteria: UUID | None, subject: str | None, left: list[tuple[UUID | None, str]]) -> None:
    for about, of in ((LUNA, "7"), (LUNA, "8"), (LUNA, ""), (SOL, "7"), (None, "7")):
        raise_alert(kind=REVIEW, subject=of, cafeteria_uuid=about)
    raise_alert(kind=SIGNATURE, subject="7", cafeteria_uuid=LUNA)
    assert resolve_alerts(kind=REVIEW, cafeteria_uuid=cafeteria, subject=subject) == 5 - len(left)
    expected = [(REVIEW, about, of, 1) for about, of in left]
    assert open_alerts() == [*expected, (SIGNATURE, LUNA, "7", 1)]


def test_it_is_logged_when_it_opens_and_at_each_doubling() -> None:
    with capture_logs() as lines:
        for _ in range(9):
            raise_alert(kind=REVIEW, subject="7", cafeteria_uuid=LUNA, severity="critical")
        raise_alert(kind=SIGNATURE)
    assert [(line["kind"], line["log_level"], line["count"]) for line in lines] == [
        *[(REVIEW, "error", count) for count in (1, 2, 4, 8)],
        (SIGNATURE, "warning", 1),
    ]
    assert (lines[0]["event"], lines[0]["subject"], lines[0]["about"]) == ("alert", "7", str(LUNA))


def test_a_rollback_takes_it_back() -> None:
    with transaction.atomic():
        raise_alert(kind=REVIEW)
        transaction.set_rollback(True)
    assert open_alerts() == []


def test_metrics_count_what_is_open_by_kind_and_severity(client: Client) -> None:
    for about in (LUNA, SOL, None):
        raise_alert(kind=REVIEW, cafeteria_uuid=about)
    raise_alert(kind=REVIEW, subject="7", severity="critical")
    raise_alert(kind=SIGNATURE)
    assert scraped(client) == {(REVIEW, "critical"): 1, (REVIEW, "warning"): 3, (SIGNATURE, "warning"): 1}
    resolve_alerts(kind=REVIEW, cafeteria_uuid=SOL)
    resolve_alerts(kind=SIGNATURE)
    assert scraped(client) == {(REVIEW, "critical"): 1, (REVIEW, "warning"): 2, (SIGNATURE, "warning"): 0}


def scraped(client: Client) -> dict[tuple[str, str], float]:
    text = client.get("/metrics").content.decode()
    samples = [
        sample for family in text_string_to_metric_families(text) for sample in family.samples if sample.name == "comanda_open_alerts"
    ]
    return {(sample.labels["kind"], sample.labels["severity"]): sample.value for sample in samples}


def test_what_was_resolved_long_ago_is_erased_and_what_is_open_stays() -> None:
    now = timezone.now()
    for subject, resolved, first in (("old", 91, 200), ("newer", 89, 200), ("open", None, 900)):
        raise_alert(kind=REVIEW, subject=subject)
        at = None if resolved is None else now - timedelta(days=resolved)
        Alert.objects.filter(subject=subject).update(resolved_at=at, first_at=now - timedelta(days=first))
    assert prune(job_run()) == {"erased": 1}
    assert set(Alert.objects.values_list("subject", flat=True)) == {"newer", "open"}


def test_metrics_show_a_resolved_kind_for_a_day_and_read_by_the_indexes(client: Client) -> None:
    raise_alert(kind=REVIEW)
    Alert.objects.update(resolved_at=timezone.now() - timedelta(hours=25))
    raise_alert(kind=SIGNATURE)
    assert scraped(client) == {(SIGNATURE, "warning"): 1}
    with connection.cursor() as cursor, CaptureQueriesContext(connection) as queries:
        list(AlertCollector().collect())
        [query] = queries.captured_queries
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {query['sql']}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Seq Scan" not in plan
    assert "core_alert_resolved" in plan


def job_run() -> JobRun:
    claim = Claim(job_id=uuid4(), token=uuid4(), kind="core.alerts.jobs.prune", queue="short", attempt=1, cafeteria_uuid=None, arguments={})
    return JobRun(claim)
