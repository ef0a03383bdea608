"""`python -m tests.bench archive [--losses N]`, on a PostgreSQL and a SeaweedFS of its own."""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from config.dev.environment import new_backup_key
from config.dev.postgres import embedded_database
from tests.bench.payments.chaos import environment


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench archive", description=__doc__)
    parser.add_argument("--losses", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=70, help="of load before each: longer than twice the pause between two copies")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="comanda-loss-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with embedded_database(folder) as url:
            os.environ.update(environment(url, folder) | {"BACKUP_KEYS": new_backup_key(), "LOG_LEVEL": "CRITICAL"})
            import django  # noqa: PLC0415

            django.setup()
            from tests.bench.archive.losses import lose_all  # noqa: PLC0415 - needs the settings

            if not lose_all(folder, losses=options.losses, seconds=options.seconds):
                sys.exit(1)


if __name__ == "__main__":
    main()
