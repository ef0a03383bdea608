"""The whole stack of the compose file by hand, with S3, the archive and all workers: smoke tests, journeys, services killed in turn.

python -m tests.bench stack
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.load import machine
from tests.bench.rolling import Load, sql
from tests.deploy.journeys import Opened, admin_looks, open_a_cafeteria, order_and_pay, smoke
from tests.deploy.stack import Stack, running_stack

RATE = 20  # orders a second while processes are killed
WORKERS = ("worker-short", "worker-long")


def main(_options: list[str] | None = None) -> None:
    print(f"\nThe stack by hand: {machine()}\n")
    with tempfile.TemporaryDirectory(prefix="stack-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        began = time.monotonic()
        with running_stack(folder, workers=WORKERS, s3=True, archive=True) as stack:
            print(f"up, migrated, behind its proxy                {time.monotonic() - began:6.1f} s")
            _walk(stack)
            _kill(stack)


def _walk(stack: Stack) -> None:
    stack.manage("open_smoke_cafeteria", "smoke")
    done = _timed("smoke tests", lambda: smoke(stack))
    if done.returncode:
        sys.exit(done.stdout)
    _timed("Prometheus has scraped both web servers, and Alertmanager", stack.start_watching)
    place = _timed("an owner signs up, opens, connects, writes", lambda: open_a_cafeteria(stack, "luna"))
    _timed("a guest orders and pays, until it is paid", lambda: order_and_pay(stack, place))
    _timed("an admin signs in", lambda: admin_looks(stack, "root@comanda.example"))
    _timed("a backup by the worker, to S3 as well", lambda: stack.manage("backup", "luna", service="worker-long"))
    print(stack.manage("archive_status", service="archive").strip())


def _kill(stack: Stack) -> None:
    """SIGKILL to each under load, then as its restart policy would: how long until a guest's order is paid again, and what was lost."""
    place, busy = open_a_cafeteria(stack, "sol"), open_a_cafeteria(stack, "mar")
    schema = sql(stack, "SELECT schema_name FROM tenants_cafeteria WHERE slug = 'mar'").strip()
    sql(stack, f'UPDATE "{schema}".shop_product SET stock = NULL')
    load = Load(stack=stack, place=busy, rate=RATE)
    load.start()
    paid = 0
    try:
        for service, start in _restarts(stack).items():
            stack.kill(service)
            began = time.monotonic()
            start()
            paid += _paid_again(stack, place, service)
            print(f"killed: {service:<14} an order is paid after  {time.monotonic() - began:6.1f} s")
            time.sleep(1)
    finally:
        load.stop()
    _tally(stack, load, schema)
    print(f"payments: {paid} orders were seen as paid; {stack.manage('check_money', service='worker-long').strip()}")


def _paid_again(stack: Stack, place: Opened, service: str) -> int:
    began = time.monotonic()
    while True:
        try:
            order_and_pay(stack, place, seconds=60)
        except (AssertionError, OSError):
            if time.monotonic() - began > 120:
                sys.exit(f"Nothing is paid two minutes after {service} was killed:\n{stack.log(service)}")
            time.sleep(0.5)
        else:
            return 1


def _tally(stack: Stack, load: Load, schema: str) -> None:
    """Each order that was answered is there once; each that was not can be asked for again by its key, and is there once then."""
    orders = f'SELECT id FROM "{schema}".shop_order'
    there = {int(line) for line in sql(stack, orders).split()}
    lost = set(load.placed.values()) - there
    with stack.client() as client:
        again = [load.order(client, key).status_code for key in load.unanswered]
    after = len(sql(stack, orders).split())
    print(f"\norders under it: {dict(load.answers)}; accepted and not there: {len(lost)}")
    print(f"unanswered and asked again by their key: {len(again)}, of which 201: {again.count(201)}")
    print(f"orders there {after}, keys {len(load.placed) + len(again)}")
    if lost or set(again) - {201} or after != len(load.placed) + len(again):
        sys.exit("WRONG")


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
