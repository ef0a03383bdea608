import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.table import Column, Table

from core.alerts.actions import raise_alert, resolve_alerts
from core.errors import AppError
from ops.backups.queries import backups_of, standings
from tenants.queries import ref_by_slug


class Command(BaseCommand):
    help = (
        "Says how old each cafeteria's newest and newest proven backups are; ends with 1, and an alert, when one is older than it may be. "
        "With a cafeteria's name: its backups."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", nargs="?", help="list this cafeteria's backups")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["slug"]:
            self._list(options["slug"])
            return
        now, found = timezone.now(), standings()
        late = [standing for standing in found if not standing.ok]
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not late, "businesses": [standing.as_json(now) for standing in found]}))
        else:
            table = Table(Column("slug", overflow="fold"), "newest", "newest proven", "")
            for standing in found:
                table.add_row(
                    standing.cafeteria.slug, _ago(standing.newest_at), _ago(standing.proven_at), "ok" if standing.ok else "TOO OLD"
                )
            self._print(table)
        if late:
            slugs = ", ".join(standing.cafeteria.slug for standing in late[:10])
            raise_alert(
                kind="backups.status", detail=f"{len(late)} cafeterias are not backed up as they should be: {slugs}", severity="critical"
            )
            raise CommandError(f"{len(late)} of {len(found)} are not backed up as they should be.")
        resolve_alerts(kind="backups.status")

    def _list(self, slug: str) -> None:
        try:
            ref = ref_by_slug(slug)
        except AppError as error:
            raise CommandError(str(error)) from error
        table = Table("id", "taken at (UTC)", "kind", "rows", "KiB", "where", "proven")
        for backup in backups_of(ref.uuid).defer("manifest")[:200]:
            proven = f"{backup.proven_at:%Y-%m-%d %H:%M}" if backup.proven_at else backup.error[:60]
            size = f"{backup.size / 1024:.0f}"
            table.add_row(
                str(backup.pk), f"{backup.taken_at:%Y-%m-%d %H:%M:%S}", backup.kind, str(backup.rows), size, backup.location, proven
            )
        self._print(table)

    def _print(self, table: Table) -> None:
        Console(file=self.stdout, width=None if self.stdout.isatty() else 1_000).print(table)  # type: ignore[arg-type]


def _ago(moment: Any) -> str:
    if moment is None:
        return "never"
    minutes = int((timezone.now() - moment).total_seconds() // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
