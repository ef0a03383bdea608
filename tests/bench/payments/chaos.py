"""`python -m tests.bench chaos`: what tests.payments.chaos does, with ten thousand payments in the product's own time.

Processes as `make run` starts them, on a PostgreSQL of their own. `--hurry 5` lets an unseen payment's two minutes be over after 5 s.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from config.dev.postgres import embedded_database
from tests.bench.load import machine

DESCRIPTION = "Payments while everything goes wrong, and what has to hold in the end."


def main(arguments: list[str] | None = None) -> None:
    options = _options(arguments or [])
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # in order: nothing of it stays
    with tempfile.TemporaryDirectory(prefix="comanda-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with embedded_database(folder) as url:
            os.environ.update(environment(url, folder))
            if not _run(folder, options):
                sys.exit(1)


def environment(url: str, folder: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": url,
        "COMANDA_DATA": str(folder),
        "SECRET_KEY": "bench-" + "x" * 50,
        "VAULT_KEYS": "b25seS1mb3ItYmVuY2hzb25seS1mb3ItYmVuY2hzMTE=",
        "PUBLIC_URL": "http://localhost:8000",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "LOG_LEVEL": "ERROR",
    }


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench chaos", description=DESCRIPTION)
    parser.add_argument("--payments", type=int, default=10_000)
    parser.add_argument("--cafeterias", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--buyers", type=int, default=3, help="threads that buy")
    parser.add_argument("--minutes", type=float, default=45, help="the longest it may take")
    parser.add_argument("--kill-every", type=float, nargs=2, default=(10, 30), metavar="SECONDS", help="between two deaths: least and most")
    parser.add_argument("--most-kills", type=int, default=1_000_000)
    parser.add_argument("--hurry", type=float, help="seconds that stand for reconciliation's two minutes")
    return parser.parse_args(arguments)


def _run(folder: Path, options: argparse.Namespace) -> bool:
    import django  # noqa: PLC0415 - after the environment

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415

    call_command("migrate_fleet", verbosity=0)
    from tests.payments.chaos.run import QUICK, Pace, Run, new_run  # noqa: PLC0415
    from tests.payments.chaos.stage import set_up  # noqa: PLC0415
    from tests.payments.chaos.verdict import Verdict, judge  # noqa: PLC0415

    def show(run: Run, verdict: Verdict) -> None:
        orders = len(run.purchases)
        print(f"\n{options.payments} payments over {options.cafeterias} cafeterias, seed {options.seed}: {machine()}")
        print(f"{orders} orders bought in {run.bought_in:.0f} s ({orders / run.bought_in:.0f}/s), all settled after {run.took:.0f} s")
        print(f"workers: {run.stage.workers.kills} kills, {run.stage.workers.restarts} clusters started again")
        print(f"money at Mercado Pago to paid order: median {verdict.percentile(50):.1f} s, p90 {verdict.percentile(90):.1f} s, ", end="")
        print(f"p99 {verdict.percentile(99):.1f} s, worst {max(verdict.lags, default=0):.1f} s\n")
        for what, count in sorted(run.seen.items()):
            print(f"  {what:<40} {count:>8}")
        print()
        for row in verdict.rows:
            shown = [f"{len(value)} alike" if isinstance(value, list) else str(value) for value in (row.expected, row.found)]
            print(f"  {'holds' if row.holds else 'FAILS':<6} {row.what:<52} {shown[0]:>16} {shown[1]:>16}")
        print("\n".join(verdict.examples))

    rng = random.Random(options.seed)
    pace = Pace(
        seconds=options.minutes * 60,
        kill_every=tuple(options.kill_every),
        most_kills=options.most_kills,
        buyers=options.buyers,
        hurry=options.hurry,
    )
    with set_up(folder, cafeterias=options.cafeterias, rng=rng, **(QUICK if options.hurry else {})) as stage:
        began = time.monotonic()
        run = new_run(stage, pace, payments=options.payments, rng=rng, say=lambda line: print(line, flush=True))
        run.perform()
        verdict = judge(run)
        show(run, verdict)
        print(f"\nAll of it: {time.monotonic() - began:.0f} s. {'Everything holds.' if verdict.holds else 'It does not hold.'}")
    return verdict.holds
