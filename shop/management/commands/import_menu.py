from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import AppError
from shop.menu.actions import import_menu
from shop.menu.imports.errors import MenuFileRefused
from shop.menu.imports.forms import WANTED
from tenants.errors import CafeteriaNotFound
from tenants.queries import ref_by_slug
from tenants.scope import tenant_scope


class Command(BaseCommand):
    help = (
        f"Makes and changes a cafeteria's products after a CSV file in UTF-8 with the header {WANTED}. A product is known by its category "
        "and name; those that are not in the file stay. All or nothing: what is wrong is named by line and column."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="the cafeteria, as in its address")
        parser.add_argument("file", type=Path, help="the CSV file")

    def handle(self, *_: Any, slug: str, file: Path, **_options: Any) -> None:
        try:
            raw = file.read_bytes()
            with tenant_scope(ref_by_slug(slug), also_suspended=True) as cafeteria:
                done = import_menu(raw=raw)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        except CafeteriaNotFound as error:
            raise CommandError(f'There is no open cafeteria "{slug}".') from error
        except MenuFileRefused as refused:
            raise CommandError("\n".join(["Nothing was imported.", *map(str, refused.rows)])) from refused
        except AppError as error:
            raise CommandError(str(error)) from error
        created, updated, unchanged = (done.count(result) for result in ("created", "updated", "unchanged"))
        self.stdout.write(f"{cafeteria.name}: {created} products created, {updated} updated, {unchanged} unchanged.")
