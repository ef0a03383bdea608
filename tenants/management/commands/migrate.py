from typing import Any

from django.core.management.commands.migrate import Command as DjangoCommand

from tenants.fleet.public import migrate_public


class Command(DjangoCommand):
    help = "Migrates the public schema. The cafeterias' schemas are migrate_fleet's, which also does this."
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **options: Any) -> None:
        """Takes Django's options, as its test runner passes some, and heeds none: forward to the newest is the only way."""
        applied = migrate_public()
        if options["verbosity"] > 0:
            self.stdout.write("\n".join(f"Applied {name}" for name in applied) or "Nothing to do in public.")
