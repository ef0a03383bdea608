"""The whole stack of the compose file by hand, with S3, the archive and all workers: smoke tests, journeys, each process killed in turn.

python -m tests.bench stack
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.load import machine
from tests.deploy.journeys import admin_looks, open_a_cafeteria, order_and_pay
from tests.deploy.stack import Stack, running_stack
from tests.deploy.test_stack import smoke

WORKERS = ("worker-short", "worker-long", "watchdog-short", "watchdog-long")


def main(_options: list[str] | None = None) -> None:
    print(f"\nThe stack by hand: {machine()}\n")
    with tempfile.TemporaryDirectory(prefix="stack-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        began = time.monotonic()
        with running_stack(
            folder, workers=("worker-short", "worker-long", "watchdog-short", "watchdog-long"), s3=True, archive=True
        ) as stack:
            print(f"up, migrated, behind its proxy                {time.monotonic() - began:6.1f} s")
            _walk(stack)
            _kill(stack)


def _walk(stack: Stack) -> None:
    stack.manage("open_smoke_cafeteria", "smoke")
    done = _timed("smoke tests", lambda: smoke(stack))
    if done.returncode:
        sys.exit(done.stdout)
    place = _timed("an owner signs up, opens, connects, writes", lambda: open_a_cafeteria(stack, "luna"))
    _timed("a guest orders and pays, until it is paid", lambda: order_and_pay(stack, place))
    _timed("an admin signs in", lambda: admin_looks(stack, "root@comanda.example"))
    _timed("a backup by the worker, to S3 as well", lambda: stack.manage("backup", "luna", service="worker-long"))
    print(stack.manage("archive_status", service="archive").strip())


def _kill(stack: Stack) -> None:
    """SIGKILL to each, then as its restart policy would: how long until a guest's order is paid again."""
    place = open_a_cafeteria(stack, "sol")
    for service, start in _restarts(stack).items():
        stack.kill(service)
        began = time.monotonic()
        start()
        while True:
            try:
                order_and_pay(stack, place, seconds=60)
                break
            except (AssertionError, OSError):
                if time.monotonic() - began > 120:
                    sys.exit(f"Nothing is paid two minutes after {service} was killed:\n{stack.log(service)}")
                time.sleep(0.5)
        print(f"killed: {service:<14} an order is paid after  {time.monotonic() - began:6.1f} s")


def _restarts(stack: Stack) -> dict[str, Callable[[], None]]:
    return {
        "web-a": lambda: stack.start_web("web-a"),
        "web-b": lambda: stack.start_web("web-b"),
        "worker-short": lambda: stack.start_workers("worker-short"),
        "pgbouncer": stack.start_pgbouncer,
        "postgres": stack.start_postgres,
        "proxy": stack.start_proxy,
        "mercadopago": stack.start_mercadopago,
    }


def _timed[Made](what: str, do: Callable[[], Made]) -> Made:
    began = time.monotonic()
    made = do()
    print(f"{what:<45} {time.monotonic() - began:6.1f} s")
    return made
