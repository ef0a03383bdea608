"""One large cafeteria's backup and restore, alone and with many beside it."""

import subprocess
import sys


def main(options: list[str] | None = None) -> None:
    """In a process of its own: it brings its own PostgreSQL before Django's settings are read."""
    subprocess.run([sys.executable, "-m", "tests.bench.restores", *(options or [])], check=True)
