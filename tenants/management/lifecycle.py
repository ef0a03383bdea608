from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError

from core.errors import AppError
from tenants.models import Cafeteria
from tenants.queries import ref_by_slug


class LifecycleCommand(BaseCommand):
    """A command that does one action to one cafeteria."""

    action: ClassVar[Callable[..., Cafeteria]]
    done: ClassVar[str]  # what to say, with {slug}
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            cafeteria = type(self).action(cafeteria_id=ref_by_slug(options["slug"]).id)
        except AppError as error:
            raise CommandError(f"{options['slug']}: {error}") from error
        self.stdout.write(type(self).done.format(slug=cafeteria.slug))
