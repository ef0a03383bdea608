"""Restores, undos and copies that are killed for real, step after step: the worker's process by SIGKILL, and PostgreSQL's; and a full disk.

`run_all` needs a server that nobody else uses. `python -m tests.bench restore_deaths` goes through every step, the suite through some.
"""

import os
import random
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from unittest import mock
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, connections
from django.utils import timezone

from config.dev.postgres import SETTINGS, start_server
from core.jobs.models import Job
from core.jobs.run import JobRun
from core.jobs.runner import run_job
from ops.backups.actions import take_backup
from ops.backups.models import Backup
from ops.postgres.servers import found_server, kill
from ops.restores.actions import restore_by_id, start_restore, start_undo, sweep_schemas
from ops.restores.clones import clone_by_id, start_clone, sweep_clones
from ops.restores.models import Restore
from shop.menu.models import Product
from tenants.models import Cafeteria
from tenants.queries import ref_by_uuid
from tenants.scope import tenant_scope
from tests.ops.dying import Noting, in_a_process
from tests.world import Place

THEN, NOW = "1000.00", "9999.00"  # the price in the backup, and since
SMALL_DISKS = (1_000, 20_000, 40_000)  # bytes that a file may have; a bundle here has some 41,000

type Deed = Callable[[UUID], None]  # runs a job, and something dies


