"""`python -m tests.bench restore_under_load`: a cafeteria goes back while 50 clients order at it over HTTP, behind PgBouncer.

Others look at its neighbour's menu meanwhile: they must not notice anything.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from config.dev.environment import new_backup_key
from config.dev.postgres import embedded_database
from tests.bench.load import machine
from tests.bench.payments.chaos import environment


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench restore_under_load", description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--orders", type=int, default=20_000, help="in the cafeteria's history")
    options = parser.parse_args(arguments or [])
    with tempfile.TemporaryDirectory(prefix="comanda-load-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with embedded_database(folder) as url:
            os.environ.update(environment(url, folder) | {"BACKUP_KEYS": new_backup_key()})
            if not _run(folder, clients=options.clients, orders=options.orders):
                sys.exit(1)


def _run(folder: Path, *, clients: int, orders: int) -> bool:
    import django  # noqa: PLC0415 - after the environment

    django.setup()
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from ops.backups.actions import take_backup  # noqa: PLC0415
    from tenants.fleet.public import migrate_public  # noqa: PLC0415
    from tests.bench.restores.measures import fill  # noqa: PLC0415
    from tests.ops.restores.crowds import Crowd, restore_amid, web_behind_a_pooler  # noqa: PLC0415
    from tests.world import build_world  # noqa: PLC0415

    migrate_public()
    world = build_world("luna", "sol")
    fill(world.a.ref, orders)
    with web_behind_a_pooler(folder) as port:
        backup = take_backup(cafeteria_uuid=world.a.ref.uuid, kind="manual")
        crowd = Crowd(port=port, world=world, buyers=clients, readers=4)
        found = restore_amid(crowd, backup_id=backup.pk, before=5, after=5)
    fives = sum(count for status, count in crowd.looks.items() if status >= 500)
    table = Table("", "figure", title=f"{clients} clients order at a cafeteria of {orders:,} orders while it is restored, behind PgBouncer")
    for what, figure in (
        ("restore, in all", f"{found.seconds:.1f} s"),
        ("of that, fenced; orders were refused for", f"{found.restore.away_seconds:.2f} s; {crowd.away:.2f} s"),
        ("answers to orders, by status", str(dict(sorted(crowd.orders.items())))),
        ("answers of 503 without Retry-After", str(crowd.impatient)),
        ("orders torn; lost after their 201; on both sides", f"{found.torn}; {found.lost}; {found.twice}"),
        ("answers to those who look at the neighbour", f"{dict(sorted(crowd.looks.items()))}, {fives} of 5xx"),
        ("the neighbour's rows", "the same" if found.neighbour_is_the_same else "OTHERS"),
    ):
        table.add_row(what, figure)
    Console().print(table)
    print(machine())
    only_expected = set(crowd.orders) <= {201, 503} and not crowd.impatient
    return only_expected and not (found.torn or found.lost or found.twice or fives) and found.neighbour_is_the_same
