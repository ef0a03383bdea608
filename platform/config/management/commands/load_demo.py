from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.demo.load import load_demo
from core.errors import AppError
from shop.management.commands.import_sales import progress_bar


class Command(BaseCommand):
    help = "Brings in the demo: three cafeterias with menus, people, orders and a bakery's past sales. Does nothing when it is there."

    def handle(self, *_: Any, **_options: Any) -> None:
        try:
            with progress_bar() as show:
                loaded = load_demo(say=lambda message: show(0.0, message), progress=show)
        except AppError as error:
            raise CommandError(str(error)) from error
        self.stdout.write("The demo is loaded." if loaded else "The demo is there already.")
