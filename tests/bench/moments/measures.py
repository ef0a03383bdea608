"""A history of writes with an oracle after each; then random moments of it out of the archive.

Before that: how much a loss would cost, by what the archive knows of itself, while clients write.
"""

import random
import statistics
import threading
import time
from datetime import UTC, datetime

from django.db import connection, connections
from rich.console import Console
from rich.table import Table

from ops.archive.bases import take_base
from ops.archive.folder import Folder
from ops.archive.moments import folder_of_settings, take_moment
from ops.archive.source import source_of_settings
from ops.backups.actions import take_backup
from ops.backups.models import Backup
from shop.menu.models import Category
from tenants.actions import open_cafeteria
from tenants.fleet.public import migrate_public
from tenants.queries import ref_by_uuid, ref_for
from tenants.refs import TenantRef
from tenants.scope import tenant_scope

HISTORY = 60
LOAD_SECONDS = 20.0


def run_all(*, moments: int) -> None:
    migrate_public()
    ours = ref_for(open_cafeteria(owner_id=1, name="Ours", slug="ours"))
    other = ref_for(open_cafeteria(owner_id=1, name="Other", slug="other"))
    folder = folder_of_settings()
    while not folder.cards():
        time.sleep(0.1)
    stop = threading.Event()
    neighbours = threading.Thread(target=_write_until, args=(other, stop))
    neighbours.start()
    try:
        lags = _lags(folder)
        oracles = _history(ours, folder)
    finally:
        stop.set()
        neighbours.join()
    table = Table("Moments", "figure")
    table.add_row("commits that a loss would cost, under load", f"median {statistics.median(lags):.2f} s, at most {max(lags):.2f} s")
    seconds, equal = [], 0
    for at in random.Random(17).choices(sorted(oracles), k=moments):
        Backup.objects.filter(kind="moment").delete()
        began = time.monotonic()
        same = _contents(take_moment(cafeteria_uuid=ours.uuid, at=at)) == oracles[at]
        seconds.append(time.monotonic() - began)
        equal += same
        print(f"{at:%H:%M:%S.%f} {'equal' if same else 'UNEQUAL'} {seconds[-1]:.1f} s")
    table.add_row(f"of {moments} random moments equal to their oracle", str(equal))
    table.add_row("each", f"median {statistics.median(seconds):.1f} s, at most {max(seconds):.1f} s")
    Console().print(table)


def _history(ref: TenantRef, folder: Folder) -> dict[datetime, dict[str, str]]:
    oracles: dict[datetime, dict[str, str]] = {}
    for number in range(HISTORY):
        _write(ref, f"Category {number}")
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            at = cursor.fetchone()[0].astimezone(UTC)
        oracles[at] = _contents(take_backup(cafeteria_uuid=ref.uuid, kind="manual"))
        if number in {20, 40}:
            take_base(folder, source_of_settings(), full=False)
    return oracles


def _lags(folder: Folder) -> list[float]:
    """Each: the time since which nothing is in the archive, by what the archive knows itself."""
    lags, end = [], time.monotonic() + LOAD_SECONDS
    while time.monotonic() < end:
        state = folder.state()
        if state is not None and state.received_until:
            lags.append((datetime.now(UTC) - datetime.fromisoformat(state.received_until)).total_seconds())
        time.sleep(0.25)
    return lags


def _write_until(ref: TenantRef, stop: threading.Event) -> None:
    number = 0
    while not stop.wait(0.01):
        number += 1
        _write(ref, f"Other {number}")
    connections.close_all()


def _write(ref: TenantRef, name: str) -> None:
    with tenant_scope(ref_by_uuid(ref.uuid)):
        Category.objects.create(name=name)


def _contents(backup: Backup) -> dict[str, str]:
    return {table["name"]: table["sha256"] for table in backup.manifest["tables"]}
