"""The database is lost under load: how many seconds of committed rows do not come back out of the archive, and out of S3 alone."""

import subprocess
import sys


def main(options: list[str] | None = None) -> None:
    """In a process of its own: it brings its own PostgreSQL before Django's settings are read."""
    subprocess.run([sys.executable, "-m", "tests.bench.archive", *(options or [])], check=True)
