"""The measures: alone first, then with the others beside it, in one run."""

import statistics
import subprocess
import sys
import threading
import time
from typing import Any, Self

import django

django.setup()

from django.db import connection, connections  # noqa: E402
from django.utils import timezone  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from ops.backups.actions import take_backup  # noqa: E402
from ops.backups.models import Backup  # noqa: E402
from ops.backups.proofs import prove_due_backups  # noqa: E402
from ops.restores.actions import restore_by_id, run_restore, start_restore, undo_restore  # noqa: E402
from shop.menu.models import Category, Product  # noqa: E402
from shop.orders.actions import place_order  # noqa: E402
from shop.orders.data import Guest, NewLine, NewOrder  # noqa: E402
from tenants.actions import open_cafeteria  # noqa: E402
from tenants.errors import CafeteriaFenced, StaleTenant  # noqa: E402
from tenants.fleet.public import migrate_public  # noqa: E402
from tenants.models import Cafeteria  # noqa: E402
from tenants.queries import ref_by_uuid, ref_for  # noqa: E402
from tenants.refs import TenantRef  # noqa: E402
from tenants.scope import tenant_scope  # noqa: E402
from tenants.snapshots import snapshot  # noqa: E402
from tests.processes import REPOSITORY  # noqa: E402

MB = 1024 * 1024
BACKUPS = 3
FILL = """
INSERT INTO shop_order (business_date, number, status, payment_status, channel, guest_name, guest_phone, guest_email, "table", notes,
    subtotal, tip, total, currency, secret, created_at, updated_at)
SELECT date '2025-01-01' + n / 300, n %% 300 + 1, 'completed', 'pending', 'online', 'Guest ' || n, '', '', '', '', 3500.50, 0, 3500.50,
    'ARS', md5(n::text), now() - n * interval '5 minutes', now() FROM generate_series(1, %(orders)s) n;
INSERT INTO shop_orderitem (order_id, product_id, name, quantity, unit_price, choices, subtotal, notes, stock_taken)
SELECT o.id, %(product)s, 'Café ' || k, 1, 1166.83, '[]', 1166.83, '', false FROM shop_order o, generate_series(1, 3) k;
INSERT INTO shop_orderevent (order_id, at, kind, before, note) SELECT o.id, o.created_at, 'placed', '', '' FROM shop_order o"""
# A process by itself, so that its memory is the backup's alone.
TAKE = """
import resource, sys, uuid, django
django.setup()
from ops.backups.actions import take_backup
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
take_backup(cafeteria_uuid=uuid.UUID(sys.argv[1]), kind="manual")
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def run_all(*, cafeterias: int, orders: int, proven: int, orders_each: int = 0) -> None:
    """`proven`: how many of the others are backed up and proven, each with so many orders. Raises AssertionError when a proof fails."""
    migrate_public()
    large = ref_for(open_cafeteria(owner_id=1, name="Large", slug="large"))
    fill(large, orders)
    rows: list[tuple[str, str]] = []
    alone = [seconds(lambda: take_backup(cafeteria_uuid=large.uuid, kind="manual")) for _ in range(BACKUPS)]
    opened = seconds(lambda: [open_cafeteria(owner_id=1, name="Other", slug=f"other-{n}") for n in range(cafeterias)])
    beside = [seconds(lambda: take_backup(cafeteria_uuid=large.uuid, kind="manual")) for _ in range(BACKUPS)]
    backup = Backup.objects.filter(cafeteria_uuid=large.uuid).latest("taken_at")
    rows.append((f"{cafeterias} others opened", f"{opened:.0f} s"))
    rows.append((f"backup of {backup.rows:,} rows, alone", f"{statistics.median(alone):.2f} s, {backup.size / MB:.1f} MB"))
    ratio = statistics.median(beside) / statistics.median(alone)
    rows.append((f"the same with {cafeterias} others", f"{statistics.median(beside):.2f} s: {ratio:.2f} of it"))
    rows.append(("its process, resident at most", memory(large)))
    rows += restoring(large, backup, cafeterias)
    if cafeterias:
        rows += proofs(cafeterias, proven, orders_each)
    table = Table("Backups and restores", "figure")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def fill(ref: TenantRef, orders: int) -> None:
    with tenant_scope(ref):
        product = Product.objects.create(category=Category.objects.create(name="All"), name="Café", price="1166.83")
        with connection.cursor() as cursor:
            cursor.execute(FILL, {"orders": orders, "product": product.pk})


def seconds(work: Any) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def memory(ref: TenantRef) -> str:
    found = subprocess.run([sys.executable, "-c", TAKE, str(ref.uuid)], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    before, after = (int(word) / 1024 for word in found.stdout.split())
    return f"{after:.0f} MB, {before:.0f} MB before it began"


def restoring(large: TenantRef, backup: Backup, cafeterias: int) -> list[tuple[str, str]]:
    neighbour = ref_by_uuid(Cafeteria.objects.exclude(pk=large.id).values_list("uuid", flat=True)[0]) if cafeterias else large
    before = digests(neighbour)
    started = start_restore(cafeteria_uuid=large.uuid, backup_id=backup.pk)
    with Ordering(large, 8) as orders:
        total = seconds(lambda: run_restore(restore_id=started.pk))
    restore = restore_by_id(started.pk)
    fresh = ref_by_uuid(large.uuid)
    rows = [
        ("restore of it, in all, while 8 clients order there", f"{total:.1f} s"),
        ("of that, away", f"{restore.away_seconds or 0:.2f} s, {orders.refused} orders refused meanwhile, {orders.placed} placed"),
        ("orders torn between the two", str(torn(large, restore.kept_schema))),
        ("a neighbour's rows", "the same" if digests(neighbour) == before else "OTHERS"),
    ]
    rows.append(("undo", f"{seconds(lambda: undo_restore(restore_id=started.pk)):.2f} s"))
    assert ref_by_uuid(large.uuid).generation == fresh.generation + 1
    return rows


def proofs(cafeterias: int, proven: int, orders_each: int) -> list[tuple[str, str]]:
    chosen = [ref_for(cafeteria) for cafeteria in Cafeteria.objects.exclude(slug="large").order_by("id")[:proven]]
    if orders_each:
        for ref in chosen:
            fill(ref, orders_each)
    taken = seconds(lambda: [take_backup(cafeteria_uuid=ref.uuid, kind="hourly") for ref in chosen]) / proven
    Backup.objects.exclude(cafeteria_uuid__in=[ref.uuid for ref in chosen]).update(proven_at=timezone.now())
    began, found = time.monotonic(), prove_due_backups()
    took = time.monotonic() - began
    assert (found.proven, found.failed, len(found.missing)) == (proven, [], cafeterias - proven), found
    each = f"{took / proven * 1000:.0f} ms"
    if proven == cafeterias:
        all_of_them = (
            f"proof of all {cafeterias:,}",
            f"{took:.0f} s ({took / 60:.1f} min), {each} each: {found.proven:,} proven, none failed",
        )
    else:
        all_of_them = (f"proof of a small one (of {proven}), so {cafeterias:,} take", f"{each}, {took / proven * cafeterias / 60:.0f} min")
    return [
        (f"backup of a small one, of {orders_each:,} orders", f"{taken * 1000:.0f} ms"),
        all_of_them,
        ("proofs when nothing is left to prove", f"{seconds(prove_due_backups):.2f} s"),
    ]


def digests(ref: TenantRef) -> dict[str, Any]:
    with snapshot(ref) as moment:
        return {
            table.name: moment.rows(f"SELECT md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '')) FROM \"{table.name}\" t")
            for table in moment.tables()
        }


def torn(ref: TenantRef, kept: str) -> int:
    """Orders without their line or their event, on either side."""
    found = 0
    with connection.cursor() as cursor:
        for schema in (ref.schema_name, kept):
            cursor.execute(
                f"""SELECT count(*) FROM "{schema}".shop_order o
                    WHERE NOT EXISTS (SELECT FROM "{schema}".shop_orderitem WHERE order_id = o.id)
                    OR NOT EXISTS (SELECT FROM "{schema}".shop_orderevent WHERE order_id = o.id)"""
            )
            found += cursor.fetchone()[0]
    return found


class Ordering:
    """Clients that order until the block ends."""

    def __init__(self, ref: TenantRef, clients: int) -> None:
        self.placed = self.refused = 0
        self._ref, self._stop = ref, threading.Event()
        self._threads = [threading.Thread(target=self._order) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _order(self) -> None:
        product = None
        while not self._stop.is_set():
            try:
                with tenant_scope(ref_by_uuid(self._ref.uuid)):
                    product = product or Product.objects.values_list("pk", flat=True)[0]
                    order = NewOrder(lines=(NewLine(product_id=product, quantity=1),), guest=Guest(name="Ana"))
                    place_order(order=order, caller=None)
                self.placed += 1
            except (CafeteriaFenced, StaleTenant):
                self.refused += 1
                time.sleep(0.01)
            time.sleep(0.05)
        connections.close_all()
