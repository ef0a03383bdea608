"""Jobs, alerts and the fleet's migrations, as the console lists them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.db.models import Case, Count, Q, QuerySet, When
from django.utils import timezone

from core.alerts.models import Alert
from core.jobs.models import Job, JobState
from core.notices.runbooks import runbook_address, runbook_of
from core.redaction import REDACTED, SECRET_NAME, redact_text
from ops.console.words import JOBS, Trouble, Words, job_words, trouble_of
from tenants.models import Cafeteria, MigrationStatus
from tenants.provisioning.heads import current_head

AT_A_TIME = 50
LONGEST_VALUE = 600
PLATFORM_ZONE = "UTC"  # of what belongs to no cafeteria
FREQUENT = ("payments.inbox.jobs.work_off",)  # comes with every notification


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """Which cafeteria something is about; empty for what is the platform's own, or of one that is not there."""

    slug: str = ""
    cafeteria_id: int | None = None
    zone: str = PLATFORM_ZONE  # by whose clock its times are told


@dataclass(frozen=True, kw_only=True, slots=True)
class JobLine:
    job: Job
    words: Words
    about: About
    is_late: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertLine:
    alert: Alert
    trouble: Trouble
    runbook: str  # where it can be read
    about: About


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetHeads:
    head: str  # the code's
    counts: list[tuple[str, int]]  # of other heads: (head, cafeterias)
    current: int
    behind: int
    failed: int


NOBODY = About()


def jobs_page(*, state: str, text: str, before: UUID | None) -> tuple[list[JobLine], UUID | None]:
    """The newest jobs, and what the next page begins after. `state` is one of the queue's, or "late"; `text` an address or a kind."""
    found = Job.objects.order_by("-id")
    if state == "late":
        found = found.filter(_late())
    elif state:
        found = found.filter(state=state)
    elif not text:  # What comes every minute and ends well would leave no room for anything else.
        found = found.exclude(state=JobState.SUCCEEDED, kind__in=[*settings.PERIODIC_JOBS, *FREQUENT])
    if text:
        found = found.filter(_matches(text))
    if before is not None:
        found = found.filter(pk__lt=before)
    rows = list(found[: AT_A_TIME + 1])
    return job_lines(rows[:AT_A_TIME]), rows[AT_A_TIME - 1].pk if len(rows) > AT_A_TIME else None


def job_lines(jobs: list[Job]) -> list[JobLine]:
    """With the address of each one's cafeteria: one query."""
    known = known_by_uuid({job.cafeteria_uuid for job in jobs if job.cafeteria_uuid})
    return [JobLine(job=job, words=job_words(job.kind), about=known.get(job.cafeteria_uuid, NOBODY), is_late=_is_late(job)) for job in jobs]


def what_moves(job: Job | None) -> tuple[object, ...]:
    """All of a job that its page shows and that may change by itself."""
    return (job.state, job.progress, job.message, job.attempts, job.error, job.cancel_requested) if job is not None else ()


def percent_of(job: Job | None) -> int:
    return round(job.progress * 100) if job is not None else 0


def known_by_uuid(uuids: set[UUID]) -> Mapping[UUID | None, About]:
    """Those that are there: one query, or none."""
    rows = Cafeteria.objects.filter(uuid__in=uuids).values_list("uuid", "slug", "id", "timezone") if uuids else []
    return {uuid: About(slug=slug, cafeteria_id=number, zone=zone) for uuid, slug, number, zone in rows}


def shown_values(values: Any) -> list[tuple[str, str]]:
    """What a job was given or says, for a page: (name, value), without secrets, long ones cut."""
    if not isinstance(values, Mapping):
        return [] if values is None else [("", _shown("", values))]
    return [(name, _shown(name, value)) for name, value in values.items()]


def alerts_page(*, kind: str, is_open: bool, number: str) -> tuple[list[AlertLine], Page[Alert]]:
    found = Alert.objects.filter(resolved_at__isnull=is_open)
    found = found.filter(kind=kind) if kind else found
    # "critical" comes before "warning".
    found = found.order_by("severity", "-last_at", "-id") if is_open else found.order_by("-resolved_at", "-id")
    page = Paginator(found, AT_A_TIME).get_page(number)
    return alert_lines(list(page.object_list)), page


def alert_lines(alerts: list[Alert]) -> list[AlertLine]:
    known = known_by_uuid({alert.cafeteria_uuid for alert in alerts if alert.cafeteria_uuid})
    return [
        AlertLine(
            alert=alert,
            trouble=trouble_of(alert.kind),
            runbook=runbook_address(runbook_of(alert.kind)),
            about=known.get(alert.cafeteria_uuid, NOBODY),
        )
        for alert in alerts
    ]


def fleet_heads() -> FleetHeads:
    head = current_head()
    counts = dict(Cafeteria.objects.exclude(schema_head="").values_list("schema_head").annotate(Count("id")))
    current = counts.pop(head, 0)
    return FleetHeads(
        head=head,
        counts=sorted(counts.items(), key=lambda row: -row[1]),
        current=current,
        behind=sum(counts.values()),
        failed=MigrationStatus.objects.filter(state=MigrationStatus.State.FAILED).count(),
    )


def migrations_page(*, state: str, number: str) -> Page[MigrationStatus]:
    """How far each cafeteria is, those that failed first."""
    found: QuerySet[MigrationStatus] = MigrationStatus.objects.select_related("cafeteria")
    found = found.filter(state=state) if state else found
    failed_first = Case(When(state=MigrationStatus.State.FAILED, then=0), default=1)
    return Paginator(found.order_by(failed_first, "cafeteria_id"), AT_A_TIME).get_page(number)


def _is_late(job: Job) -> bool:
    waited = (timezone.now() - job.run_after).total_seconds()
    return job.state == JobState.QUEUED and waited > settings.JOB_LATE_SECONDS[job.queue]


def _late() -> Q:
    now = timezone.now()
    late = Q()
    for queue, seconds in settings.JOB_LATE_SECONDS.items():
        late |= Q(queue=queue, run_after__lt=now - timedelta(seconds=seconds))
    return Q(state=JobState.QUEUED) & late


def _matches(text: str) -> Q:
    """A cafeteria's address, the name of a job in words or in code, or a job's id. Each is found by an index: only jobs match by their kind
    that have words here (all that there are), or have it to the letter.
    """
    wanted = text.lower()
    kinds = [kind for kind, words in JOBS.items() if wanted in kind or wanted in str(words).lower()]
    cafeterias = list(Cafeteria.objects.filter(slug__icontains=wanted).values_list("uuid", flat=True)[:AT_A_TIME])
    matches = Q(kind__in=[*kinds, text]) | Q(cafeteria_uuid__in=cafeterias)
    try:
        return matches | Q(pk=UUID(text))
    except ValueError:
        return matches


def _shown(name: str, value: Any) -> str:
    if SECRET_NAME.search(name):
        return REDACTED
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = redact_text(text)
    return f"{text[:LONGEST_VALUE]}…" if len(text) > LONGEST_VALUE else text
