"""A cafeteria that is restored while a crowd orders at it over HTTP, through PgBouncer: what the crowd was told, and what is there then."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import requests
from django.db import connection

from ops.restores.actions import run_restore, start_restore
from ops.restores.models import Restore
from tenants.refs import TenantRef
from tenants.snapshots import snapshot
from tests.pooler import pooled_url, running_pooler
from tests.processes import database_url
from tests.servers import running_web
from tests.world import World


@dataclass(kw_only=True)
class Crowd:
    """Customers who order one after another, and others who look at the neighbour, until the block ends."""

    port: int
    world: World
    buyers: int
    readers: int
    pause: float = 0.02  # seconds between two requests of one of them
    orders: Counter[int] = field(default_factory=Counter)  # answers, by status
    looks: Counter[int] = field(default_factory=Counter)
    placed: list[str] = field(default_factory=list)  # the secrets of orders that were answered with 201
    refused_for: list[float] = field(default_factory=list)  # moments of answers that were no 201
    impatient: int = 0  # answers of 503 without Retry-After

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        work = [self._buy] * self.buyers + [self._read] * self.readers
        self._threads = [threading.Thread(target=one) for one in work]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def away(self) -> float:
        """Seconds between the first and the last order that was refused."""
        return max(self.refused_for) - min(self.refused_for) if self.refused_for else 0.0

    def wait_for(self, placed: int, *, seconds: float = 60) -> None:
        """Until so many orders are placed in all: how long that takes is the machine's affair. Raises AssertionError after a minute."""
        deadline = time.monotonic() + seconds
        while len(self.placed) < placed:
            assert time.monotonic() < deadline, (len(self.placed), dict(self.orders))
            time.sleep(0.05)

    def _buy(self) -> None:
        session, body = self._session(self.world.a.host), self.world.a.order(guest={"name": "Ana"})
        while not self._stop.is_set():
            answer = session.post(f"http://127.0.0.1:{self.port}/api/v1/orders", json=body, timeout=30)
            self.orders[answer.status_code] += 1
            if answer.status_code == 201:
                self.placed.append(answer.json()["secret"])
            else:
                self.refused_for.append(time.monotonic())
                self.impatient += "Retry-After" not in answer.headers
            time.sleep(self.pause)

    def _read(self) -> None:
        session = self._session(self.world.b.host)
        session.headers["Authorization"] = f"Bearer {self.world.b.token('manager')}"
        while not self._stop.is_set():
            # Two addresses: products are answered from the process's cache, people never are.
            for path in ("/api/v1/products", "/api/v1/auth/me"):
                self.looks[session.get(f"http://127.0.0.1:{self.port}{path}", timeout=30).status_code] += 1
            time.sleep(self.pause)

    def _session(self, host: str) -> requests.Session:
        session = requests.Session()
        session.headers["Host"] = host
        return session


@contextmanager
def web_behind_a_pooler(folder: Path, *, connections: int = 20, clients: int = 200, threads: int = 4) -> Iterator[int]:
    """The port of a web server that reaches the database through PgBouncer alone, in transaction mode."""
    pool = folder / "pool"
    pool.mkdir(mode=0o755)
    everybody = "100000"  # They come from one address.
    with (
        running_pooler(pool, size=connections, clients=clients) as pooler,
        running_web(
            folder, threads=threads, DATABASE_URL=pooled_url(pooler), DATABASE_DIRECT_URL=database_url(), FAIR_SHARE_PERCENT=everybody
        ) as port,
    ):
        yield port


@dataclass(frozen=True, kw_only=True)
class Outcome:
    restore: Restore
    crowd: Crowd
    seconds: float
    torn: int  # orders without a line or an event, on either side of the exchange
    lost: int  # orders that were answered with 201 and are on neither side
    twice: int  # on both, beyond those that the backup held
    neighbour_is_the_same: bool


def restore_amid(crowd: Crowd, *, backup_id: Any, before: float = 1.0, after: float = 1.0, orders: int = 0) -> Outcome:
    """Restore the first cafeteria while the crowd is at it, with so many seconds of it before and after, and at least so many orders."""
    ref, neighbour = crowd.world.a.ref, crowd.world.b.ref
    theirs = digests(neighbour)
    restore = start_restore(cafeteria_uuid=ref.uuid, backup_id=backup_id)
    with crowd:
        time.sleep(before)
        crowd.wait_for(orders)
        began = time.monotonic()
        restore = run_restore(restore_id=restore.pk)
        seconds = time.monotonic() - began
        time.sleep(after)
        crowd.wait_for(len(crowd.placed) + orders)
    live, kept = secrets(ref.schema_name), secrets(restore.kept_schema)
    told = set(crowd.placed)
    return Outcome(
        restore=restore,
        crowd=crowd,
        seconds=seconds,
        torn=torn(ref.schema_name) + torn(restore.kept_schema),
        lost=len(told - live - kept),
        twice=len(told & live & kept),
        neighbour_is_the_same=digests(neighbour) == theirs,
    )


def secrets(schema: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT secret FROM "{schema}".shop_order')
        return {secret for (secret,) in cursor.fetchall()}


def torn(schema: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT count(*) FROM "{schema}".shop_order o
                WHERE NOT EXISTS (SELECT FROM "{schema}".shop_orderitem WHERE order_id = o.id)
                OR NOT EXISTS (SELECT FROM "{schema}".shop_orderevent WHERE order_id = o.id)"""
        )
        return int(cursor.fetchone()[0])


def digests(ref: TenantRef) -> dict[str, Any]:
    """Of each table's rows."""
    with snapshot(ref) as moment:
        return {
            table.name: moment.rows(f"SELECT md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '')) FROM \"{table.name}\" t")
            for table in moment.tables()
        }
