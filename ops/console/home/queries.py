"""The fleet at a glance: what needs a person now, and how everything stands. A fixed number of queries, however many cafeterias."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.conf import settings
from django.db.models import Count
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from core.alerts.models import Alert
from core.jobs.models import Job, JobState
from core.jobs.queries import QueueStats, queue_stats
from core.notices.runbooks import runbook_address, runbook_of
from ops.backups.queries import Standing, standings
from ops.console.words import Words, trouble_of
from ops.console.work.queries import FleetHeads, fleet_heads
from ops.restores.models import Restore
from tenants.models import Cafeteria

FAILED_FOR = timedelta(days=1)
UNDER_WAY = (Restore.Phase.WAITING, Restore.Phase.BUILT, Restore.Phase.EXCHANGED)
MOST_TROUBLES = 12

type Weight = Literal["bad", "warn", "info"]
ORDER: dict[Weight, int] = {"bad": 0, "warn": 1, "info": 2}


@dataclass(frozen=True, kw_only=True, slots=True)
class Matter:
    """Something that a person has to look at."""

    weight: Weight
    title: Words
    words: Words
    href: str
    label: Words
    runbook: str = ""  # where it can be read


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    matters: list[Matter]  # the worst first
    statuses: dict[str, int]  # of cafeterias
    standings: list[Standing]
    queues: tuple[QueueStats, ...]
    heads: FleetHeads
    open_alerts: int
    failed_jobs: int
    restores: list[Restore]  # under way

    @property
    def going_back(self) -> list[tuple[Restore, str]]:
        """Those under way, each with its cafeteria's name."""
        names = {standing.cafeteria.id: standing.cafeteria.name for standing in self.standings}
        return [(restore, names.get(restore.cafeteria_id, str(restore.cafeteria_id))) for restore in self.restores]

    @property
    def backed_up(self) -> int:
        return sum(standing.ok for standing in self.standings)

    @property
    def proven(self) -> int:
        return sum(standing.proven_at is not None for standing in self.standings)

    @property
    def oldest_proven(self) -> datetime | None:
        return min((standing.proven_at for standing in self.standings if standing.proven_at is not None), default=None)

    @property
    def worst(self) -> Weight | Literal["good"]:
        return next((matter.weight for matter in self.matters if matter.weight != "info"), "good")


def fleet() -> Fleet:
    found = standings()
    queues = queue_stats()
    heads = fleet_heads()
    counted = Alert.objects.filter(resolved_at=None).values_list("kind", "severity").annotate(number=Count("id"))
    alerts = list(counted.order_by("severity", "-number", "kind"))
    failed = Job.objects.filter(state=JobState.FAILED, finished_at__gt=timezone.now() - FAILED_FOR).count()
    matters = [*_backups(found), *_alerts(alerts), *_queues(queues), *_migrations(heads), *_failed(failed)]
    return Fleet(
        matters=sorted(matters, key=lambda matter: ORDER[matter.weight]),
        statuses=dict(Cafeteria.objects.values_list("status").annotate(Count("id"))),
        standings=found,
        queues=queues,
        heads=heads,
        open_alerts=sum(count for _kind, _severity, count in alerts),
        failed_jobs=failed,
        restores=list(Restore.objects.filter(phase__in=UNDER_WAY).order_by("started_at")[:MOST_TROUBLES]),
    )


def _backups(found: list[Standing]) -> Iterator[Matter]:
    wrong = [standing for standing in found if not standing.ok]
    if wrong:
        yield Matter(
            weight="bad",
            title=ngettext(
                "{count} cafeteria is not backed up as it should be", "{count} cafeterias are not backed up as they should be", len(wrong)
            ).format(count=len(wrong)),
            words=", ".join(standing.cafeteria.slug for standing in wrong[:5]) + ("…" if len(wrong) > 5 else ""),
            href=f"{reverse('console_cafeterias')}?backups=late",
            label=_("See which"),
        )


def _alerts(counted: list[tuple[str, str, int]]) -> Iterator[Matter]:
    for kind, severity, count in counted[:MOST_TROUBLES]:
        trouble = trouble_of(kind)
        title = f"{trouble.title} ({count})" if count > 1 else trouble.title
        weight: Weight = "bad" if severity == Alert.Severity.CRITICAL else "warn"
        href = f"{reverse('console_alerts')}?kind={kind}"
        runbook = runbook_address(runbook_of(kind))
        yield Matter(weight=weight, title=title, words=trouble.remedy, href=href, label=_("See the alert"), runbook=runbook)


def _queues(queues: tuple[QueueStats, ...]) -> Iterator[Matter]:
    href = reverse("console_jobs")
    for queue in queues:
        if queue.stalled_since is not None or queue.beat_age is None or queue.beat_age > 4 * settings.JOB_STALL_SECONDS:
            title = _("The workers of the queue {queue} give no sign of life").format(queue=queue.queue)
            words = _(
                "The watchdog starts them again by itself within minutes, and no job is lost. When this stays, restart the container "
                "worker-{queue}, or the service that runs manage.py worker {queue}, and look at its last lines."
            ).format(queue=queue.queue)
            yield Matter(weight="bad", title=title, words=words, href=href, label=_("See the queues"), runbook=_stalled())
        elif queue.oldest_due_age > settings.JOB_LATE_SECONDS[queue.queue]:
            title = _("Jobs of the queue {queue} are late").format(queue=queue.queue)
            words = _("More work than workers, or one job that holds them all. Look at what runs.")
            yield Matter(
                weight="warn", title=title, words=words, href=f"{href}?state=late", label=_("See the late ones"), runbook=_stalled()
            )


def _stalled() -> str:
    return runbook_address("docs/runbooks/worker-stalled.md")


def _migrations(heads: FleetHeads) -> Iterator[Matter]:
    href = reverse("console_migrations")
    if heads.failed:
        title = ngettext("{count} cafeteria could not be migrated", "{count} cafeterias could not be migrated", heads.failed)
        words = _("It goes on with the schema that it had. Its error says what stands in the way.")
        runbook = runbook_address("docs/runbooks/fleet-migrations.md")
        yield Matter(
            weight="bad", title=title.format(count=heads.failed), words=words, href=href, label=_("See the errors"), runbook=runbook
        )
    elif heads.behind:
        title = ngettext("{count} cafeteria waits for migrations", "{count} cafeterias wait for migrations", heads.behind)
        words = _("Run the fleet's migrations: those that are done are skipped.")
        yield Matter(weight="warn", title=title.format(count=heads.behind), words=words, href=href, label=_("Go there"))


def _failed(count: int) -> Iterator[Matter]:
    if count:
        yield Matter(
            weight="warn",
            title=ngettext("{count} job has failed since yesterday", "{count} jobs have failed since yesterday", count).format(count=count),
            words=_("Read why, mend it, and let them try again."),
            href=f"{reverse('console_jobs')}?state=failed",
            label=_("See the jobs"),
        )
