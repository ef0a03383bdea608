from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import AppError
from ops.archive.rescue import copy_as_of
from ops.backups.offsite.gateway import bucket_of_settings
from ops.management.commands.recover_cluster import Progress, moment


class Command(BaseCommand):
    help = (
        "An intruder was in the bucket: copies what stood in S3_BUCKET at a moment, by its versions, into another bucket there. "
        "Changes nothing in the first. Afterwards set S3_BUCKET to the new one. Needs no database; run again, it goes on."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--at", required=True, help="a moment before the intruder, with its offset, e.g. 2026-11-24T12:00:00Z")
        parser.add_argument("--to", required=True, help="the new bucket, which has to be there")

    def handle(self, *_args: Any, **options: Any) -> None:
        at = moment(options["at"])
        try:
            copied = copy_as_of(bucket_of_settings(), bucket_of_settings(options["to"]), at, step=Progress(self.stderr.isatty()))
        except AppError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{copied} objects of {at:%Y-%m-%d %H:%M:%S} UTC are in {options['to']}. Set S3_BUCKET={options['to']}.")
