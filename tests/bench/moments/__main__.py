"""`python -m tests.bench moments [--moments N]`, on a PostgreSQL of its own."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.own import own_comanda

MANAGE = Path(__file__).resolve().parents[3] / "manage.py"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--moments", type=int, default=50)
    options = parser.parse_args(arguments)
    with own_comanda("moments"):
        from tests.bench.moments.measures import run_all  # noqa: PLC0415 - needs the settings

        keeping = subprocess.Popen([sys.executable, str(MANAGE), "archive"])
        try:
            run_all(moments=options.moments)
        finally:
            keeping.terminate()
            keeping.wait(30)


if __name__ == "__main__":
    main()
