"""The measures, in the order in which the database grows."""

import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django

django.setup()

import psutil  # noqa: E402
from django.db import connection, connections  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from shop.menu.models import Product  # noqa: E402
from shop.orders.models import Order  # noqa: E402
from tenants.actions import open_cafeteria  # noqa: E402
from tenants.backend import base  # noqa: E402
from tenants.fleet.public import migrate_public  # noqa: E402
from tenants.models import Cafeteria, MigrationStatus  # noqa: E402
from tenants.provisioning.template import current_template  # noqa: E402
from tenants.queries import ref_for  # noqa: E402
from tenants.refs import TenantRef  # noqa: E402
from tenants.scope import tenant_scope  # noqa: E402
from tests.processes import REPOSITORY  # noqa: E402
from tests.tenants.kit import ADD_NOTE, maintain, more_migrations, scalar  # noqa: E402

SAMPLE = 40
MB = 1024 * 1024
OTHER_COLUMN = 'migrations.AddField("product", "origin", models.CharField(max_length=20, default="-", db_default="-"))'

FLEET = """
import sys, django
sys.path.insert(0, sys.argv[1])
from django.conf import settings
settings.MIGRATION_MODULES = {"shop": sys.argv[2]}
django.setup()
from django.core.management import call_command
call_command("migrate_fleet", jobs=2)
"""


def run_all(count: int, folder: Path, *, only_openings: bool) -> None:
    rows: list[tuple[str, str]] = []
    migrate_public()
    current_template()
    rows += openings(count)
    if not only_openings:
        rows += fleet(count, folder)
        rows += memory()
    table = Table("Tenancy", "figure")
    for row in rows:
        table.add_row(*row)
    Console(width=140).print(table)


def openings(count: int) -> list[tuple[str, str]]:
    """In two databases of one server in turn, so that whatever else the machine does slows both alike."""
    many = connections["default"]
    few = connections.create_connection("default")
    few.settings_dict = {**few.settings_dict, "NAME": "few"}
    fill(count - SAMPLE)
    maintain("CREATE DATABASE few")
    taken: dict[Any, list[float]] = {few: [], many: []}
    connections["default"] = few
    migrate_public()
    for _ in range(10):  # A database just made writes each page of its catalogue whole.
        open_one("warm")
    for _ in range(SAMPLE):
        for database, times in taken.items():
            connections["default"] = database
            times.append(timed(lambda: open_one("sample")))
    few.close()
    alone, crowded = (statistics.median(times) * 1000 for times in taken.values())
    quick = [statistics.quantiles(times)[0] * 1000 for times in taken.values()]
    return [
        ("opening a cafeteria, no others: median, fastest quarter", f"{alone:.0f}, {quick[0]:.0f} ms"),
        (f"the same with {count - SAMPLE} others, in turn with that", f"{crowded:.0f}, {quick[1]:.0f} ms"),
        ("ratio of the medians, of the fastest quarters", f"{crowded / alone:.2f}, {quick[1] / quick[0]:.2f}"),
    ]


def open_one(name: str) -> None:
    open_cafeteria(owner_id=1, name=name, owner_person={"email": "owner@example.com", "full_name": "Owner"})


def fill(number: int) -> None:
    """From two threads, each with its connections recycled."""

    def work(part: int, mark: str) -> None:
        for index in range(part):
            slug = f"{mark}-{index}"
            open_cafeteria(owner_id=1, name=slug, slug=slug)
            if index % 100 == 99:
                connection.close()
        connection.close()

    threads = [threading.Thread(target=work, args=(number // 2, f"fill-{mark}")) for mark in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def fleet(count: int, folder: Path) -> list[tuple[str, str]]:
    total = Cafeteria.objects.count()
    before = os.times()
    idle = [timed(lambda: manage("migrate_fleet")) for _ in range(5)]
    after = os.times()
    seconds = (after.children_user + after.children_system - before.children_user - before.children_system) / len(idle)
    figure = f"{statistics.median(idle):.2f} s, {seconds:.2f} s of it computing"
    rows = [(f"migrate_fleet, nothing to do, {total} cafeterias, with process start", figure)]
    with more_migrations(folder, ADD_NOTE) as package:
        whole = timed(lambda: migrate(folder, package))
        rows.append((f"one added column on {total}, two connections, template built", f"{whole:.1f} s"))
    with more_migrations(folder, ADD_NOTE, OTHER_COLUMN) as package:
        broken = Cafeteria.objects.order_by("id")[count // 2]
        with tenant_scope(ref_for(broken)), connection.cursor() as cursor:
            cursor.execute("ALTER TABLE shop_product ADD COLUMN origin integer")
        killed = kill_halfway(folder, package, total)
        resumed = timed(lambda: migrate(folder, package, fails=True))
        failed = list(MigrationStatus.objects.filter(state="failed").values_list("cafeteria__slug", flat=True))
        done = MigrationStatus.objects.filter(state="done").count()
        assert (failed, done) == ([broken.slug], total - 1), (failed, done)
        assert columns("origin") == total
        rows.append((f"a second column, killed after {killed}, one broken: the rest of the way", f"{resumed:.1f} s, {done} done, 1 failed"))
    return rows


def manage(command: str) -> None:
    subprocess.run((sys.executable, "manage.py", command), cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)


def migrate(folder: Path, package: str, *, fails: bool = False) -> None:
    process = subprocess.run(
        (sys.executable, "-c", FLEET, str(folder), package), cwd=REPOSITORY, check=False, capture_output=True, text=True
    )
    assert (process.returncode != 0) is fails, process.stderr


def kill_halfway(folder: Path, package: str, total: int) -> int:
    process = subprocess.Popen((sys.executable, "-c", FLEET, str(folder), package), cwd=REPOSITORY, env=os.environ.copy())
    try:
        while columns("origin") < total // 2:
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    time.sleep(3)  # for the backends to notice
    return columns("origin")


def columns(name: str) -> int:
    return int(str(scalar("SELECT count(*) FROM pg_attribute WHERE attname = %s AND NOT attisdropped", name)))


def memory() -> list[tuple[str, str]]:
    """A process that visits all with an ORM read of menu and orders: as it is, and with a connection that lives for ever."""
    refs = [ref_for(cafeteria) for cafeteria in Cafeteria.objects.exclude(schema_head="")]
    process = psutil.Process()
    start = process.memory_info().rss
    bounded = visit_all(refs)
    whole = process.memory_info().rss
    base.MOST_VISITED = len(refs) + 1
    boundless = visit_all(refs)
    return [
        (f"process before and after serving all {len(refs)}, resident", f"{start / MB:.0f} and {whole / MB:.0f} MB"),
        ("its largest backend: resident, of which its own", f"{bounded[0] / MB:.0f}, {bounded[1] / MB:.0f} MB"),
        ("the same with a connection that lives for ever", f"{boundless[0] / MB:.0f}, {boundless[1] / MB:.0f} MB"),
    ]


def visit_all(refs: list[TenantRef]) -> tuple[int, int]:
    """The most memory of a backend: resident, and of that its own."""
    connection.close()
    most = (0, 0)
    for number, ref in enumerate(refs, start=1):
        with tenant_scope(ref):
            list(Product.objects.select_related("category").prefetch_related("option_groups__choices"))
            list(Order.objects.select_related("customer").prefetch_related("items", "events")[:20])
            if number % 10 == 0 or number == len(refs):
                most = max(most, memory_of_backend())
    return most


def memory_of_backend() -> tuple[int, int]:
    backend = psutil.Process(int(str(scalar("SELECT pg_backend_pid()"))))
    info = backend.memory_full_info()
    return info.rss, info.uss


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
