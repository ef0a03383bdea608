import getpass
import secrets
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.actions import create_admin
from core.errors import AppError


class Command(BaseCommand):
    help = "Creates an admin of the platform. Asks for the password on a terminal; elsewhere, or with --generate, makes one and prints it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--name", default="")
        parser.add_argument("--generate", action="store_true", help="make a password and print it once")

    def handle(self, *_: Any, **options: Any) -> None:
        generated = "" if sys.stdin.isatty() and not options["generate"] else secrets.token_urlsafe(18)
        password = generated or _ask()
        try:
            user = create_admin(email=options["email"], full_name=options["name"] or options["email"].partition("@")[0], password=password)
        except AppError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{user.email} is an admin.")
        if generated:
            self.stdout.write(f"Password, shown this once: {generated}")


def _ask() -> str:
    first = getpass.getpass("Password: ")
    if first != getpass.getpass("Once more: "):
        raise CommandError("The two passwords differ. Nothing was created.")
    return first
