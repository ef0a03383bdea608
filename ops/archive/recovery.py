"""A server recovered to a moment, beside the live one: base backups are checked and put together, and the log is replayed on them."""

import hashlib
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from signal import Signals
from typing import Any

import psycopg2
from django.utils.translation import gettext_noop as _

from core.jobs.processes import die_with_parent
from ops.archive.bases import verify_base
from ops.archive.data import PARTIAL, SEGMENT_SIZE, Card, Segment, lsn_from_text, segment_name, segment_of
from ops.archive.errors import ArchiveDamaged, OutsideWindow, RecoveryFailed
from ops.archive.folder import Folder, chain_of, end_of_run
from ops.archive.offsite import Offsite
from ops.archive.scratch import scratch_folder
from ops.postgres.programs import EmbeddedServerFailed, give_to_system_user, program_command, run_as, run_program
from ops.postgres.servers import Server, connect, start, tail

REPLAY_SECONDS = 6 * 3600.0
LOOK_SECONDS = 0.05
CONTROLS = {
    "max_connections": "max_connections setting",
    "max_worker_processes": "max_worker_processes setting",
    "max_wal_senders": "max_wal_senders setting",
    "max_prepared_transactions": "max_prepared_xacts setting",
    "max_locks_per_transaction": "max_locks_per_xact setting",
}
STOPPED = re.compile(r"recovery stopping (before|after) (commit|abort)")
ENDED_EARLY = "recovery ended before configured recovery target was reached"

