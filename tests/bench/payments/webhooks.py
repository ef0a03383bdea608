"""`python -m tests.bench webhooks`: how fast notifications are answered, and that what was answered with 200 is there after a kill.

The web process as `make run` starts it, on a PostgreSQL of its own with fsync. The sender shares the machine's cores with all of it.
"""

import argparse
import asyncio
import itertools
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from config.dev.postgres import embedded_database
from tests.bench.load import free_port, machine, wait_for_port
from tests.bench.payments.chaos import environment
from tests.bench.payments.open_loop import Address, Load, send

SELLERS, GOAL = 20, 50.0  # milliseconds
REPOSITORY = Path(__file__).resolve().parents[3]


def main(arguments: list[str] | None = None) -> None:
    options = _options(arguments or [])
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # in order: nothing of it stays
    with tempfile.TemporaryDirectory(prefix="comanda-webhooks-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        url = stack.enter_context(embedded_database(folder))
        os.environ.update(environment(url, folder))
        import django  # noqa: PLC0415 - after the environment

        django.setup()
        if not _measure(folder, options):
            sys.exit(1)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench webhooks")
    parser.add_argument("--rate", type=float, default=200, help="notifications a second")
    parser.add_argument("--seconds", type=float, default=30, help="for each measure")
    return parser.parse_args(arguments)


def _measure(folder: Path, options: argparse.Namespace) -> bool:
    from django.core.management import call_command  # noqa: PLC0415
    from django.test.utils import override_settings  # noqa: PLC0415

    call_command("migrate_fleet", verbosity=0)
    from tests.emulator.process import running_emulator  # noqa: PLC0415
    from tests.payments.application import NAMES, connected, environment_of  # noqa: PLC0415
    from tests.payments.chaos.stage import opened  # noqa: PLC0415
    from tests.processes import manage  # noqa: PLC0415

    rate, seconds, ids = options.rate, options.seconds, itertools.count(10**11)
    with running_emulator(folder) as emulator, opened(SELLERS) as places:
        theirs = environment_of(emulator)
        with override_settings(**{name: theirs[name] for name in (*NAMES, "MERCADOPAGO_URL", "MERCADOPAGO_AUTH_URL")}):
            sellers = [connected(emulator, place.ref.uuid) for place in places]
        addresses = [Address(key=seller.webhook_key, user_id=seller.mp_user_id) for seller in sellers]
        secret = theirs["MERCADOPAGO_WEBHOOK_SECRET"]
        print(
            f"\nWebhooks: {machine()}\n{rate:.0f} a second for {seconds:.0f} s, {SELLERS} sellers, each notification of another payment\n"
        )
        with web(folder, theirs) as (port, _):
            asyncio.run(send(port, addresses, secret=secret, rate=50, seconds=3, ids=ids))
            alone = asyncio.run(send(port, addresses, secret=secret, rate=rate, seconds=seconds, ids=ids))
            flooded, forged = asyncio.run(_with_forgeries(port, addresses, secret, options, ids))
            with manage("worker", "short", data_folder=folder, LOG_LEVEL="ERROR", **theirs):
                worked = asyncio.run(send(port, addresses, secret=secret, rate=rate, seconds=seconds, ids=ids))
        rows = [
            ("the web process alone", alone),
            (f"beside {2 * rate:.0f} forged ones a second", flooded),
            ("those forged ones", forged),
            ("while a worker asks about each of them", worked),
        ]
        for what, load in rows:
            _row(what, load)
        lost, extra = _killed(folder, theirs, addresses, secret, options, ids)
        print(f"\nkilled by SIGKILL: {lost} answered with 200 and not in the inbox, {extra} in the inbox and not answered")
    return lost == 0 and alone.percentile(99) < GOAL


async def _with_forgeries(
    port: int, addresses: list[Address], secret: str, options: argparse.Namespace, ids: Iterator[int]
) -> tuple[Load, Load]:
    good = send(port, addresses, secret=secret, rate=options.rate, seconds=options.seconds, ids=ids)
    bad = send(port, addresses, secret=secret, rate=2 * options.rate, seconds=options.seconds, ids=ids, signed=False)
    first, second = await asyncio.gather(good, bad)
    return first, second


def _killed(
    folder: Path, theirs: dict[str, str], addresses: list[Address], secret: str, options: argparse.Namespace, ids: Iterator[int]
) -> tuple[int, int]:
    """(answered and lost, stored and not answered) when every process of the web server dies in the middle of the load."""
    from payments.inbox.models import Notification  # noqa: PLC0415

    before = set(Notification.objects.values_list("request_id", flat=True))
    with web(folder, theirs) as (port, process):

        async def both() -> Load:
            load = asyncio.create_task(send(port, addresses, secret=secret, rate=options.rate, seconds=8, ids=ids))
            await asyncio.sleep(4)
            os.killpg(process.pid, signal.SIGKILL)
            return await load

        load = asyncio.run(both())
    stored = set(Notification.objects.values_list("request_id", flat=True)) - before
    answered = set(load.acknowledged)
    print(f"\n{len(answered)} answered with 200 until the kill, {len(stored)} in the inbox, {load.statuses[None]} without an answer")
    return len(answered - stored), len(stored - answered)


@contextmanager
def web(folder: Path, theirs: dict[str, str]) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """The command of `make run`, in a process group of its own."""
    from config.web import web_command  # noqa: PLC0415

    port, measurements = free_port(), folder / "measurements"
    measurements.mkdir(exist_ok=True)
    more = {**theirs, "LOG_LEVEL": "ERROR", "PROMETHEUS_MULTIPROC_DIR": str(measurements)}
    (folder / "static").mkdir(exist_ok=True)
    with (folder / "web.log").open("ab") as log:
        process = subprocess.Popen(
            web_command(port),
            cwd=REPOSITORY,
            env={**os.environ, **more},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for_port(port)
        yield port, process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _row(what: str, load: Load) -> None:
    answers = ", ".join(f"{status}: {count}" for status, count in sorted(load.statuses.items(), key=str))
    times = "   ".join(f"{name} {load.percentile(part):6.1f} ms" for name, part in (("p50", 50), ("p99", 99), ("worst", 100)))
    print(f"{what:<42} {times}   {answers}")


if __name__ == "__main__":
    main(sys.argv[1:])
