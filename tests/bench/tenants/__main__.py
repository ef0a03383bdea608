"""What cafeterias cost when there are many: `python -m tests.bench.tenants [COUNT] [openings]`, on a PostgreSQL of its own."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from config.dev.postgres import embedded_database


def main(count: int, *, only_openings: bool) -> None:
    folder = Path(tempfile.mkdtemp(prefix="comanda-bench-"))
    folder.chmod(0o755)
    os.environ |= {"COMANDA_DATA": str(folder), "SECRET_KEY": "only-for-benches-" + "x" * 40, "PUBLIC_URL": "http://localhost:8000"}
    os.environ["VAULT_KEYS"] = "b25seS1mb3ItYmVuY2hzb25seS1mb3ItYmVuY2hzMTE="
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    try:
        with embedded_database(folder) as url:
            os.environ["DATABASE_URL"] = url
            from tests.bench.tenants.measures import run_all  # noqa: PLC0415 - needs the settings

            run_all(count, folder, only_openings=only_openings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    counts = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    main(counts[0] if counts else 1_000, only_openings="openings" in sys.argv)
