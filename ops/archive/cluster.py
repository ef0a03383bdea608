"""The whole cluster again, when the database is lost: a PGDATA out of the archive, which needs nothing but the archive and the keys."""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import structlog

from ops.archive.data import Card
from ops.archive.recovery import LOOK_SECONDS, Material, Step, ask, assemble, gather_log, recovery_options, replay, target
from ops.archive.scratch import scratch_folder
from ops.postgres.programs import give_to_system_user, open_path_to, system_user
from ops.postgres.servers import Server, found_server, kill, stop

log = structlog.get_logger()


def recover_cluster(
    found: Material, into: Path, *, at: datetime | None = None, user: str, database: str, step: Step = lambda _fraction, _what: None
) -> tuple[Card, datetime | None]:
    """Build a PGDATA from the archive, up to the moment or to the end of the log, ready to be started: (its base, its last commit).

    Needs no database. It is built beside and renamed into place: killed, `into` is not there. Raises FileExistsError, OutsideWindow,
    ArchiveDamaged, RecoveryFailed, OSError.
    """
    if into.exists() and any(into.iterdir()):
        raise FileExistsError(f"{into} is not empty.")
    card = found.base_for(at)
    into.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(found.folder) as scratch:
        logs = gather_log(found, card, scratch, until=at, step=step)
        with _beside(into) as beside:
            data = assemble(found, card, beside / "data", scratch, step=step, durable=True)
            # Without readers it does not stand still where the log says that max_connections and the like were raised since the base.
            options = recovery_options(data, scratch, logs) | {"hot_standby": "off"}
            if at is not None:
                options |= {"recovery_target_time": target(at), "recovery_target_inclusive": "on", "recovery_target_action": "promote"}
            step(0.6, "replay")
            server = replay(data, options, scratch, user=user, database=database, step=lambda: step(0.7, "replay"))
            last = _promoted(server, scratch / "postgres.log", step=lambda: step(0.8, "replay"))
            stop(server)
            if into.exists():
                into.rmdir()
            data.rename(into)
    log.info("cluster_recovered", base=card.label, into=str(into), until=last and last.isoformat())
    return card, last


@contextmanager
def _beside(into: Path) -> Iterator[Path]:
    """An empty folder beside, so that the rename is one: the archive may be on another disk. Gone after the block, with its server."""
    path = into.with_name(f".{into.name}.recovering")
    _erase(path)
    if system_user() is not None:
        open_path_to(path)
    path.mkdir(mode=0o700)
    try:
        give_to_system_user(path)
        yield path
    finally:
        _erase(path)


def _erase(path: Path) -> None:
    if (left := found_server(path / "data")) is not None:
        kill(left)
    shutil.rmtree(path, ignore_errors=True)


def _promoted(server: Server, out: Path, *, step: Callable[[], None]) -> datetime | None:
    """Wait for the end of the recovery; the time of the last commit that is in it."""
    while ask(server, "SELECT pg_is_in_recovery()", out)[0]:
        step()
        time.sleep(LOOK_SECONDS)
    stamps = re.findall(r"last completed transaction was at log time ([^\n]+)", out.read_text(errors="replace"))
    return datetime.fromisoformat(stamps[-1].strip()) if stamps else None
