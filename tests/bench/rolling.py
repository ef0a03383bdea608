"""Rolling restart, and a rolling migration from expand to contract, under 50 orders a second through the proxy.

    python -m tests.bench rolling [--rate 50] [--quiet-seconds 5]

The stack is that of the compose file (tests.deploy.stack). Four releases, each deployed as deploy/staging.sh does it: migrations first,
then one web server after the other. Release 1 is this code; 2 has one more column of the orders and uses it; 3 uses it no longer; 4 drops
it. Between the steps of a deploy old code runs on the new schema, and both kinds of code side by side.
"""

import argparse
import shutil
import statistics
import tempfile
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import requests

from ops.postgres.programs import run_program
from tests.bench.load import machine
from tests.deploy.compose import REPOSITORY
from tests.deploy.journeys import Opened, open_a_cafeteria
from tests.deploy.stack import Stack, running_stack

CODE = ("manage.py", "platform", "tenants", "shop", "billing", "ops")
BEFORE = '    notes = models.TextField(blank=True, default="")\n'  # of an order
EXPAND = 'migrations.AddField("order", "bench_note", models.TextField(db_default=""))'
LET_GO = 'migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("order", "bench_note")])'
CONTRACT = """migrations.RunSQL('ALTER TABLE "shop_order" DROP COLUMN "bench_note"')"""
MIGRATION = """from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "{before}")]
    operations = [{operation}]
"""


@dataclass(kw_only=True)
class Load:
    """Orders at an even pace, whatever the answers take; each with a key of its own, asked once."""

    stack: Stack
    place: Opened
    rate: float
    threads: int = 24
    answers: Counter[str] = field(default_factory=Counter)
    placed: dict[str, int] = field(default_factory=dict)  # key -> order
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)  # keys of which nobody knows what became

    def __post_init__(self) -> None:
        self._lock, self._ended, self._next = threading.Lock(), threading.Event(), 0
        self._began = time.monotonic()
        self._workers = [threading.Thread(target=self._work) for _ in range(self.threads)]

    def start(self) -> None:
        self._began = time.monotonic()
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        self._ended.set()
        for worker in self._workers:
            worker.join(60)

    def order(self, client: requests.Session, key: str) -> requests.Response:
        body = {"items": [{"product_id": self.place.product, "quantity": 1}], "guest": {"name": "Ana"}}
        return client.post(f"{self.place.url}/api/v1/orders", json=body, headers={"Idempotency-Key": key}, timeout=60)

    def _work(self) -> None:
        with self.stack.client() as client:
            while not self._ended.is_set():
                with self._lock:
                    due, self._next = self._began + self._next / self.rate, self._next + 1
                if (pause := due - time.monotonic()) > 0 and self._ended.wait(pause):
                    return
                self._one(client, due)

    def _one(self, client: requests.Session, due: float) -> None:
        key = uuid.uuid4().hex
        try:
            response = self.order(client, key)
        except requests.RequestException as error:
            with self._lock:
                self.answers[type(error).__name__] += 1
                self.unanswered.append(key)
                self.wrong.append(repr(error)[:300])
            return
        with self._lock:
            self.answers[str(response.status_code)] += 1
            self.seconds.append(time.monotonic() - due)
            if response.status_code == 201:
                self.placed[key] = response.json()["id"]
            else:
                self.unanswered.append(key)
                self.wrong.append(f"{response.status_code} {response.text[:200]}")


def release(folder: Path, *operations: str, column: bool) -> Path:
    """This code with these migrations on top, and the column in its model or not."""
    folder.mkdir()
    for name in CODE:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    migrations = folder / "shop" / "migrations"
    before = max(path.stem for path in migrations.glob("0*.py"))
    for number, operation in enumerate(operations, int(before[:4]) + 1):
        name = f"{number:04d}_bench"
        (migrations / f"{name}.py").write_text(MIGRATION.format(before=before, operation=operation))
        before = name
    if column:
        models = folder / "shop" / "orders" / "models.py"
        text = models.read_text()
        assert text.count(BEFORE) == 1, "shop/orders/models.py no longer reads as this bench expects."
        models.write_text(text.replace(BEFORE, f'    bench_note = models.TextField(db_default="")\n{BEFORE}'))
    return folder