@dataclass(kw_only=True)
class Deaths(Noting):
    place: Place
    backup: Backup
    data_folder: Path
    chance: random.Random

    def run_all(self, *, every: int, rounds: int) -> None:
        """Every `every`-th step, and `rounds` moments at random of each kind."""
        steps = self._steps()
        for number in range(0, steps, every):
            self.restore(lambda job_id, at=number: self.kill_worker(job_id, at), f"worker killed at step {number}")  # type: ignore[misc]
            self.restore(lambda job_id, at=number: self.kill_server(job_id, at), f"PostgreSQL killed at step {number}")  # type: ignore[misc]
        for _ in range(rounds):
            self.restore(self.kill_server_at_random, "PostgreSQL killed at random")
            self.undo(self.kill_server_at_random, "PostgreSQL killed during an undo")
            self.copy(self.kill_server_at_random, "PostgreSQL killed during a copy")
        for number in range(0, steps, every * 2):
            self.copy(lambda job_id, at=number: self.kill_worker(job_id, at), f"copy's worker killed at step {number}")  # type: ignore[misc]
        for size in SMALL_DISKS:
            self.full_disk(size)
        self.sweep()

    # --- What dies -------------------------------------------------------------------------------------------------------

    def kill_worker(self, job_id: UUID, at: int) -> None:
        """A process of its own runs the job, and is gone at that step."""
        with _at_step(at, lambda: os.kill(os.getpid(), signal.SIGKILL)):
            in_a_process(lambda: run_job(str(job_id)))

    def kill_server(self, job_id: UUID, at: int) -> None:
        with _at_step(at, self._restart):
            self._run(job_id)

    def kill_server_at_random(self, job_id: UUID) -> None:
        timer = threading.Timer(self.chance.uniform(0, 0.8), self._restart)
        timer.start()
        self._run(job_id)
        timer.join()

    def _run(self, job_id: UUID) -> None:
        # It may die before the job is claimed, or while its end is written: the worker is done with it, and the lease runs out.
        with suppress(OperationalError, InterfaceError):
            run_job(str(job_id))

    def _restart(self) -> None:
        """SIGKILL to all of its processes, and started anew, with crash recovery."""
        server = found_server(self.data_folder / "postgres")
        assert server is not None
        kill(server)
        start_server(self.data_folder, settings=SETTINGS)
        self.counts["servers killed"] += 1

    # --- What is done meanwhile, and has to hold -------------------------------------------------------------------------

    def restore(self, dies: Deed, what: str) -> None:
        restore = start_restore(cafeteria_uuid=self.place.ref.uuid, backup_id=self.backup.pk)
        assert restore.job_id is not None
        dies(restore.job_id)
        self._alone()
        phase = restore_by_id(restore.pk).phase
        self.expect(self.price(), THEN if phase in {"exchanged", "done"} else NOW, f"{what}: live then ({phase})")
        self.counts[f"{phase} when it died"] += 1
        self._again(restore.job_id)
        self.expect((restore_by_id(restore.pk).phase, self.price()), ("done", THEN), f"{what}: gone on with")
        self.undo(lambda job_id: run_job(str(job_id)), what)

    def undo(self, dies: Deed, what: str) -> None:
        """Of the newest restore; of a new one, if that is undone already."""
        restore = Restore.objects.filter(cafeteria_uuid=self.place.ref.uuid, exchanged_at__isnull=False).latest("exchanged_at")
        if restore.phase == "undone":
            restore = start_restore(cafeteria_uuid=self.place.ref.uuid, backup_id=self.backup.pk)
            run_job(str(restore.job_id))
        job = start_undo(restore_id=restore.pk, by="death")
        dies(job.pk)
        self._alone()
        self.expect(self.price() in {THEN, NOW}, True, f"{what}: whole")
        self._again(job.pk)
        self.expect((restore_by_id(restore.pk).phase, self.price()), ("undone", NOW), f"{what}: undone")

    def copy(self, dies: Deed, what: str) -> None:
        self.counts["copies"] += 1
        clone = start_clone(
            cafeteria_uuid=self.place.ref.uuid, slug=f"{self.place.ref.slug}-{self.counts['copies']}", backup_id=self.backup.pk
        )
        assert clone.job_id is not None
        dies(clone.job_id)
        self._alone()
        is_done = clone_by_id(clone.pk).phase == "done"
        self.expect(Cafeteria.objects.filter(uuid=clone.copy_uuid).exists(), is_done, f"{what}: all or nothing")
        self.expect(_schemas(f"t_{clone.copy_id}") != set(), is_done, f"{what}: its schema")
        self._again(clone.job_id)
        self.expect(clone_by_id(clone.pk).phase, "done", f"{what}: gone on with")
        self.expect(self.price(), NOW, f"{what}: the original")

    def full_disk(self, size: int) -> None:
        restore = start_restore(cafeteria_uuid=self.place.ref.uuid, backup_id=self.backup.pk)

        def with_little_room() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            run_job(str(restore.job_id))

        in_a_process(with_little_room)
        found = restore_by_id(restore.pk)
        self.expect((found.phase, self.price()), ("failed", NOW), f"no room for {size} bytes")
        self.expect("File too large" in found.error, True, f"no room for {size} bytes: {found.error}")

    def sweep(self) -> None:
        """Nothing is left: no schema, file, lock or fence."""
        Restore.objects.filter(cafeteria_uuid=self.place.ref.uuid).update(undo_until=timezone.now() - timedelta(seconds=1))
        sweep_schemas()
        sweep_clones()
        copies = set(Cafeteria.objects.filter(copy_of=self.place.ref.uuid).values_list("schema_name", flat=True))
        self.expect(_schemas("t_%") - copies - {self.place.ref.schema_name}, set(), "schemas left")
        left = [path.name for path in Path(settings.BACKUP_FOLDER).rglob("*") if path.is_file() and path.suffix != ".bundle"]
        # A killed writer leaves its part, which goes when it is six hours old; a killed server none.
        self.expect([name for name in left if not name.endswith(".part")], [], "files left")
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
            self.expect(cursor.fetchone()[0], 0, "locks left")

    def price(self) -> str:
        with tenant_scope(ref_by_uuid(self.place.ref.uuid), also_fenced=True):
            return str(Product.objects.get(pk=self.place.coffee).price)

    def _steps(self) -> int:
        seen: list[str] = []
        restore = start_restore(cafeteria_uuid=self.place.ref.uuid, backup_id=self.backup.pk)
        with _progress(lambda: seen.append("step")):
            run_job(str(restore.job_id))
        self.expect(restore_by_id(restore.pk).phase, "done", "alive")
        self.undo(lambda job_id: run_job(str(job_id)), "alive")
        return len(seen)

    def _alone(self) -> None:
        """A connection that works, and no fence: it falls by itself in half a minute."""
        connections.close_all()
        Cafeteria.objects.filter(pk=self.place.ref.id).update(fenced_until=None)
        self.counts["deaths"] += 1

    def _again(self, job_id: UUID) -> None:
        """As the queue does when the lease has run out or the pause is over."""
        past = timezone.now() - timedelta(seconds=1)
        Job.objects.filter(pk=job_id, state="running").update(lease_until=past)
        Job.objects.filter(pk=job_id, state="queued").update(run_after=past)
        run_job(str(job_id))


def new_deaths(place: Place, data_folder: Path, *, seed: int = 1) -> Deaths:
    backup = take_backup(cafeteria_uuid=place.ref.uuid, kind="manual")
    with tenant_scope(place.ref):
        Product.objects.filter(pk=place.coffee).update(price=NOW)
    return Deaths(place=place, backup=backup, data_folder=data_folder, chance=random.Random(seed))


@contextmanager
def _at_step(number: int, act: Callable[[], None]) -> Iterator[None]:
    passed = iter(range(number, -1, -1))

    def look() -> None:
        if next(passed, 1) == 0:
            act()

    with _progress(look):
        yield


@contextmanager
def _progress(look: Callable[[], None]) -> Iterator[None]:
    """`look` at each step of the jobs that run in the block."""
    real = JobRun.progress

    def progress(run: JobRun, fraction: float, message: str = "") -> None:
        look()
        real(run, fraction, message)

    with mock.patch.object(JobRun, "progress", progress):
        yield


def _schemas(like: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE %s", [like])
        found = {name for (name,) in cursor.fetchall()}
    neighbours = Cafeteria.objects.filter(copy_of=None).values_list("schema_name", flat=True)
    return found - set(neighbours)


def seconds_of(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
