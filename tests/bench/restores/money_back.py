"""`python -m tests.bench money_back`: a cafeteria goes back behind 500 payments and 40 refunds. None of the money may move again.

The emulator of Mercado Pago is a process of its own. What is late when it goes back (payments that nobody was told of, refunds that are not
sent yet) is part of it.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from config.dev.environment import new_backup_key
from config.dev.postgres import embedded_database
from tests.bench.payments.chaos import environment


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench money_back", description=__doc__)
    parser.add_argument("--payments", type=int, default=500)
    parser.add_argument("--refunds", type=int, default=40)
    options = parser.parse_args(arguments or [])
    with tempfile.TemporaryDirectory(prefix="comanda-money-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with embedded_database(folder) as url:
            os.environ.update(environment(url, folder) | {"BACKUP_KEYS": new_backup_key()})
            from tests.bench.restores.money import run  # noqa: PLC0415 - needs the settings

            if not run(folder, payments=options.payments, refunds=options.refunds):
                sys.exit(1)