type Step = Callable[[float, str], None]


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a recovery is made of."""

    folder: Folder
    offsite: Offsite | None  # where to look for what is not here
    cards: list[Card]  # of both, the oldest first

    def base_for(self, at: datetime | None) -> Card:
        """The newest base whose moment is not after `at`. Raises OutsideWindow."""
        fitting = [card for card in self.cards if at is None or card.moment <= at]
        if not fitting:
            raise outside(self.cards, at)
        return fitting[-1]


def material(folder: Folder, offsite: Offsite | None, at: datetime | None = None) -> Material:
    """Asks the storage only when what is here does not reach back to the moment. Raises OffsiteUnavailable."""
    cards = {card.label: card for card in folder.cards()}
    if offsite is not None and not any(at is None or card.moment <= at for card in cards.values()):
        cards |= {card.label: card for card in offsite.cards()}
    return Material(folder=folder, offsite=offsite, cards=sorted(cards.values(), key=lambda card: card.moment))


def outside(cards: list[Card], at: datetime | None) -> OutsideWindow:
    if not cards or at is None:
        return OutsideWindow(_("there is no base backup yet."))
    words = _("{at} UTC is before {first} UTC, from which on any moment can be had.")
    return OutsideWindow(words, at=_told(at), first=_told(cards[0].moment))


def _told(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


@contextmanager
def recovered(found: Material, at: datetime, *, user: str, database: str, step: Step = lambda _fraction, _what: None) -> Iterator[Server]:
    """A server on a scratch folder, read-only and reached by its socket alone, as everything was at the moment: what was committed until
    then is there, and nothing after. Gone after the block.

    `step` may raise to end it. Raises OutsideWindow, ArchiveDamaged by the name of what is not right, RecoveryFailed.
    """
    card = found.base_for(at)
    with scratch_folder(found.folder) as scratch:
        logs = gather_log(found, card, scratch, until=at, step=step)
        data = assemble(found, card, scratch / "data", scratch, step=step, durable=False)
        options = {**recovery_options(data, scratch, logs), "hot_standby": "on", "fsync": "off", "recovery_target_action": "pause"}
        options |= {"recovery_target_time": target(at), "recovery_target_inclusive": "on"}
        step(0.6, "replay")
        server = replay(data, options, scratch, user=user, database=database, step=lambda: step(0.7, "replay"))
        wait_for_target(server, scratch / "postgres.log", step=lambda: step(0.8, "replay"))
        yield server


def target(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00"


def assemble(found: Material, card: Card, data: Path, scratch: Path, *, step: Step, durable: bool) -> Path:
    """The base with those that it stands on, each checked whole, as one PGDATA. Raises ArchiveDamaged, RecoveryFailed, OSError."""
    places = []
    for number, part in enumerate(chain_of(card, {other.label: other for other in found.cards})):
        step(0.1 + 0.02 * min(number, 10), f"base {part.label}")
        place = found.folder.bases / part.label
        if not (place / "card.json").exists() and found.offsite is not None:
            place = scratch / "bases" / part.label
            _make(place.parent)
            _make(place)
            fetched = found.offsite.fetch_base(part.label, place, step=lambda what: step(0.2, what))
            if fetched != part:
                raise ArchiveDamaged(f"the off-site base backup {part.label} is another one than its card says.")
        verify_base(place, part)
        places.append(str(place))
    step(0.4, "combine")
    arguments = ["--output", str(data), *(() if durable else ("--no-sync",)), *places]
    process = subprocess.Popen(
        program_command("pg_combinebackup", *arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks the kernel for something
        **run_as(),
    )
    said = ended(process, step=lambda: step(0.5, "combine"))
    if process.returncode:
        if "No space left" in said:
            raise OSError(f"The disk is full: {said.strip()[-200:]}")
        ended_by = f"it was ended by {Signals(process.returncode * -1).name}." if process.returncode < 0 else ""
        raise RecoveryFailed(f"pg_combinebackup: {said.strip()[-300:] or ended_by}")
    (data / "card.json").unlink(missing_ok=True)
    return data


def ended(process: subprocess.Popen[str], *, step: Callable[[], None]) -> str:
    """What it said on its error output, once it is over. What `step` raises ends it."""
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return process.communicate(timeout=0.2)[1] or ""
            step()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def gather_log(found: Material, card: Card, scratch: Path, *, until: datetime | None, step: Step) -> list[Path]:
    """The folders to replay from, with every segment from the base on. Each is compared with what it was when it was whole.

    Raises ArchiveDamaged by the segment's name, OutsideWindow when the log has a gap before the moment.
    """
    here = {**found.folder.segments(), **found.folder.partials()}
    segments = _named(here)
    newest = max((segment.number for segment in segments), default=-1)
    end = end_of_run(card.first_segment, segments)
    logs = list(found.folder.logs)
    last = _last_needed(found.cards, until)
    if found.offsite is not None and (end is None or (end.number < newest and end.number < last)):
        logs.append(_fetch_log(found.offsite, card, scratch, {segment.name for segment in segments if segment.is_whole}, last, step))
        fetched = {path.name: path for path in logs[-1].iterdir()}
        end = end_of_run(card.first_segment, [*segments, *_named(fetched)])
    if end is None:
        raise ArchiveDamaged(f"the log of the base backup {card.label} is gone: segment {card.first_segment} is not there.")
    for name, path in sorted(found.folder.segments().items()):
        segment = segment_of(name)
        if segment is not None and card.first_segment <= segment.number <= min(end.number, last):
            step(0.08, "log")
            _check_sum(found.folder, name, path)
    return logs


def _last_needed(cards: list[Card], until: datetime | None) -> int:
    """The segment before which the moment surely lies: that of the second base after it."""
    later = [card for card in cards if until is not None and card.moment > until]
    return later[1].first_segment if len(later) > 1 else 2**62


def _named(paths: dict[str, Path]) -> list[Segment]:
    return [segment for name in paths if (segment := segment_of(name)) is not None]


def _check_sum(folder: Folder, name: str, path: Path) -> None:
    expected = folder.sum_of(name)
    with path.open("rb") as file:
        if expected and hashlib.file_digest(file, "sha256").hexdigest() != expected:
            raise ArchiveDamaged(f"the log segment {name} is not what was received.")


def _fetch_log(offsite: Offsite, card: Card, scratch: Path, here: set[str], last: int, step: Step) -> Path:
    target = scratch / "log"
    _make(target)
    names = offsite.log_names()
    for name in sorted(names):
        segment = segment_of(name)
        if segment is None:
            # Of the base's own timeline and those after it: each tells of all before it, and an older one may be under a key that is lost.
            wanted = int(name[:8], 16) >= card.timeline
        else:
            needed = card.first_segment <= segment.number <= last and segment.name not in here
            wanted = needed and (segment.is_whole or segment.name not in names)
        if wanted:
            step(0.05, f"fetch {name}")
            offsite.fetch_log(name, target / name)
    return target


def _make(path: Path) -> None:
    path.mkdir(mode=0o700, exist_ok=True)
    give_to_system_user(path)


def recovery_options(data: Path, scratch: Path, logs: list[Path]) -> dict[str, str]:
    """Settings for a server that replays: none of the base's own files of settings is read, and nobody is reached over the network."""
    for name, text in {"postgresql.conf": "", "pg_hba.conf": "local all all trust\n", "pg_ident.conf": ""}.items():
        (scratch / name).write_text(text)
        give_to_system_user(scratch / name)
    (data / "standby.signal").unlink(missing_ok=True)
    for socket in data.glob(".s.PGSQL.*"):  # The embedded server's lies in its PGDATA, and would pass for one that runs.
        socket.unlink()
    signal = data / "recovery.signal"
    signal.touch()
    give_to_system_user(signal)
    controls = run_program("pg_controldata", str(data), environment={"LC_ALL": "C"}).stdout
    return {
        **{name: _control(controls, label) for name, label in CONTROLS.items()},
        "config_file": str(scratch / "postgresql.conf"),
        "hba_file": str(scratch / "pg_hba.conf"),
        "ident_file": str(scratch / "pg_ident.conf"),
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "archive_mode": "off",
        "restore_command": restore_command(logs),
        "recovery_target_timeline": "latest",
        "shared_buffers": "64MB",
        "shared_preload_libraries": "",
        "ssl": "off",
        "autovacuum": "off",
        "wal_level": "replica",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        "jit": "off",
    }


