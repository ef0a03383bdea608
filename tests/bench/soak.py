"""`python -m tests.bench soak`: half an hour with 200 cafeterias; memory and connections have to stay flat."""

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg2

from config.dev.postgres import running_server
from tests.bench.copies import Copy, Customer, customer_of, running_copy
from tests.bench.load import machine

MOST_GROWTH = 1.15  # of the last quarter's median over the second quarter's
SAMPLE_SECONDS = 10.0
OPEN = """
import django, sys
django.setup()
from accounts.models import User
from shop.menu.models import Category, Product
from tenants.actions import open_cafeteria
from tenants.pulse import bump_menu
from tenants.queries import ref_for
from tenants.scope import tenant_scope
owner = User.objects.filter(role="owner").earliest("id")
for number in range(int(sys.argv[1])):
    cafeteria = open_cafeteria(owner_id=owner.pk, name=f"Resistencia {number}", slug=f"resistencia-{number}")
    with tenant_scope(ref_for(cafeteria)):
        category = Category.objects.create(name="Todo")
        Product.objects.create(category=category, name="Cortado", price=1500)
        bump_menu()
"""


@dataclass(kw_only=True)
class Samples:
    at: list[float] = field(default_factory=list)
    memory: dict[str, list[float]] = field(default_factory=dict)  # MB resident, by process
    connections: list[int] = field(default_factory=list)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench soak")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--cafeterias", type=int, default=200)
    parser.add_argument("--rate", type=float, default=20, help="visits a second: menu, order, its page")
    options = parser.parse_args(arguments or [])
    with tempfile.TemporaryDirectory(prefix="comanda-soak-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with running_copy(folder) as copy:
            _open(copy, options.cafeterias)
            customers = [customer_of(copy, f"resistencia-{number}") for number in range(options.cafeterias)]
            stop = threading.Event()
            visits = [threading.Thread(target=_visit, args=(customers[part::4], options.rate / 4, stop)) for part in range(4)]
            for thread in visits:
                thread.start()
            try:
                samples = _sample(copy, options.minutes * 60)
            finally:  # Else they would visit for ever.
                stop.set()
                for thread in visits:
                    thread.join()
        holds = _tell(samples, customers, options)
    if not holds:
        raise SystemExit("It does not hold.")
    print("Everything holds.")


def _open(copy: Copy, cafeterias: int) -> None:
    environment = {**copy.environment, "DJANGO_SETTINGS_MODULE": "config.settings"}
    code = f"from config.dev.environment import development_environment\nwith development_environment():\n{_indented(OPEN)}"
    subprocess.run((sys.executable, "-c", code, str(cafeterias)), env=environment, check=True, timeout=600)


def _indented(code: str) -> str:
    return "".join(f"    {line}\n" for line in code.splitlines())


def _visit(customers: list[Customer], rate: float, stop: threading.Event) -> None:
    for customer in itertools.cycle(customers):
        if stop.is_set():
            return
        began = time.monotonic()
        customer.copy.call(customer.host, "GET", "/")
        customer.order()
        time.sleep(max(0.0, 1 / rate - (time.monotonic() - began)))


def _sample(copy: Copy, seconds: float) -> Samples:
    samples, began = Samples(), time.monotonic()
    while time.monotonic() - began < seconds:
        samples.at.append(time.monotonic() - began)
        for name, processes in copy.named().items():
            samples.memory.setdefault(name, []).append(sum(map(_resident, processes)))
        samples.connections.append(_connections(copy))
        time.sleep(SAMPLE_SECONDS)
    return samples


def _resident(process: psutil.Process) -> float:
    """Without what it shares, as PostgreSQL's buffers."""
    try:
        memory = process.memory_info()
    except psutil.Error:
        return 0.0
    return float(memory.rss - memory.shared) / 2**20


def _connections(copy: Copy) -> int:
    server = running_server(copy.folder)
    assert server is not None
    connection = psycopg2.connect(server.url("comanda"))
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) - 1 FROM pg_stat_activity WHERE backend_type = 'client backend'")
            return sum(count for (count,) in cursor)
    finally:
        connection.close()


def _tell(samples: Samples, customers: list[Customer], options: argparse.Namespace) -> bool:
    answered, again = sum(len(customer.answered) for customer in customers), sum(customer.again for customer in customers)
    print(f"\nSoak: {options.minutes:.0f} min, {options.cafeterias} cafeterias: {machine()}")
    print(f"{answered} orders ({answered / options.minutes / 60:.1f}/s), {again} sent again\n")
    holds = again == 0
    for name, values in [*samples.memory.items(), ("connections", [float(count) for count in samples.connections])]:
        quarter = max(len(values) // 4, 1)
        second, last = statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])
        growth = last / second if second else 1.0
        flat = growth <= MOST_GROWTH or last - second < 5
        holds = holds and flat
        print(f"  {'flat' if flat else 'GROWS':<6} {name:<16} {second:8.0f} -> {last:8.0f}  ({growth:.2f}; most {max(values):.0f})")
    return holds
