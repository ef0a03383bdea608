from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Refused(BaseCommand):
    """In place of django-tenants' commands: they switch schemas with a session-level SET that our backend does not send."""

    help = "Refused: see migrate_fleet, cafeterias, open_cafeteria, close_cafeteria."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("ignored", nargs="*")

    def handle(self, *_args: Any, **_options: Any) -> None:
        raise CommandError(
            "This command of django-tenants does not know Comanda's scopes and would write into the public schema. "
            "Use migrate_fleet, cafeterias, open_cafeteria, suspend_cafeteria, resume_cafeteria or close_cafeteria."
        )
