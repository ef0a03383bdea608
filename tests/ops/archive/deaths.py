"""The archive killed for real, step after step: its program, a base, a shipment, a recovery and its server; and a disk without room.

`python -m tests.bench archive_deaths` goes through every step, the suite through some. Whatever dies, the cafeteria that is live is as it
was, the next try works, and after the sweep nothing is left.
"""

import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

from core.errors import AppError
from ops.archive.bases import take_base
from ops.archive.folder import Folder
from ops.archive.moments import take_moment
from ops.archive.offsite import Offsite, Shipping
from ops.archive.scratch import sweep_scratch
from ops.archive.source import Source
from ops.backups.models import Backup
from ops.backups.offsite import gateway
from ops.postgres.servers import found_server, kill
from shop.menu.models import Product
from tenants.queries import ref_by_uuid
from tenants.scope import tenant_scope
from tests.ops.dying import Noting, in_a_process
from tests.processes import wait_for
from tests.world import Place

LITTLE_ROOM = 100_000  # bytes that a file may have

type Step = Callable[..., None]
type Work = Callable[[Step], object]  # calls what it is given at each of its steps


@dataclass(kw_only=True)
class ArchiveDeaths(Noting):
    """`keeper`: `manage.py archive` for the block, on `folder`; killed at its end."""

    place: Place
    folder: Folder
    source: Source
    keeper: Callable[[], Any]
    at: datetime = field(init=False)

    def run_all(self, *, every: int, rounds: int) -> None:
        """Every `every`-th step of each, and `rounds` deaths of the program while it receives."""
        with self.keeper():
            wait_for(self.folder.cards, seconds=120)
            self.at = self._write("1001.00")
            self._write("9999.00")
            self.recoveries(every)
            self.servers()
            self.bases(every)
            self.no_room()
        self.programs(rounds)

    def run_some(self) -> None:
        """Those that take little time: a base, a recovery's server, no room for one, and the program."""
        with self.keeper() as process:
            wait_for(self.folder.cards, seconds=120)
            self.at = self._write("1001.00")
            self._write("9999.00")
            self._die(lambda step: take_base(self.folder, self.source, full=True, step=_only("verify", step)), "base, verifying")
            self._refused(lambda: self._moment(self._kill_scratch(0.7)), "server")
            self._swept("scratch server killed")
            with self._little_room(os.getpid()):
                self._refused(self._moment, "recovery without room")
            process.kill()
            process.wait()
            self.counts["program"] += 1
            wait_for(lambda: not running_below(self.folder.root), seconds=15)
        with self.keeper():
            self._write("9999.00", arrives=True)
            self._works("all of them")

    def shipments(self, offsite: Offsite) -> None:
        """Of the log and of a base, killed before and after each object is there, and while a base is packed."""
        for number in range(3):
            for before in (True, False):
                self._die(lambda _step, at=number, early=before: self._ship(offsite, at, early=early), "shipping")  # type: ignore[misc]
        for number in (0, 50, 400):
            self._die(lambda step: Shipping(self.folder, offsite).ship_bases(step=step), "shipping a base", at=number)
        self.folder.sweep_unfinished()
        shipping = Shipping(self.folder, offsite)
        shipping.ship_bases(), shipping.ship_log()
        self.expect(list((self.folder.root / "outbox").glob("*")), [], "outbox")
        self.expect([card.label for card in offsite.cards()], [card.label for card in self.folder.cards()], "bases off-site")
        self.expect(shipping.ship_log(), 0, "log off-site")
        there = self.folder.root / "part" / "from-s3"
        there.mkdir()
        offsite.fetch_base(offsite.cards()[-1].label, there)
        take_base(self.folder, self.source, full=True)  # Sweeps it.

    # --- What dies -------------------------------------------------------------------------------------------------------

    def recoveries(self, every: int) -> None:
        """A job's process, while it waits, fetches, checks, combines, replays and bundles."""
        names: list[str] = []
        self._moment(lambda _fraction, what: names.append(what))
        # Of a step that is called again and again while it lasts, the first, and one in its midst.
        chosen = [number for number, name in enumerate(names) if names[:number].count(name) < 2]
        for number in chosen[::every]:
            self._die(self._moment, f"recovery, {names[number]}", at=number)
            time.sleep(0.1)
            self._swept(f"recovery killed at {number}, {names[number]}")
            self.expect(Backup.objects.filter(kind="moment").count(), 0, f"{names[number]}: a bundle of a dead one")
        self._works("recovery")

    def servers(self) -> None:
        """The scratch server, while it replays and while it is read."""
        for least in (0.7, 0.86):
            self._refused(lambda: self._moment(self._kill_scratch(least)), f"server, {least}")  # noqa: B023
            self._swept(f"scratch server killed at {least}")
        self._works("scratch server")

    def bases(self, every: int) -> None:
        for full in (True, False):
            for number in (0, 1, 3, 8)[::every]:
                self._die(lambda step: take_base(self.folder, self.source, full=full, step=step), "base", at=number)  # noqa: B023
            self._die(lambda step: take_base(self.folder, self.source, full=full, step=_only("verify", step)), "base, verifying")  # noqa: B023
            take_base(self.folder, self.source, full=full)
            self._swept("a base after dead ones")
        self._works("bases")

    def no_room(self) -> None:
        """In a base, and where bases are put together."""
        with self._little_room(os.getpid()):
            before = self.folder.cards()
            self._refused(lambda: take_base(self.folder, self.source, full=True), "base without room")
            self.expect(self.folder.cards(), before, "a base without room")
            self._refused(self._moment, "recovery without room")
        self._swept("no room")
        self._works("no room")

    def programs(self, rounds: int) -> None:
        """The program while it receives: SIGKILL to it alone, and a disk without room."""
        for number in range(rounds):
            with self.keeper() as process:
                self._write(f"{2000 + number}.00", arrives=True)
                self._write(f"{3000 + number}.00")
                process.kill()
                process.wait()
                self.counts["program"] += 1
                wait_for(lambda: not running_below(self.folder.root), seconds=15)
        with self.keeper() as process:
            self._write("4000.00", arrives=True)
            with self._little_room(process.pid):
                for child in running_below(self.folder.root):
                    psutil.Process(child).kill()
                self._write("4001.00")
                wait_for(lambda: (state := self.folder.state()) and state.problem, seconds=30)
            self.counts["receiving without room"] += 1
            at = self._write("4002.00", arrives=True)
            self._write("9999.00")
            self.expect(self.folder.gap(), None, "gap")
            self.at = at
            self._works("program")

    # --- What has to hold ------------------------------------------------------------------------------------------------

    def _works(self, what: str) -> None:
        taken = self._moment()
        self.expect(taken.taken_at, self.at, f"{what}: the next try")
        self._swept(f"{what}: the next try")
        self.expect(self._price(), "9999.00", f"{what}: live")

    def _swept(self, what: str) -> None:
        wait_for(self._is_empty_after_a_sweep)  # A child of the dead one may still be writing.
        self.expect(running_below(self.folder.scratch), [], f"{what}: processes")
        if what.startswith("a base"):
            self.expect([path.name for path in (self.folder.root / "part").iterdir()], [], f"{what}: parts")

    def _is_empty_after_a_sweep(self) -> bool:
        sweep_scratch(self.folder)
        return not list(self.folder.scratch.iterdir())

    def _moment(self, step: Step = lambda *_: None) -> Backup:
        Backup.objects.filter(kind="moment").delete()
        return take_moment(cafeteria_uuid=self.place.ref.uuid, at=self.at, step=step)

    def _write(self, price: str, *, arrives: bool = False) -> datetime:
        with tenant_scope(ref_by_uuid(self.place.ref.uuid)):
            Product.objects.filter(pk=self.place.coffee).update(price=price)
        position, at = self.source.mark()
        if arrives:
            wait_for(lambda: (self.source.positions().received or 0) >= position, seconds=60)
        return at

    def _price(self) -> str:
        with tenant_scope(ref_by_uuid(self.place.ref.uuid)):
            return str(Product.objects.get(pk=self.place.coffee).price)

    def _kill_scratch(self, least: float) -> Step:
        """Once a recovery is so far."""

        def step(fraction: float, _what: str) -> None:
            servers = [found_server(data) for data in self.folder.scratch.glob("*/data")] if fraction >= least else []
            for server in filter(None, servers):
                kill(server)
                self.counts["scratch servers"] += 1

        return step

    def _ship(self, offsite: Offsite, at: int, *, early: bool) -> None:
        """Dies at the object of that number."""
        real, passed = gateway.put_file, iter(range(at, -1, -1))

        def put_file(*arguments: Any, **options: Any) -> Any:
            here = next(passed, 1) == 0
            if here and early:
                os.kill(os.getpid(), signal.SIGKILL)
            found = real(*arguments, **options)
            if here:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        with mock.patch.object(gateway, "put_file", put_file):
            Shipping(self.folder, offsite).ship_log()

    def _die(self, work: Work, what: str, at: int = 0) -> None:
        """In a process of its own, which is gone at its step of that number."""
        passed = iter(range(at, -1, -1))

        def step(*_: object) -> None:
            if next(passed, 1) == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        if in_a_process(lambda: work(step)) == signal.SIGKILL:
            self.counts[what.partition(",")[0]] += 1

    def _refused(self, work: Callable[[], object], what: str) -> None:
        try:
            work()
        except (AppError, OSError) as error:
            self.counts[what.partition(",")[0]] += 1
            self.expect(str(error) != "", True, f"{what}: why")
        else:
            self.problems.append(f"{what}: it went on")

    @contextmanager
    def _little_room(self, pid: int) -> Iterator[None]:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (LITTLE_ROOM, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def running_below(folder: Path) -> list[int]:
    """PostgreSQL's programs that work on the folder."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        name = process.info["name"] or ""
        if (name == "postgres" or name.startswith("pg_")) and any(str(folder) in word for word in process.info["cmdline"] or ()):
            found.append(process.pid)
    return found


def _only(name: str, step: Step) -> Step:
    return lambda *facts: step() if facts[-1] == name else None
