import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Column, Table

from core.money import as_text
from shop.money.books.actions import Books, check_all_books, check_books
from tenants.errors import CafeteriaNotFound
from tenants.queries import ref_by_slug

WHOLE = 1_000  # Columns: in a file or a pipe nothing is cut.


class Command(BaseCommand):
    help = (
        "Compares each cafeteria's orders with its ledger: sums, statuses, currencies. Changes nothing; what is wrong is said and raises "
        "the alert payments.books_differ, and it ends with 1. Runs every night as a job."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--cafeteria", metavar="SLUG", help="only this one")
        parser.add_argument("--all", action="store_true", help="list those whose books are right as well")

    def handle(self, *_args: Any, **options: Any) -> None:
        found = list(self._checked(options["cafeteria"]))
        wrong = [books for books in found if not books.right]
        shown = found if options["all"] or options["cafeteria"] else wrong
        if shown:
            self._show(shown)
        orders, entries = sum(books.orders for books in found), sum(books.entries for books in found)
        self.stdout.write(f"{len(found)} cafeterias, {orders} orders, {entries} entries: {len(wrong) or 'none'} wrong.")
        if wrong:
            sys.exit(1)

    def _checked(self, slug: str | None) -> Iterable[Books]:
        if not slug:
            return check_all_books()
        try:
            return [check_books(ref_by_slug(slug))]
        except CafeteriaNotFound as error:
            raise CommandError(f'There is no cafeteria "{slug}".') from error

    def _show(self, found: list[Books]) -> None:
        numbers = [Column(name, justify="right") for name in ("orders", "paid", "entries", "ledger")]
        table = Table(Column("cafeteria", overflow="fold"), *numbers, "currency", Column("what is wrong", overflow="fold"))
        for books in found:
            currency = books.ref.currency
            said = [str(problem) for problem in books.problems] or [books.error and f"could not be read: {books.error}"]
            sums = (str(books.orders), as_text(books.paid, currency), str(books.entries), as_text(books.ledger, currency))
            table.add_row(books.ref.slug, *sums, currency, "\n".join(said))
        width = None if self.stdout.isatty() else WHOLE
        Console(file=self.stdout, width=width).print(table)  # type: ignore[arg-type]
