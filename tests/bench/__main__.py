"""`make bench`: runs the benches named on the command line, or all, one after another. Each prints its own table.

Options after the name are the bench's own, e.g. `python -m tests.bench chaos --payments 500`.
"""

import importlib
import sys
from itertools import takewhile

BENCHES = {
    "hot_path": "tests.bench.hot_path",
    "tenancy": "tests.bench.tenants",
    "restores": "tests.bench.restores",
    "moments": "tests.bench.moments",
    "archive": "tests.bench.archive",
    "archive_deaths": "tests.bench.archive.deaths",
    "money_back": "tests.bench.restores.money_back",
    "restore_deaths": "tests.bench.restores.deaths",
    "restore_under_load": "tests.bench.restores.under_load",
    "webhooks": "tests.bench.payments.webhooks",
    "chaos": "tests.bench.payments.chaos",
    "stack": "tests.bench.stack",
    "rolling": "tests.bench.rolling",
    "deaths": "tests.bench.deaths",
    "soak": "tests.bench.soak",
    "neighbours": "tests.bench.neighbours",
    "menus": "tests.bench.menus",
    "alerts": "tests.bench.alerts",
}


def main() -> None:
    named = list(takewhile(lambda argument: not argument.startswith("-"), sys.argv[1:]))
    options, wanted = sys.argv[1 + len(named) :], named or list(BENCHES)
    unknown = [name for name in wanted if name not in BENCHES]
    if unknown:
        sys.exit(f"There is no bench {', '.join(unknown)}. There are: {', '.join(BENCHES)}.")
    for name in wanted:
        importlib.import_module(BENCHES[name]).main(*([options] if options else []))


if __name__ == "__main__":
    main()
