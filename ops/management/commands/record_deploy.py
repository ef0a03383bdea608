from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from core.audit.actions import record

OUTCOMES = ("deployed", "failed", "rolled_back", "rolled_back_by_hand")


class Command(BaseCommand):
    help = "Notes in the audit how a deploy has ended. deploy/staging.sh calls it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--release", required=True)
        parser.add_argument("--before", default="", help="the release that ran until then")
        parser.add_argument("--outcome", required=True, choices=OUTCOMES)
        parser.add_argument("--seconds", type=int, required=True)

    def handle(self, *, release: str, before: str, outcome: str, seconds: int, **_: Any) -> None:
        record(f"deploy.{outcome}", target=release[:120], label="deploy/staging.sh", before=before, seconds=seconds)
        self.stdout.write(f"{release}: {outcome.replace('_', ' ')} after {seconds} s")
