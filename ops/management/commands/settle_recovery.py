from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ops.drills.actions import settle_recovery


class Command(BaseCommand):
    help = "Makes a database that was recovered from the archive fit to serve. Before the web's processes start; twice is no harm."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--moment", required=True, help="to which it was recovered, as 2026-11-24T12:00:00Z")

    def handle(self, *_: Any, moment: str, **__: Any) -> None:
        try:
            found = datetime.fromisoformat(moment)
        except ValueError:
            raise CommandError(f"{moment!r} is no moment. Write it as 2026-11-24T12:00:00Z.") from None
        settled = settle_recovery(moment=found if found.tzinfo else found.replace(tzinfo=UTC))
        self.stdout.write(
            f"Ids and order numbers of {settled.schemas} schemas go on after those of the lost time; everybody signs in again. "
            f"Mercado Pago is asked about {settled.payments} open payments and about what has changed since. "
            f"{settled.adopted} off-site backups are listed again."
        )
