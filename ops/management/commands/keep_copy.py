from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import AppError
from ops.restores.keeping import COPY_DAYS, LONGEST_DAYS, keep_copy


class Command(BaseCommand):
    help = "Says how long a copy of a cafeteria stays from now on: after that it is closed by itself, and its data dropped later."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="the copy, as in its address")
        parser.add_argument(
            "--days",
            type=int,
            choices=range(LONGEST_DAYS + 1),
            default=COPY_DAYS,
            metavar="N",
            help="from now on (%(default)s if not said; 0: until somebody closes it)",
        )

    def handle(self, *_args: Any, slug: str, days: int, **_options: Any) -> None:
        try:
            copy = keep_copy(slug=slug, days=days, by="command line")
        except AppError as error:
            raise CommandError(str(error)) from error
        until = f"is closed by itself on {copy.closes_at:%Y-%m-%d}" if copy.closes_at else "stays until somebody closes it"
        self.stdout.write(f"{slug} {until}.")
