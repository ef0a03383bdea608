from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import AppError
from ops.archive.bases import take_base
from ops.archive.moments import folder_of_settings
from ops.archive.source import source_of_settings


class Command(BaseCommand):
    help = "Takes a base backup of the whole cluster now, and verifies it. Moments are had from the newest base before them."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--full", action="store_true", help="not one that stands on the newest")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            card = take_base(folder_of_settings(), source_of_settings(), full=options["full"])
        except (AppError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{card.label}: {card.size / 1024**2:.1f} MB, verified. Any moment from {card.moment:%Y-%m-%d %H:%M:%S} UTC on.")
