import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.table import Column, Table

from tenants.models import Cafeteria
from tenants.routing import site_url

COLUMNS = ("id", "slug", "name", "status", "schema_name", "currency", "timezone", "owner_id")
WHOLE = 1_000  # Columns: in a file or a pipe nothing is cut.


class Command(BaseCommand):
    help = "Lists the cafeterias."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--status", choices=Cafeteria.Status.values, help="only those of this status")
        parser.add_argument("--json", action="store_true", help="one JSON object a line")

    def handle(self, *_args: Any, **options: Any) -> None:
        found = Cafeteria.objects.order_by("id")
        if options["status"]:
            found = found.filter(status=options["status"])
        if options["json"]:
            for row in found.values(*COLUMNS).iterator():
                self.stdout.write(json.dumps({**row, "url": site_url(row["slug"])}, ensure_ascii=False))
            return
        table = Table("id", Column("slug", overflow="fold"), "name", "status", "currency", "time zone", Column("address", overflow="fold"))
        for cafeteria in found:
            table.add_row(
                str(cafeteria.pk),
                cafeteria.slug,
                cafeteria.name,
                cafeteria.status,
                cafeteria.currency,
                cafeteria.timezone,
                site_url(cafeteria.slug),
            )
        width = None if self.stdout.isatty() else WHOLE
        Console(file=self.stdout, width=width).print(table)  # type: ignore[arg-type]