def deploy(stack: Stack, code: Path | None) -> float:
    """As deploy/staging.sh: migrations by the new code while the old serves, then each web server, then the worker; seconds."""
    began = time.monotonic()
    if code is not None:
        stack.code = code
        stack.manage("migrate_fleet")
    for service in ("web-a", "web-b", "worker-short"):
        stack.roll(service)
    return time.monotonic() - began


def columns(stack: Stack) -> bool:
    return "bench_note" in sql(stack, "SELECT column_name FROM information_schema.columns WHERE table_name = 'shop_order'")


def sql(stack: Stack, statement: str) -> str:
    address = f"host=/tmp/{stack.subnet}.pg user=postgres dbname=comanda"
    return run_program("psql", "-X", "-A", "-t", "-c", statement, address, timeout=60).stdout


def tally(stack: Stack, load: Load, schema: str) -> list[str]:
    """What is wrong, one line each: of what was answered, against what is in the database."""
    ids = {int(line) for line in sql(stack, f'SELECT id FROM "{schema}".shop_order').split()}
    found = list(load.wrong[:10])
    if lost := set(load.placed.values()) - ids:
        found.append(f"{len(lost)} orders were answered with 201 and are not there")
    if extra := ids - set(load.placed.values()):
        found.append(f"{len(extra)} orders are there that nobody was told of")
    if len(set(load.placed.values())) != len(load.placed):
        found.append("two keys were given one order")
    with stack.client() as client:
        for key, order in list(load.placed.items())[:: max(1, len(load.placed) // 200)]:
            again = load.order(client, key)
            if again.status_code != 201 or again.json()["id"] != order:
                found.append(f"{key} asked again: {again.status_code} {again.text[:100]}")
    if len(sql(stack, f'SELECT id FROM "{schema}".shop_order').split()) != len(ids):
        found.append("asking again has made orders")
    return found


def main(options: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench rolling")
    parser.add_argument("--rate", type=float, default=50, help="orders a second (50)")
    parser.add_argument("--quiet-seconds", type=float, default=5, help="between two deploys (5)")
    chosen = parser.parse_args(options or [])
    with tempfile.TemporaryDirectory(prefix="rolling-") as name:
        folder = Path(name)
        (folder / "stack").mkdir()
        folder.chmod(0o755)
        with running_stack(folder / "stack", LOG_REQUESTS="0") as stack:
            _run(stack, folder, rate=chosen.rate, pause=chosen.quiet_seconds)


def _run(stack: Stack, folder: Path, *, rate: float, pause: float) -> None:
    place = open_a_cafeteria(stack, "luna")
    schema = sql(stack, "SELECT schema_name FROM tenants_cafeteria WHERE slug = 'luna'").strip()
    sql(stack, f'UPDATE "{schema}".shop_product SET stock = NULL')
    releases = {
        "2, with a column more (expand)": release(folder / "2", EXPAND, column=True),
        "3, which uses it no longer": release(folder / "3", EXPAND, LET_GO, column=False),
        "4, which drops it (contract)": release(folder / "4", EXPAND, LET_GO, CONTRACT, column=False),
    }
    load = Load(stack=stack, place=place, rate=rate)
    print(f"\nRolling: {machine()}\n{rate:.0f} orders a second through the proxy\n")
    load.start()
    try:
        time.sleep(pause)
        print(f"release 1, restarted                   {deploy(stack, None):6.1f} s")
        had = []
        for name, code in releases.items():
            time.sleep(pause)
            took = deploy(stack, code)
            had.append(columns(stack))
            print(f"release {name:<30} {took:6.1f} s")
        time.sleep(pause)
    finally:
        load.stop()
    assert had == [True, True, False], had
    found = tally(stack, load, schema)
    ordered = sorted(load.seconds)
    print(f"answers: {dict(load.answers)}; orders there: {len(load.placed)}")
    print(
        f"p50 {statistics.median(ordered) * 1000:.0f} ms, p99 {ordered[int(len(ordered) * 0.99)] * 1000:.0f} ms, worst {ordered[-1]:.2f} s"
    )
    print("No 5xx, none lost, none doubled." if not found else "\n".join(["WRONG:", *found]))
    if found:
        raise SystemExit(1)
