import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from ops.archive.moments import folder_of_settings
from ops.archive.queries import Standing, standing
from ops.archive.source import source_of_settings


class Command(BaseCommand):
    help = (
        "Says to which moments a cafeteria, or everything, can go back, and what is missing; ends with 1 when something is. "
        "Says what to enable when PostgreSQL does not let its archive be kept."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        now, folder = datetime.now(UTC), folder_of_settings()
        found = standing(folder, source_of_settings())
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(found, now)))
        else:
            self._tell(found, now, str(folder.root))
        problems = [*found.missing, *(f"The base backup {label} is damaged." for label in found.damaged)]
        if found.gap:
            problems.append(f"There is a gap in the log at {_told(found.gap)}, and no full base backup after it yet.")
        if problems:
            raise CommandError("\n".join(problems))

    def _tell(self, found: Standing, now: datetime, root: str) -> None:
        lag = found.lag_seconds(now)
        rows = [
            ("Archive", f"{root}, {found.bytes / 1024**2:.0f} MB"),
            ("Any moment from", _told(found.window_from)),
            ("until", f"{_told(found.window_until)}{f', {lag:.0f} s ago' if lag is not None else ''}"),
            ("Off-site until", _told(found.shipped_until)),
            ("Slot", found.slot),
            ("Gaps since its beginning", str(found.gaps)),
        ]
        for name, value in rows:
            self.stdout.write(f"{name:<26} {value}")
        table = Table("base", "from (UTC)", "MB", "stands on")
        for card in found.cards:
            table.add_row(card.label, f"{card.moment:%Y-%m-%d %H:%M:%S}", f"{card.size / 1024**2:.1f}", card.parent or "-")
        Console(file=self.stdout, width=None if self.stdout.isatty() else 200).print(table)  # type: ignore[arg-type]


def _as_json(found: Standing, now: datetime) -> dict[str, Any]:
    return {
        "from": found.window_from.isoformat() if found.window_from else None,
        "until": found.window_until.isoformat() if found.window_until else None,
        "lag_seconds": found.lag_seconds(now),
        "offsite_until": found.shipped_until.isoformat() if found.shipped_until else None,
        "bytes": found.bytes,
        "bases": [{"label": card.label, "from": card.taken_at, "kind": card.kind, "bytes": card.size} for card in found.cards],
        "slot": found.slot,
        "gaps": found.gaps,
        "missing": found.missing,
        "damaged": found.damaged,
    }


def _told(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment else "never"
