"""The cafeterias as admins see them. A page of the list costs the same queries however many there are."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.db.models import Count, Max, Q, QuerySet
from django.utils.module_loading import import_string

from accounts.models import User
from accounts.support import Standing, standings_of
from core.alerts.models import Alert
from core.audit.models import AuditEntry
from core.jobs.models import Job, JobState
from ops.backups.models import Backup, BackupTurn
from ops.backups.queries import backups_of, standings
from ops.console.restores.queries import RestoreLine, restore_lines
from ops.console.words import Words, deed_words
from ops.console.work.queries import AlertLine, JobLine, alert_lines, job_lines
from ops.restores.keeping import endless_copies
from ops.restores.models import Restore
from tenants.errors import CafeteriaNotFound
from tenants.models import Cafeteria, Domain, MigrationStatus
from tenants.provisioning.heads import current_head
from tenants.routing import site_url

AT_A_TIME = 25
BACKUPS_AT_A_TIME = 30
JOBS_SHOWN, DEEDS_SHOWN, RESTORES_SHOWN = 6, 12, 3


@dataclass(frozen=True, kw_only=True, slots=True)
class CafeteriaLine:
    """One of the list."""

    cafeteria: Cafeteria
    owner: str  # e-mail
    newest_at: datetime | None  # of its backups, or when nothing had changed since
    proven_at: datetime | None
    is_backed_up: bool
    alerts: int  # open
    plan: Any  # billing.queries.PlanLine, or None


@dataclass(frozen=True, kw_only=True, slots=True)
class Deed:
    """An entry of the audit, in words."""

    entry: AuditEntry
    words: Words


@dataclass(frozen=True, kw_only=True, slots=True)
class CafeteriaFacts:
    """All that an admin sees of one."""

    cafeteria: Cafeteria
    owner: User | None
    original: Cafeteria | None  # whose copy it is
    url: str
    domains: list[str]
    plan: Any
    is_at_head: bool
    migration: MigrationStatus | None
    newest: Backup | None
    proven: Backup | None  # the newest that is
    looked_at: datetime | None  # when nothing had changed since the newest
    due_at: datetime | None
    alerts: list[AlertLine]
    jobs: list[JobLine]
    backup_job: Job | None  # that waits or runs
    restores: list[RestoreLine]
    deeds: list[Deed]
    support: Standing


def cafeteria_by_id(cafeteria_id: int) -> Cafeteria:
    """In whatever state. Raises CafeteriaNotFound."""
    found: Cafeteria | None = Cafeteria.objects.filter(pk=cafeteria_id).first()
    if found is None:
        raise CafeteriaNotFound
    return found


def cafeterias_page(*, text: str, status: str, late: bool, endless: bool, number: str) -> tuple[list[CafeteriaLine], Page[Cafeteria]]:
    """`late`: those that are not backed up as they should be; `endless`: copies that nothing closes by itself."""
    found: QuerySet[Cafeteria] = Cafeteria.objects.order_by("name", "id")
    if status:
        found = found.filter(status=status)
    late_ones = {standing.cafeteria.pk for standing in standings() if not standing.ok}
    if late:
        found = found.filter(pk__in=late_ones)
    if endless:
        found = found.filter(pk__in=endless_copies().values("pk"))
    if text:
        owners = User.objects.filter(email__icontains=text).values("id")
        found = found.filter(Q(name__icontains=text) | Q(slug__icontains=text) | Q(schema_name=text.lower()) | Q(owner_id__in=owners))
    page = Paginator(found, AT_A_TIME).get_page(number)
    return _lines(list(page.object_list), late_ones), page


def cafeteria_facts(cafeteria: Cafeteria) -> CafeteriaFacts:
    uuid = cafeteria.uuid
    turn = BackupTurn.objects.filter(pk=uuid).first()
    backups = backups_of(uuid)
    jobs = Job.objects.filter(cafeteria_uuid=uuid)
    entries = AuditEntry.objects.filter(cafeteria_uuid=uuid).order_by("-at", "-id")[:DEEDS_SHOWN]
    return CafeteriaFacts(
        cafeteria=cafeteria,
        owner=User.objects.filter(pk=cafeteria.owner_id).first(),
        original=Cafeteria.objects.filter(uuid=cafeteria.copy_of).first() if cafeteria.copy_of else None,
        url=site_url(cafeteria.slug),
        domains=list(Domain.objects.filter(tenant_id=cafeteria.pk).order_by("-is_primary", "domain").values_list("domain", flat=True)),
        plan=plans_of([cafeteria]).get(uuid),
        is_at_head=cafeteria.schema_head == current_head(),
        migration=MigrationStatus.objects.filter(pk=cafeteria.pk).first(),
        newest=backups.first(),
        proven=backups.filter(proven_at__isnull=False).first(),
        looked_at=turn.newest_at if turn else None,
        due_at=turn.due_at if turn else None,
        alerts=alert_lines(list(Alert.objects.filter(cafeteria_uuid=uuid, resolved_at=None).order_by("severity", "-last_at"))),
        jobs=job_lines(list(jobs.order_by("-id")[:JOBS_SHOWN])),
        backup_job=backup_under_way(cafeteria),
        restores=restore_lines(list(Restore.objects.filter(cafeteria_uuid=uuid).order_by("-started_at")[:RESTORES_SHOWN])),
        deeds=[Deed(entry=entry, words=deed_words(entry.action)) for entry in entries],
        support=standings_of([cafeteria.pk])[cafeteria.pk],
    )


def backup_under_way(cafeteria: Cafeteria) -> Job | None:
    """The newest job that backs it up and has not ended."""
    return _under_way(cafeteria, "ops.backups.jobs.backup").order_by("-id").first()


def proofs_under_way(cafeteria: Cafeteria) -> dict[str, UUID]:
    """The backups that somebody has asked to be proven now, each with its job."""
    jobs = _under_way(cafeteria, "ops.backups.jobs.prove_one").values_list("id", "arguments")
    return {str(arguments.get("backup_id", "")): job_id for job_id, arguments in jobs}


def _under_way(cafeteria: Cafeteria, kind: str) -> QuerySet[Job]:
    return Job.objects.filter(cafeteria_uuid=cafeteria.uuid, kind=kind, state__in=(JobState.QUEUED, JobState.RUNNING))


def backups_page(cafeteria: Cafeteria, number: str) -> Page[Backup]:
    return Paginator(backups_of(cafeteria.uuid).defer("manifest"), BACKUPS_AT_A_TIME).get_page(number)


def plans_of(cafeterias: list[Cafeteria]) -> dict[UUID, Any]:
    """What billing, which stands beside ops, says of their plans."""
    plans: dict[UUID, Any] = import_string(settings.CAFETERIA_PLANS)(cafeterias)
    return plans


def _lines(cafeterias: list[Cafeteria], late: set[int]) -> list[CafeteriaLine]:
    uuids = [cafeteria.uuid for cafeteria in cafeterias]
    owners = dict(User.objects.filter(pk__in={cafeteria.owner_id for cafeteria in cafeterias}).values_list("id", "email"))
    moments = Backup.objects.filter(cafeteria_uuid__in=uuids).values("cafeteria_uuid")
    moments = moments.annotate(newest=Max("taken_at"), proven=Max("taken_at", filter=Q(proven_at__isnull=False)))
    taken = {row["cafeteria_uuid"]: (row["newest"], row["proven"]) for row in moments}
    turns = dict(BackupTurn.objects.filter(pk__in=uuids).values_list("cafeteria_uuid", "newest_at"))
    alerts = dict(Alert.objects.filter(cafeteria_uuid__in=uuids, resolved_at=None).values_list("cafeteria_uuid").annotate(Count("id")))
    plans = plans_of(cafeterias)
    return [
        CafeteriaLine(
            cafeteria=cafeteria,
            owner=owners.get(cafeteria.owner_id, ""),
            newest_at=_newest(taken.get(cafeteria.uuid, (None, None))[0], turns.get(cafeteria.uuid)),
            proven_at=taken.get(cafeteria.uuid, (None, None))[1],
            is_backed_up=cafeteria.pk not in late,
            alerts=alerts.get(cafeteria.uuid, 0),
            plan=plans.get(cafeteria.uuid),
        )
        for cafeteria in cafeterias
    ]


def _newest(taken: datetime | None, looked_at: datetime | None) -> datetime | None:
    """Nothing had changed since the newest one when it was last looked at: that moment counts."""
    return None if taken is None else max(moment for moment in (taken, looked_at) if moment is not None)
