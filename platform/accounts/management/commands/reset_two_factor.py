from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import User
from accounts.second_factor.actions import reset_second_factor
from core.errors import AppError
from core.identity.emails import normalised_or_none


class Command(BaseCommand):
    help = (
        "Takes two-step verification from somebody who has lost their app and recovery codes, and signs them out everywhere. "
        "They hear of it by mail. Make sure that it is them who ask: docs/runbooks/second-factor.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")

    def handle(self, *_: Any, **options: Any) -> None:
        user = User.objects.filter(email=normalised_or_none(options["email"])).first()
        if user is None:
            raise CommandError(f"Nobody has an account as {options['email']}. Nothing was changed.")
        try:
            reset_second_factor(user=user)
        except AppError as error:
            raise CommandError(f"{user.email}: {error} Nothing was changed.") from error
        self.stdout.write(f"{user.email} signs in with the password alone, and is signed out everywhere.")
