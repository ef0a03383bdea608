"""`python -m tests.bench archive [--losses N]`, on a PostgreSQL and a SeaweedFS of its own."""

import argparse
import sys
from collections.abc import Sequence

from tests.bench.own import own_comanda


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench archive", description=__doc__)
    parser.add_argument("--losses", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=70, help="of load before each: longer than twice the pause between two copies")
    options = parser.parse_args(arguments)
    with own_comanda("loss") as folder:
        from tests.bench.archive.losses import lose_all  # noqa: PLC0415 - needs the settings

        if not lose_all(folder, losses=options.losses, seconds=options.seconds):
            sys.exit(1)


if __name__ == "__main__":
    main()
