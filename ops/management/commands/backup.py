from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from core.errors import AppError
from core.jobs import enqueue
from ops.backups.actions import backup_by_id, file_of
from ops.backups.bundles.keys import bundle_keys
from ops.management.following import follow
from tenants.models import Cafeteria
from tenants.queries import ref_by_slug


class Command(BaseCommand):
    help = "Backs one cafeteria up now, or all of them, whatever has changed. The hourly backups need nobody."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", nargs="?", help="the cafeteria, as in its address")
        parser.add_argument("--all", action="store_true", help="every cafeteria that is not closed")

    def handle(self, *_args: Any, **options: Any) -> None:
        if bool(options["slug"]) == options["all"]:
            raise CommandError("Name one cafeteria, or say --all.")
        try:
            bundle_keys()
            slugs = self._slugs() if options["all"] else [ref_by_slug(options["slug"]).slug]
        except AppError as error:
            raise CommandError(str(error)) from error
        failed = [slug for slug in slugs if not self._backed_up(slug, alone=not options["all"])]
        if failed:
            raise CommandError(f"{len(failed)} of {len(slugs)} failed: {', '.join(failed[:20])}")

    def _slugs(self) -> list[str]:
        found = Cafeteria.objects.filter(copy_of=None).exclude(status=Cafeteria.Status.CLOSED).exclude(schema_head="")
        return list(found.order_by("id").values_list("slug", flat=True))

    def _backed_up(self, slug: str, *, alone: bool) -> bool:
        job = enqueue("ops.backups.jobs.backup", queue="long", cafeteria_uuid=ref_by_slug(slug).uuid, kind="manual")
        try:
            done = follow(job, what=f"Backup of {slug}", out=self.stdout)
        except CommandError as error:
            if alone:
                raise
            self.stderr.write(str(error))
            return False
        assert done.result is not None
        backup = backup_by_id(UUID(done.result["backup_id"]))
        self.stdout.write(f"{slug}: backup {backup.pk}, {backup.rows} rows, {backup.size / 1024:.0f} KiB, {file_of(backup)}")
        return True
