import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from core.errors import AppError
from tenants.fleet.run import FleetOptions, FleetReport, migrate_fleet_schemas


class Command(BaseCommand):
    help = "Migrates public and all cafeterias to the newest migrations on disk. May be stopped and run again at any time."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--jobs", type=int, default=2, help="database connections at work at once (2)")
        parser.add_argument("--only", default="", metavar="SLUG", help="migrate this cafeteria alone")
        parser.add_argument("--canary", default="", metavar="SLUG", help="begin with this one; if it fails, touch no other")
        parser.add_argument("--fail-after", type=int, default=5, metavar="N", help="stop when more than N have failed (5)")
        parser.add_argument("--wait", type=float, default=600, metavar="SECONDS", help="for another fleet migration to end (600)")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["jobs"] < 1:
            raise CommandError("--jobs must be 1 or more.")
        chosen = FleetOptions(**{name: options[name] for name in ("jobs", "only", "canary", "fail_after", "wait")})
        console = Console(file=sys.stderr)
        with progress_bar(console) as progress:
            task = progress.add_task("Cafeterias", total=None, visible=False)
            try:
                report = migrate_fleet_schemas(
                    chosen,
                    on_progress=lambda done, total: progress.update(task, completed=done, total=total, visible=True),
                    on_wait=lambda: console.print("Another fleet migration is at work: waiting for it to end."),
                )
            except AppError as error:
                raise CommandError(str(error)) from error
        self.report(report)

    def report(self, report: FleetReport) -> None:
        for name in report.public:
            self.stdout.write(f"public: {name}")
        for failure in report.failures:
            self.stderr.write(f"{failure.slug}: {failure.error}")
        if report.ahead:
            self.stdout.write(f"Left alone, as newer code has migrated them: {', '.join(report.ahead[:10])} ({len(report.ahead)}).")
        if report.failures:
            raise CommandError(
                f"{len(report.failures)} of {report.total} cafeterias failed and are as they were, {report.done} are migrated, "
                f"{report.left} were not tried. Mend what the lines above say, then run migrate_fleet again: it goes on with the rest."
            )
        self.stdout.write(f"{report.done} cafeterias migrated." if report.total else "All cafeterias are at the newest migrations.")


def progress_bar(console: Console) -> Progress:
    """On a terminal; elsewhere nothing is drawn."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
