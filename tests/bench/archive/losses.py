"""Rows are committed without a pause; then the machine is gone. What comes back is counted in rows, not by the archive's own word."""

import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg2
from django.conf import settings
from psycopg2 import sql
from rich.console import Console
from rich.table import Table

from ops.archive.moments import folder_of_settings
from ops.archive.offsite import Offsite
from ops.archive.source import Source, source_of_settings
from ops.postgres.servers import connect, start, stop
from tenants.fleet.public import migrate_public
from tests.ops.backups.offsite.storage import ACCESS_KEY, SECRET_KEY, Storage, running_storage
from tests.processes import kill_group, wait_for

MANAGE = Path(__file__).resolve().parents[3] / "manage.py"
WRITERS = 4
GOAL_SECONDS = 60.0
ROWS = "CREATE TABLE IF NOT EXISTS public.bench_rows (id bigserial PRIMARY KEY, at timestamptz NOT NULL, filling text NOT NULL)"
WRITE = "INSERT INTO public.bench_rows (at, filling) VALUES (clock_timestamp(), repeat(md5(random()::text), 20)) RETURNING id, at"


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What one way back costs."""

    rows: int
    seconds: float  # between the newest answered row and the first that is lost; 0 when none is
    took: float
    holes: int  # lost rows that are older than the newest that came back: there may be none


def lose_all(folder: Path, *, losses: int, seconds: int) -> bool:
    """Print the figures; whether all of them are within the goal, and without a hole."""
    migrate_public()
    found: dict[str, list[Loss]] = {"here": [], "off-site": []}
    (folder / "s3").mkdir()
    with running_storage(folder / "s3") as storage:
        lead_to(storage)
        source = source_of_settings()
        with source.connected() as cursor:
            cursor.execute(ROWS)
        with _archive(folder):
            wait_for(folder_of_settings().cards, seconds=120)
            wait_for(lambda: Offsite(source.system_identifier).cards(), seconds=180)
        for number in range(losses):
            answered = _die_under_load(folder, source, seconds + random.Random(number).uniform(0, 30))
            for where, options in (("here", ()), ("off-site", ("--from-s3",))):
                loss = _recover(folder / f"again-{number}-{where}", source, answered, options)
                found[where].append(loss)
                print(f"{number + 1}. {where}: {loss.rows} of {len(answered)} rows, {loss.seconds:.2f} s, {loss.holes} holes", flush=True)
    table = Table("lost, counted in rows that were answered", "median", "at most", "goal", "recovered in")
    for where, each in found.items():
        times, took = [loss.seconds for loss in each], max(loss.took for loss in each)
        table.add_row(where, f"{statistics.median(times):.2f} s", f"{max(times):.2f} s", f"{GOAL_SECONDS:.0f} s", f"{took:.1f} s")
    Console(width=120).print(table)
    return all(loss.seconds <= GOAL_SECONDS and not loss.holes for each in found.values() for loss in each)


def lead_to(storage: Storage) -> None:
    values = {"S3_ENDPOINT": storage.url, "S3_REGION": "us-east-1", "S3_BUCKET": "backups", "S3_PREFIX": "comanda/loss"}
    values |= {"S3_ACCESS_KEY": ACCESS_KEY, "S3_SECRET_KEY": SECRET_KEY}
    os.environ.update(values)
    for name, value in values.items():
        setattr(settings, name, value)


def _die_under_load(folder: Path, source: Source, seconds: float) -> dict[int, datetime]:
    """Every row whose commit was answered before the archive was killed, without a word to it."""
    answered: dict[int, datetime] = {}
    over = threading.Event()
    threads = [threading.Thread(target=_write_until, args=(source, over, answered)) for _ in range(WRITERS)]
    with _archive(folder) as process:
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        kill_group(process)
        at_death = dict(answered)  # What is written now, nobody is there to receive.
    over.set()
    for thread in threads:
        thread.join()
    return at_death


@contextmanager
def _archive(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`manage.py archive` for the block; killed at its end with all that it has started."""
    with (folder / "archive.log").open("ab") as output:
        command = [sys.executable, str(MANAGE), "archive"]
        process = subprocess.Popen(command, env=os.environ, stdout=output, stderr=output, start_new_session=True)
    try:
        yield process
    finally:
        kill_group(process)


def _write_until(source: Source, over: threading.Event, answered: dict[int, datetime]) -> None:
    with source.connected() as cursor:
        while not over.wait(0.01):
            cursor.execute(WRITE)
            number, at = cursor.fetchone()
            answered[number] = at


def _recover(into: Path, source: Source, answered: dict[int, datetime], options: tuple[str, ...]) -> Loss:
    began = time.monotonic()
    command = [sys.executable, str(MANAGE), "recover_cluster", "--into", str(into), *options]
    subprocess.run(command, check=True, env=os.environ, stdout=subprocess.DEVNULL)
    took = time.monotonic() - began
    log = into.with_suffix(".log")
    server = start(into, settings={"listen_addresses": ""}, log=log, user=source.user, database=source.database)
    try:
        with closing(connect(server, source.database)) as own, own.cursor() as cursor:
            cursor.execute(sql.SQL("SELECT id FROM public.bench_rows"))
            there = {number for (number,) in cursor.fetchall()}
    except psycopg2.errors.UndefinedTable:
        there = set()
    finally:
        stop(server)
    return measured(answered, there, took=took)


def measured(answered: dict[int, datetime], there: set[int], *, took: float) -> Loss:
    lost = {number: at for number, at in answered.items() if number not in there}
    if not lost:
        return Loss(rows=0, seconds=0.0, took=took, holes=0)
    newest = max((at for number, at in answered.items() if number in there), default=min(answered.values()))
    first = min(lost.values())
    # Commits of the same moment may stand in the log in another order than their clocks say.
    holes = sum((newest - at).total_seconds() > 1 for at in lost.values())
    return Loss(rows=len(lost), seconds=(max(answered.values()) - first).total_seconds(), took=took, holes=holes)
