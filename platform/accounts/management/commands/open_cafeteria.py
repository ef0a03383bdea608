from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from core.errors import AppError
from tenants.actions import open_cafeteria
from tenants.routing import site_url


class Command(BaseCommand):
    help = "Opens a cafeteria for an owner who has an account."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--owner", required=True, metavar="EMAIL")
        parser.add_argument("--slug", help="its address; by default made from the name")
        parser.add_argument("--timezone", default="America/Argentina/Buenos_Aires")
        parser.add_argument("--currency", default="ARS")

    def handle(self, *_args: Any, **options: Any) -> None:
        owner = User.objects.filter(email=options["owner"].strip().lower()).first()
        if owner is None:
            raise CommandError(f"Nobody has an account as {options['owner']}. The owner signs up first.")
        details = {name: options[name] for name in ("name", "slug", "timezone", "currency")}
        try:
            cafeteria = open_cafeteria(owner_id=owner.pk, owner_person={"email": owner.email, "full_name": owner.full_name}, **details)
        except AppError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{cafeteria.name} is open at {site_url(cafeteria.slug)}")
