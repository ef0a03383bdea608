import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ops.archive.keeping import ArchiveRuns, Keeper
from ops.archive.moments import folder_of_settings
from ops.archive.source import source_of_settings


class Command(BaseCommand):
    help = (
        "Keeps the archive by which any moment of the last days can be had: receives PostgreSQL's log, takes base backups, "
        "brings both off-site, lets go of what is old. Runs until it is stopped; one for a folder."
    )
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        keeper = Keeper(folder_of_settings(), source_of_settings())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: keeper.stopping.set())
        try:
            keeper.run()
        except ArchiveRuns:
            raise CommandError(f"Another process keeps the archive in {keeper.folder.root}.") from None
