"""`python -m tests.bench restore_deaths`: restores, undos and copies killed at every step, on a PostgreSQL of their own."""

import argparse
import sys
from pathlib import Path

from tests.bench.own import conclude, own_comanda


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench restore_deaths", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="which steps: every Nth")
    parser.add_argument("--rounds", type=int, default=10, help="deaths at random, of each kind")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments or [])
    with own_comanda("deaths") as folder:
        if not _run(folder, options):
            sys.exit(1)


def _run(folder: Path, options: argparse.Namespace) -> bool:
    from tenants.fleet.public import migrate_public  # noqa: PLC0415 - needs the settings
    from tests.ops.restores.deaths import new_deaths, seconds_of  # noqa: PLC0415
    from tests.world import build_world  # noqa: PLC0415

    migrate_public()
    deaths = new_deaths(build_world("luna", "sol").a, folder, seed=options.seed)
    took = seconds_of(lambda: deaths.run_all(every=options.every, rounds=options.rounds))
    well = "Every time the live cafeteria was whole, and what had died was gone on with; nothing is left."
    return conclude(deaths, seconds=took, well=well)


if __name__ == "__main__":
    main(sys.argv[1:])
