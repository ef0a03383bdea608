"""`make bench`: runs the benches named on the command line, or all, one after another. Each prints its own table."""

import importlib
import sys

BENCHES = {
    "hot_path": "tests.bench.hot_path",
    "tenancy": "tests.bench.tenants",
}


def main() -> None:
    wanted = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in wanted if name not in BENCHES]
    if unknown:
        sys.exit(f"There is no bench {', '.join(unknown)}. There are: {', '.join(BENCHES)}.")
    for name in wanted:
        importlib.import_module(BENCHES[name]).main()


if __name__ == "__main__":
    main()
