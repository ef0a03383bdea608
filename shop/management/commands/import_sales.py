from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from core.errors import AppError
from core.money import as_text
from shop.orders.imports import actions
from shop.orders.imports.actions import SalesImported
from shop.orders.imports.forms import read_names
from tenants.errors import CafeteriaNotFound
from tenants.queries import ref_by_slug
from tenants.refs import TenantRef
from tenants.scope import tenant_scope


class Command(BaseCommand):
    help = (
        "Imports a cafeteria's past sales from a CSV file with the header date,time,transaction,item and one line for each thing sold "
        "(2026-03-31,17:05:00,1204,Latte; times in the cafeteria's zone). Prices come from today's menu. All or nothing; what an earlier "
        "import brought is not brought again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="the cafeteria, as in its address")
        parser.add_argument("file", type=Path, help="the CSV file, in UTF-8")
        parser.add_argument(
            "--names",
            type=Path,
            help='JSON that says what the menu calls a thing, null to leave it out: {"Latte": "Café con leche", "Void": null}',
        )
        parser.add_argument("--background", action="store_true", help="let a worker do it, as a job")

    def handle(self, *_: Any, slug: str, file: Path, names: Path | None, background: bool, **_options: Any) -> None:
        cafeteria = self._cafeteria(slug)
        raw = self._read(file)
        try:
            meant = None if names is None else read_names(self._read(names))
            if background:
                job = actions.enqueue_sales_import(cafeteria=cafeteria, raw=raw, names=meant)
                self.stdout.write(f"A worker imports it: job {job.pk}.")
            else:
                self._report(cafeteria, self._import(cafeteria, raw, meant))
        except AppError as error:
            raise CommandError(str(error)) from error

    def _import(self, cafeteria: TenantRef, raw: bytes, names: Mapping[str, str | None] | None) -> SalesImported:
        with progress_bar() as show, tenant_scope(cafeteria, also_suspended=True):
            return actions.import_sales(raw=raw, names=names, progress=show)

    def _report(self, cafeteria: TenantRef, done: SalesImported) -> None:
        revenue = f"{as_text(done.revenue, cafeteria.currency)} {cafeteria.currency}"
        self.stdout.write(f"{cafeteria.name}: {done.imported} tickets of {done.days} days imported, {revenue} at today's prices.")
        if done.known:
            self.stdout.write(f"{done.known} tickets were there already.")
        if done.left_out:
            self.stdout.write(f"{done.left_out} lines that sold nothing were left out.")

    def _cafeteria(self, slug: str) -> TenantRef:
        try:
            return ref_by_slug(slug)
        except CafeteriaNotFound as error:
            raise CommandError(f'There is no cafeteria "{slug}".') from error

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error


@contextmanager
def progress_bar() -> Iterator[actions.Progress]:
    """Shown on a terminal only."""
    console = Console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("Reading the file", total=1.0)
        yield lambda share, message: bar.update(task, completed=share, description=message)
