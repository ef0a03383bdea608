import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.jobs.cluster import PATIENCE_SECONDS, cluster_pid_path, run_cluster
from core.jobs.models import Queue
from core.jobs.processes import AlreadyRunning


class Command(BaseCommand):
    help = "Run the jobs of a queue until stopped. Its process id is in run/worker-<queue>.pid of the data folder."
    requires_system_checks = ()  # They load every URL, which a worker never serves, and would keep in its memory.

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("queue", choices=Queue.values)
        parser.add_argument(
            "--patience", type=float, default=PATIENCE_SECONDS, metavar="SECONDS", help="For a former worker to end (%(default)s)."
        )

    def handle(self, *, queue: str, patience: float, **_: Any) -> None:
        go_past_the_pooler()
        try:
            status = run_cluster(queue, patience=patience)
        except AlreadyRunning as error:
            raise CommandError(f"The {queue} queue's worker of this data folder runs already ({cluster_pid_path(queue)}).") from error
        sys.exit(status)


def go_past_the_pooler() -> None:
    """Start anew with the direct address, when there is one: a worker's settings of the session would leak through a pooler."""
    direct = settings.DATABASE_DIRECT_URL
    if direct and os.environ.get("DATABASE_URL") != direct:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "DATABASE_URL": direct})  # noqa: S606
