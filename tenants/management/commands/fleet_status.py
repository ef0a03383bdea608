import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Count

from tenants.models import Cafeteria, MigrationStatus
from tenants.provisioning.heads import current_head


class Command(BaseCommand):
    help = "Shows how many cafeterias are at which migration head, and which failed. Exit code 1 when any is behind."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--failed", action="store_true", help="only those that failed, one a line")

    def handle(self, *_args: Any, **options: Any) -> None:
        head = current_head()
        if not options["failed"]:
            self.heads(head)
        failed = MigrationStatus.objects.filter(state=MigrationStatus.State.FAILED).select_related("cafeteria").order_by("cafeteria_id")
        for status in failed:
            self.stdout.write(f"failed  {status.cafeteria.slug} ({status.attempts} attempts): {status.error}")
        if Cafeteria.objects.exclude(schema_head__in=["", head]).exists():
            sys.exit(1)

    def heads(self, head: str) -> None:
        self.stdout.write(f"The code's head is {head}.")
        counts = Cafeteria.objects.exclude(schema_head="").values("schema_head").annotate(count=Count("id")).order_by("-count")
        for row in counts.values_list("schema_head", "count"):
            note = "" if row[0] == head else "  behind: run migrate_fleet"
            self.stdout.write(f"{row[1]:>6}  {row[0]}{note}")
