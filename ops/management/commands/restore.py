import sys
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from core.errors import AppError
from core.jobs import enqueue
from core.jobs.queries import job_by_id
from ops.backups.actions import backup_by_id
from ops.backups.bundles.keys import bundle_keys
from ops.backups.offsite.actions import fetch_bundle
from ops.backups.queries import newest_backup
from ops.management.following import follow, kept_here
from ops.restores.actions import PARTS, restore_by_id, start_preview, start_restore
from ops.restores.clones import clone_by_id, start_clone
from ops.restores.keeping import COPY_DAYS, LONGEST_DAYS
from ops.restores.models import Clone, Restore
from tenants.queries import ref_by_slug
from tenants.refs import TenantRef
from tenants.routing import site_url

BY = "command line"


class Command(BaseCommand):
    help = (
        "Puts one cafeteria back: beside the live one, verified, then exchanged in seconds; undo_restore takes it back for 7 days. "
        "What was paid since then is put back from the ledger. With --as it stays as it is, and a harmless copy is made beside it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="the cafeteria, as in its address")
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--backup", help="the id of a backup (backup_status lists them), or: newest")
        source.add_argument(
            "--at",
            metavar="MOMENT",
            help="any moment of the archive, e.g. 2026-11-24T12:00:00Z; without an offset, by the cafeteria's clock",
        )
        source.add_argument("--file", type=Path, help="a bundle")
        source.add_argument("--from-s3", metavar="URL", help="a bundle in any S3 that the S3_* settings reach: s3://bucket/key")
        parser.add_argument(
            "--as", dest="copy", metavar="SLUG", help="make a copy at this new address, for its owner alone; nothing goes back"
        )
        parser.add_argument("--with-staff", action="store_true", help="with --as: its staff can sign in at the copy with their passwords")
        parser.add_argument(
            "--keep-days",
            type=int,
            choices=range(LONGEST_DAYS + 1),
            metavar="N",
            help=f"with --as: the copy is closed by itself after so many days ({COPY_DAYS} if not said; 0: only by somebody)",
        )
        parser.add_argument("--preview", action="store_true", help="only say what would change")
        parts = parser.add_mutually_exclusive_group()
        parts.add_argument("--database-only", action="store_true", help="leave the pictures alone")
        parts.add_argument("--files-only", action="store_true", help="only put missing pictures back")
        parser.add_argument("--force", action="store_true", help="do not ask")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            bundle_keys()
            ref = ref_by_slug(options["slug"])
            self._check(options)
            source = self._source(ref, options)
            if options["preview"]:
                self._preview(ref, source)
            elif options["copy"]:
                self._copy(ref, source, options)
            else:
                self._restore(ref, source, options)
        except AppError as error:
            raise CommandError(str(error)) from error

    def _check(self, options: dict[str, Any]) -> None:
        if options["copy"] and (options["preview"] or options["database_only"] or options["files_only"]):
            raise CommandError("A copy is made whole, and changes nothing that could be previewed: leave the other options away.")
        for option in ("with_staff", "keep_days"):
            if options[option] not in {None, False} and not options["copy"]:
                raise CommandError(f"--{option.replace('_', '-')} belongs to --as.")

    def _restore(self, ref: TenantRef, found: dict[str, Any], options: dict[str, Any]) -> None:
        self._confirm(ref, force=options["force"])
        parts = ("database",) if options["database_only"] else ("files",) if options["files_only"] else PARTS
        source: dict[str, Any] = {"cafeteria_uuid": ref.uuid, **found, "parts": parts, "by": BY}
        started = self._follow(lambda: start_restore(**source), what=f"Restore of {ref.slug}", is_local="file" in found)
        self._report(started.pk, ref.slug)

    def _copy(self, ref: TenantRef, found: dict[str, Any], options: dict[str, Any]) -> None:
        source: dict[str, Any] = {"cafeteria_uuid": ref.uuid, **found, "by": BY}
        keep_days = COPY_DAYS if options["keep_days"] is None else options["keep_days"]
        source |= {"slug": options["copy"], "with_staff": options["with_staff"], "keep_days": keep_days}
        started = self._follow(lambda: start_clone(**source), what=f"Copy of {ref.slug}", is_local="file" in found)
        copy = clone_by_id(started.pk)
        pictures, missing = copy.report["pictures"], len(copy.report["pictures_missing"])
        self.stdout.write(
            f"Done: {site_url(copy.slug)} is a copy of {ref.slug} as it was at {copy.moment:%Y-%m-%d %H:%M:%S} UTC, with "
            f"{copy.report['rows']} rows and {pictures} pictures{f' ({missing} are lost)' if missing else ''}. "
            f"It takes no money and sends nothing. Its owner enters it from the platform. {self._end(copy)}"
        )

    def _end(self, copy: Clone) -> str:
        if copy.report["closes_at"] is None:
            return "It stays until somebody closes it."
        return f"It is closed by itself on {copy.report['closes_at']:.10}; keep_copy {copy.slug} moves that."

    def _follow[Started: (Restore, Clone)](self, start: Callable[[], Started], *, what: str, is_local: bool) -> Started:
        """What a file of this machine is needed for is not left to another machine's worker."""
        claim, started = None, None
        if is_local:
            claim, started = kept_here(start, job_of=lambda added: added.job_id)
        started = started or start()
        assert started.job_id is not None
        follow(job_by_id(started.job_id), what=what, out=self.stdout, claim=claim)
        return started

    def _source(self, ref: TenantRef, options: dict[str, Any]) -> dict[str, Any]:
        """A backup's id as backup_id, a moment as at, or a bundle on this machine as file."""
        if options["at"]:
            return {"at": self._moment(ref, options["at"])}
        if options["from_s3"]:
            return {"file": str(fetch_bundle(options["from_s3"]))}
        if options["file"] is not None:
            return {"file": str(options["file"].resolve())}
        if options["backup"] == "newest":
            backup = newest_backup(ref.uuid)
        else:
            try:
                backup = backup_by_id(UUID(options["backup"]), cafeteria_uuid=ref.uuid)
            except ValueError:
                raise CommandError(f"{options['backup']} is no backup's id. backup_status {ref.slug} lists them.") from None
        return {"backup_id": backup.pk}

    def _moment(self, ref: TenantRef, text: str) -> datetime:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise CommandError(
                f"{text} is no moment. Write it like 2026-11-24T12:00:00Z, or 2026-11-24T09:00 by the clock there."
            ) from None
        if found.tzinfo is None:
            found = found.replace(tzinfo=ref.zone)
            self.stdout.write(f"{found:%Y-%m-%d %H:%M:%S} in {ref.timezone} is {found.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC.")
        return found.astimezone(UTC)

    def _confirm(self, ref: TenantRef, *, force: bool) -> None:
        if force:
            return
        if not sys.stdin.isatty():
            raise CommandError("Nobody is here to confirm. Say --force.")
        self.stdout.write(f"{ref.name} goes back. What was written since then can be had back for 7 days with undo_restore.")
        if input(f"Type {ref.slug} to go on: ").strip() != ref.slug:
            raise CommandError("Nothing was done.")

    def _preview(self, ref: TenantRef, source: dict[str, Any]) -> None:
        what, claim = f"Preview of {ref.slug}", None
        if "file" not in source:
            job = start_preview(cafeteria_uuid=ref.uuid, **source)
        else:
            claim, job = kept_here(
                lambda: enqueue("ops.restores.jobs.preview", queue="long", cafeteria_uuid=ref.uuid, **source),
                job_of=lambda added: added.pk,
            )
        found = follow(job, what=what, out=self.stdout, claim=claim).result
        assert isinstance(found, dict)
        if not found["tables"]:
            self.stdout.write(f"Back to {found['moment']}. Nothing would change.")
            return
        self.stdout.write(f"Back to {found['moment']}. This would change:")
        table = Table("table", "rows now", "rows then", "lost", "back", "otherwise")
        for change in found["tables"]:
            table.add_row(change["table"], *(str(change[name]) for name in ("now", "then", "lost", "back", "changed")))
        Console(file=self.stdout, width=None if self.stdout.isatty() else 200).print(table)  # type: ignore[arg-type]
        for name, rows in found["rows"].items():
            for row in rows:
                self.stdout.write(f"{name} {row['change']}: {row['now'] or '-'} -> {row['then'] or '-'}")

    def _report(self, restore_id: UUID, slug: str) -> None:
        restore = restore_by_id(restore_id)
        if restore.moment is None:
            self.stdout.write(f"{restore.report.get('files_put_back', 0)} pictures were put back.")
            return
        money = restore.report["money"]["report"]
        self.stdout.write(
            f"Done: it is as it was at {restore.moment:%Y-%m-%d %H:%M:%S} UTC, and was away for {restore.away_seconds or 0:.1f} s. "
            f"Money since then: {money['payments']} movements, {money['paid']} paid, {money['refunded']} refunded, "
            f"{len(money['recreated'])} paid orders made again. Undo until {restore.undo_until:%Y-%m-%d}: undo_restore {slug}"
        )