def restore_command(logs: list[Path]) -> str:
    """Whole segments first, wherever they are; then the one that was still being written.

    A file that is there and cannot be copied, as where the disk is full, ends the recovery: to PostgreSQL 1 means that the log ends here.
    """
    files = [f"{shlex.quote(str(folder)).replace('%', '%%')}/%f{end}" for end in ("", PARTIAL) for folder in logs]
    return f'for file in {" ".join(files)}; do test -f "$file" && {{ cp "$file" "%p" || exit 200; exit 0; }}; done; exit 1'


def _control(text: str, label: str) -> str:
    found = re.search(rf"^{re.escape(label)}:\s+(\d+)$", text, re.MULTILINE)
    if found is None:
        raise RecoveryFailed(f"pg_controldata says nothing of {label}.")
    return found[1]


def replay(data: Path, options: dict[str, str], scratch: Path, *, user: str, database: str, step: Callable[[], None]) -> Server:
    """Start it and wait until it answers. Raises OutsideWindow when the log ends before the moment, RecoveryFailed."""
    out = scratch / "postgres.log"
    try:
        return start(data, settings=options, log=out, user=user, database=database, seconds=REPLAY_SECONDS, waiting=step)
    except EmbeddedServerFailed:
        raise _why(out) from None


def wait_for_target(server: Server, out: Path, *, step: Callable[[], None]) -> None:
    """Until the moment is reached. Raises as `replay`."""
    while True:
        row = ask(server, "SELECT pg_get_wal_replay_pause_state()", out)
        if row[0] == "paused":
            if not STOPPED.search(out.read_text(errors="replace")):
                raise RecoveryFailed(f"it has stopped before the moment: {tail(out)}")
            return
        step()
        time.sleep(LOOK_SECONDS)


def ask(server: Server, query: str, out: Path) -> tuple[Any, ...]:
    """One row. Raises as `replay` when the server is gone."""
    try:
        with closing(connect(server, server.database)) as own, own.cursor() as cursor:
            cursor.execute(query)
            row: Any = cursor.fetchone()
            return tuple(row)
    except psycopg2.OperationalError:
        raise _why(out) from None


def _why(out: Path) -> OutsideWindow | RecoveryFailed | ArchiveDamaged:
    said = out.read_text(errors="replace") if out.exists() else ""
    if ENDED_EARLY in said:
        places = re.findall(r"(?:invalid|incorrect|record with|unexpected|there is no)[^\n]* at ([0-9A-F]+/[0-9A-F]+)", said)
        if not places:
            return OutsideWindow(_("the log that is here ends before it: the moment is in a gap, or a segment is damaged."))
        number = lsn_from_text(places[-1]) // SEGMENT_SIZE
        words = _("the log that is here ends before it, at {place} in segment {segment}: it is in a gap, or this segment is damaged.")
        return OutsideWindow(words, place=places[-1], segment=_name_of(number, said))
    return RecoveryFailed(tail(out))


def _name_of(number: int, said: str) -> str:
    """The segment's, of the timeline that was being replayed."""
    timelines = re.findall(r"restored log file \"([0-9A-F]{8})[0-9A-F]{16}\"", said)
    return segment_name(int(timelines[-1], 16) if timelines else 1, number)
