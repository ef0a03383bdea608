"""`python -m tests.bench restores [--cafeterias N] [--orders N] [--prove-all [--orders-each N]]`, on a PostgreSQL of its own."""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from config.dev.environment import new_backup_key
from config.dev.postgres import embedded_database

SOME = 50


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cafeterias", type=int, default=1_000)
    parser.add_argument("--orders", type=int, default=100_000, help="of the large one")
    parser.add_argument("--prove-all", action="store_true", help="back up and prove every one of the others, not 50 of them")
    parser.add_argument("--orders-each", type=int, default=0, help="of each of the others, when all are proven")
    options = parser.parse_args()
    proven = options.cafeterias if options.prove_all else min(SOME, options.cafeterias)
    folder = Path(tempfile.mkdtemp(prefix="comanda-bench-"))
    folder.chmod(0o755)
    os.environ |= {"COMANDA_DATA": str(folder), "SECRET_KEY": "only-for-benches-" + "x" * 40, "PUBLIC_URL": "http://localhost:8000"}
    os.environ |= {"VAULT_KEYS": "b25seS1mb3ItYmVuY2hzb25seS1mb3ItYmVuY2hzMTE=", "BACKUP_KEYS": new_backup_key()}
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    try:
        with embedded_database(folder) as url:
            os.environ["DATABASE_URL"] = url
            from tests.bench.restores.measures import run_all  # noqa: PLC0415 - needs the settings

            run_all(cafeterias=options.cafeterias, orders=options.orders, proven=proven, orders_each=options.orders_each)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
