#!/usr/bin/env python
"""Comanda's command line. Without DATABASE_URL it uses the embedded server of the data folder, starting it when it is not running."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from config.dev.environment import development_environment


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        with development_environment():
            execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Comanda cannot start: {error}")


if __name__ == "__main__":
    main()
