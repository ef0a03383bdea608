import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import AppError
from ops.management.following import follow
from ops.restores.actions import newest_restore, start_undo
from tenants.queries import ref_by_slug


class Command(BaseCommand):
    help = "Takes a cafeteria's newest restore back: what was live before it is live again. Possible for 7 days."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="the cafeteria, as in its address")
        parser.add_argument("--force", action="store_true", help="do not ask")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            ref = ref_by_slug(options["slug"])
            restore = newest_restore(ref.uuid)
            if not options["force"]:
                if not sys.stdin.isatty():
                    raise CommandError("Nobody is here to confirm. Say --force.")
                self.stdout.write(f"The restore of {restore.started_at:%Y-%m-%d %H:%M} UTC is taken back.")
                if input(f"Type {ref.slug} to go on: ").strip() != ref.slug:
                    raise CommandError("Nothing was done.")
            job = start_undo(restore_id=restore.pk, by="command line")
        except AppError as error:
            raise CommandError(str(error)) from error
        follow(job, what=f"Undo for {ref.slug}", out=self.stdout)
        self.stdout.write(f"{ref.slug} is as it was before the restore.")
