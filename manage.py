#!/usr/bin/env python
"""Comanda's command line. Without DATABASE_URL it uses the embedded server of the data folder, starting it when it is not running."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError

from config.dev.environment import development_environment


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        with development_environment():
            execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Comanda cannot start: {error}")
    except OperationalError as error:
        if has_code(error):
            raise  # The database answers: this one is for whoever reads tracebacks.
        reason = str(error).strip().splitlines()[0].removesuffix(".")
        sys.exit(f"Comanda cannot start: the database does not let it in ({reason}). Start it, or set DATABASE_URL to where it is.")


def has_code(error: OperationalError) -> bool:
    """Whether it is about a statement, and not about the connection."""
    return getattr(error.__cause__, "pgcode", None) is not None


if __name__ == "__main__":
    main()
