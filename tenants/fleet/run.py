"""Fleet migrations: public, the template, a canary, then all cafeterias that are behind the code's head.

A cafeteria's statements, its django_migrations, its head and its status row are one transaction: killed at any time, the next run goes on
with those that are still behind. A broken one is noted and left; the others go on.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby

from django.db import connection
from django.db.models import Q

from tenants.errors import NoSuchCafeteria
from tenants.fleet.attempts import Outcome, Result, attempt
from tenants.fleet.crew import work_off
from tenants.fleet.public import fleet_turn, migrate_public
from tenants.fleet.recipes import Recipe, follow_recipe, make_recipe
from tenants.models import Cafeteria
from tenants.provisioning.heads import check_migrations, current_head, disk_loader
from tenants.provisioning.template import current_template

type OnProgress = Callable[[int, int], None]  # (done, total)


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetOptions:
    jobs: int = 2  # connections at work at once
    only: str = ""  # the slug of the one cafeteria to migrate
    canary: str = ""  # the slug of the one to begin with; if it fails, no other is touched
    fail_after: int = 5  # stop when more than so many have failed
    wait: float = 600  # seconds for another fleet migration to end


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    slug: str
    error: str


@dataclass(kw_only=True, slots=True)
class FleetReport:
    head: str
    public: list[str] = field(default_factory=list)  # migrations that were applied to public
    total: int = 0  # cafeterias that were behind
    done: int = 0
    ahead: list[str] = field(default_factory=list)  # slugs of those that newer code has migrated
    failures: list[Failure] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Those that were not tried."""
        return self.total - self.done - len(self.ahead) - len(self.failures)

    def add(self, outcome: Outcome) -> None:
        if outcome.result is Result.FAILED:
            self.failures.append(Failure(slug=outcome.cafeteria.slug, error=outcome.error))
        elif outcome.result is Result.AHEAD:
            self.ahead.append(outcome.cafeteria.slug)
        else:
            self.done += 1


def migrate_fleet_schemas(
    options: FleetOptions, *, on_progress: OnProgress | None = None, on_wait: Callable[[], None] | None = None
) -> FleetReport:
    """Bring public and the cafeterias to the head of the code on disk. With nothing to do, one query for all cafeterias.

    Raises UnsuitableMigration, TemplateDiffers, NoSuchCafeteria and FleetBusy before any cafeteria is touched; what fails in one is in the
    report.
    """
    with fleet_turn(wait=options.wait, on_wait=on_wait):
        report = FleetReport(head=current_head(), public=migrate_public())
        current_template()
        check_named(options.only, options.canary)
        behind = cafeterias_behind(report.head, only=options.only)
        if behind:
            check_migrations(disk_loader())
            report.total = len(behind)
            note_pending(behind, target=report.head)
            Fleet(options=options, report=report, on_progress=on_progress or (lambda _done, _total: None)).migrate(behind)
    return report


def check_named(*slugs: str) -> None:
    """A mistyped slug must not look like a cafeteria that is up to date."""
    for slug in filter(None, slugs):
        if not Cafeteria.objects.filter(slug=slug).exists():
            raise NoSuchCafeteria(slug=slug)


def cafeterias_behind(head: str, *, only: str = "") -> list[Cafeteria]:
    """Those with a schema that is at another head, closed ones with a schema as well."""
    chosen = Q(slug=only) if only else Q()
    return list(Cafeteria.objects.filter(chosen).exclude(schema_head__in=["", head]).order_by("schema_head", "id"))


def note_pending(cafeterias: Iterable[Cafeteria], *, target: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO public.tenants_migrationstatus AS s (cafeteria_id, target, state, attempts, error)
            SELECT id, %(target)s, 'pending', 0, '' FROM unnest(%(ids)s::bigint[]) AS id
            ON CONFLICT (cafeteria_id) DO UPDATE SET target = excluded.target, state = 'pending',
                attempts = CASE WHEN s.target = excluded.target THEN s.attempts ELSE 0 END""",
            {"target": target, "ids": [cafeteria.pk for cafeteria in cafeterias]},
        )


@dataclass(kw_only=True)
class Fleet:
    """One run over those that are behind."""

    options: FleetOptions
    report: FleetReport
    on_progress: OnProgress

    def migrate(self, behind: list[Cafeteria]) -> None:
        groups = [list(group) for _, group in groupby(behind, key=lambda cafeteria: cafeteria.schema_head)]
        # The canary leads its group, and its group leads the others.
        for group in sorted(groups, key=lambda group: not any(map(self.is_canary, group))):
            self.migrate_alike(sorted(group, key=lambda cafeteria: not self.is_canary(cafeteria)))

    def migrate_alike(self, cafeterias: list[Cafeteria]) -> None:
        """Those of one starting head: one by one until a first has shown the way, then in parallel."""
        recipe: Recipe | None = None
        for number, cafeteria in enumerate(cafeterias):
            if recipe is not None or self.must_stop:
                break
            recipe = self.lead(cafeteria)
            if self.report.ahead and self.report.ahead[-1] == cafeteria.slug:
                self.report.ahead += [other.slug for other in cafeterias[number + 1 :]]
                return
        else:
            return
        if recipe is not None:
            self.follow(cafeterias[number:], recipe)

    def lead(self, cafeteria: Cafeteria) -> Recipe | None:
        found: list[Recipe] = []
        target = self.report.head
        outcome = attempt(cafeteria, lambda patient: found.append(make_recipe(cafeteria, target=target, patient=patient)), target=target)
        self.note(outcome)
        return found[0] if found else None

    def follow(self, cafeterias: list[Cafeteria], recipe: Recipe) -> None:
        def migrate(cafeteria: Cafeteria) -> Outcome:
            return attempt(cafeteria, lambda patient: follow_recipe(cafeteria, recipe, patient=patient), target=recipe.target)

        for outcome in work_off(cafeterias, migrate, workers=self.options.jobs, stop=lambda: self.must_stop):
            self.note(outcome)

    def note(self, outcome: Outcome) -> None:
        self.report.add(outcome)
        self.on_progress(self.report.total - self.report.left, self.report.total)

    @property
    def must_stop(self) -> bool:
        failed = self.report.failures
        return len(failed) > self.options.fail_after or any(failure.slug == self.options.canary for failure in failed)

    def is_canary(self, cafeteria: Cafeteria) -> bool:
        return cafeteria.slug == self.options.canary
