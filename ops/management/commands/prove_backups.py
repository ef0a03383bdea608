from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import Progress

from core.errors import AppError
from ops.backups.bundles.keys import bundle_keys
from ops.backups.proofs import prove_due_backups


class Command(BaseCommand):
    help = (
        "Restores the newest backup of every cafeteria into a scratch schema, compares rows, sums, sequences and pictures, and takes it "
        "back. What was proven already is not proven again. Safe to stop and to start again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", nargs="?", default="", help="only this cafeteria's")
        parser.add_argument("--again", action="store_true", help="also what was proven already")

    def handle(self, *_args: Any, slug: str, again: bool, **_options: Any) -> None:
        try:
            bundle_keys()
        except AppError as error:
            raise CommandError(str(error)) from error
        with Progress(console=Console(stderr=True), disable=not self.stdout.isatty(), transient=True) as bar:
            task = bar.add_task("Proving", total=1.0)
            found = prove_due_backups(
                step=lambda fraction, what: bar.update(task, completed=fraction, description=f"Proving {what}"), only=slug, again=again
            )
        self.stdout.write(f"{found.proven} proven, {found.unchanged} proven before and unchanged.")
        if found.missing:
            self.stdout.write(f"Without any backup: {', '.join(found.missing)}")
        if found.failed or found.missing:
            raise CommandError(f"{len(found.failed)} failed: {', '.join(found.failed)}" if found.failed else "Some have no backup.")
