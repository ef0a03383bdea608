"""`python -m tests.bench moments [--moments N]`, on a PostgreSQL of its own."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from config.dev.environment import new_backup_key
from config.dev.postgres import embedded_database

MANAGE = Path(__file__).resolve().parents[3] / "manage.py"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--moments", type=int, default=50)
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="comanda-bench-"))
    folder.chmod(0o755)
    os.environ |= {"COMANDA_DATA": str(folder), "SECRET_KEY": "only-for-benches-" + "x" * 40, "PUBLIC_URL": "http://localhost:8000"}
    os.environ |= {"VAULT_KEYS": "b25seS1mb3ItYmVuY2hzb25seS1mb3ItYmVuY2hzMTE=", "BACKUP_KEYS": new_backup_key()}
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    try:
        with embedded_database(folder) as url:
            os.environ["DATABASE_URL"] = url
            import django  # noqa: PLC0415

            django.setup()
            from tests.bench.moments.measures import run_all  # noqa: PLC0415 - needs the settings

            keeping = subprocess.Popen([sys.executable, str(MANAGE), "archive"], env=os.environ)
            try:
                run_all(moments=options.moments)
            finally:
                keeping.terminate()
                keeping.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
