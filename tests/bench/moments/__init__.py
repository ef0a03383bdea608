"""Any moment against an oracle of it, and how much a loss would cost."""

import subprocess
import sys


def main(options: list[str] | None = None) -> None:
    """In a process of its own: it brings its own PostgreSQL before Django's settings are read."""
    subprocess.run([sys.executable, "-m", "tests.bench.moments", *(options or [])], check=True)
