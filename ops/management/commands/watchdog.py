import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from core.jobs.models import Queue
from ops.watchdog import LOOK_SECONDS, check_once, watch


class Command(BaseCommand):
    help = "Watch the job clusters from outside. Logs what is wrong; with --restart, ends a stalled one for its supervisor to start anew."

    requires_system_checks = ()  # Whatever else is broken, it watches.

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="Look once and exit, with 1 when something is wrong.")
        parser.add_argument("--restart", action="store_true", help="End a stalled cluster of this machine.")
        parser.add_argument("--queue", choices=Queue.values, help="Look at this one alone, as a container sees only its own cluster.")
        parser.add_argument("--pause", type=float, default=LOOK_SECONDS, metavar="SECONDS", help="Between two looks (%(default)s).")

    def handle(self, *, once: bool, restart: bool, pause: float, queue: str | None, **_: Any) -> None:
        queues = [queue] if queue else Queue.values
        if not once:
            watch(restart=restart, pause=pause, queues=queues)
        problems = check_once(queues)
        for problem in problems:
            self.stderr.write(str(problem))
        sys.exit(1 if problems else 0)
