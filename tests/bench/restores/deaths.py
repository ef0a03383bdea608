"""`python -m tests.bench restore_deaths`: restores, undos and copies killed at every step, on a PostgreSQL of their own."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from config.dev.environment import new_backup_key
from config.dev.postgres import embedded_database
from tests.bench.payments.chaos import environment


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench restore_deaths", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="which steps: every Nth")
    parser.add_argument("--rounds", type=int, default=10, help="deaths at random, of each kind")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments or [])
    with tempfile.TemporaryDirectory(prefix="comanda-deaths-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with embedded_database(folder) as url:
            os.environ.update(environment(url, folder) | {"BACKUP_KEYS": new_backup_key(), "LOG_LEVEL": "CRITICAL"})
            if not _run(folder, options):
                sys.exit(1)


def _run(folder: Path, options: argparse.Namespace) -> bool:
    import django  # noqa: PLC0415 - after the environment

    django.setup()
    from tenants.fleet.public import migrate_public  # noqa: PLC0415
    from tests.ops.restores.deaths import new_deaths, seconds_of  # noqa: PLC0415
    from tests.world import build_world  # noqa: PLC0415

    migrate_public()
    deaths = new_deaths(build_world("luna", "sol").a, folder, seed=options.seed)
    took = seconds_of(lambda: deaths.run_all(every=options.every, rounds=options.rounds))
    print(f"{took:.0f} s: {', '.join(f'{count} {what}' for what, count in sorted(deaths.counts.items()))}")
    print("\n".join(deaths.problems) or "Every time the live cafeteria was whole, and what had died was gone on with; nothing is left.")
    return not deaths.problems


if __name__ == "__main__":
    main(sys.argv[1:])
