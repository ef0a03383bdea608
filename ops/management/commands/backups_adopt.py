import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import AppError
from ops.backups.offsite.adopting import adopt_offsite


class Command(BaseCommand):
    help = "Lists the backups that are off-site and that the database does not know, as after its loss. Exits with 1 when one is refused."

    def handle(self, **_: Any) -> None:
        try:
            found = adopt_offsite()
        except AppError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{found.adopted} backups adopted; {found.known} were known.")
        for slug, count in sorted(found.strangers.items()):
            self.stdout.write(f"{count} of {slug} left alone: that cafeteria is not in this database.")
        for key, why in sorted(found.refused.items()):
            self.stderr.write(f"{key}: {why}")
        sys.exit(1 if found.refused else 0)
