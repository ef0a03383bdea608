from typing import Any

from django.core.management.base import BaseCommand

from ops.backups.bundles.keys import new_key


class Command(BaseCommand):
    help = (
        "Prints a new key for BACKUP_KEYS. Put it at their front: new backups use it, old ones stay readable with the keys behind it. "
        "Keep it in two places that are not the backups'."
    )
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        self.stdout.write(new_key())
