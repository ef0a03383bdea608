from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from tenants.actions import close_cafeteria
from tenants.management.lifecycle import LifecycleCommand


class Command(LifecycleCommand):
    help = "Closes a cafeteria for good: its site answers 404, its data is dropped after CLOSED_KEEP_DAYS."
    action = staticmethod(close_cafeteria)
    done = "{slug} is closed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *_args: Any, **options: Any) -> None:
        if not options["yes"] and typed(f"Type {options['slug']} to close it for good: ") != options["slug"]:
            raise CommandError("Nothing was done.")
        super().handle(**options)


def typed(question: str) -> str:
    try:
        return input(question).strip()
    except EOFError:
        raise CommandError("Nothing was done: there is nobody to ask. With --yes it does not ask.") from None
