"""Base backups: taken beside, verified, and moved into place with their card in them."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fcntl import LOCK_EX, flock
from pathlib import Path
from signal import Signals
from typing import IO, Any

import orjson
import structlog
from django.conf import settings

from core.jobs.processes import die_with_parent
from ops.archive.data import FORMAT, Card, lsn_as_text, lsn_from_text
from ops.archive.errors import ArchiveDamaged, ArchiveNotPossible
from ops.archive.folder import Folder
from ops.archive.source import Source
from ops.archive.verifying import ask_postgresql, verify_files
from ops.backups.actions import flush_folder
from ops.postgres.programs import give_to_system_user, program_command, run_as

log = structlog.get_logger()
LOOK_SECONDS = 0.1

type Step = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """The base backup that is due now."""

    full: bool


def due_base(folder: Folder, *, now: datetime) -> Due | None:
    """None when the newest will do. After a gap in the log only a new full one will."""
    gap = folder.gap()
    cards = [card for card in folder.cards() if gap is None or card.moment > gap]
    fulls = [card for card in cards if card.kind == "full"]
    if not fulls or now - fulls[-1].moment >= timedelta(days=settings.ARCHIVE_FULL_DAYS):
        return Due(full=True)
    if now - cards[-1].moment >= timedelta(hours=settings.ARCHIVE_BASE_HOURS):
        return Due(full=False)
    return None


def take_base(
    folder: Folder, source: Source, *, full: bool, parent: Card | None = None, quick: bool = True, step: Step = lambda _what: None
) -> Card:
    """Take a base backup, verify every file of it, and put it into the archive. Killed at any time, nothing half is there.

    An incremental one stands on `parent`, the newest without it; where that is not possible it is a full one. `quick` asks the server
    for a checkpoint at once. `step` may raise to end it. Raises ArchiveNotPossible, ArchiveDamaged, OSError when the disk is full.
    """
    source.check()
    folder.prepare()
    with only_one(folder):
        _sweep_parts(folder)
        cards = folder.cards()
        parent = parent or (cards[-1] if cards else None)
        if not full and parent is not None and source.facts().incremental and parent.system_identifier == source.system_identifier:
            with suppress(_NoIncremental):
                return _take(folder, source, parent, quick, step)
        return _take(folder, source, None, quick, step)


def verify_base(folder: Path, card: Card) -> None:
    """Raises ArchiveDamaged, by the base's name, when it is not what was taken: see ops.archive.verifying."""
    manifest = folder / "backup_manifest"
    try:
        same = hashlib.sha256(manifest.read_bytes()).hexdigest() == card.manifest_sha256
    except OSError:
        same = False
    if not same:
        raise ArchiveDamaged(f"the manifest of the base backup {card.label} is gone or altered.")
    verify_files(folder, label=card.label)


@contextmanager
def only_one(folder: Folder) -> Iterator[None]:
    """One base backup at a time; the lock ends with its holder."""
    with (folder.root / "bases.lock").open("a") as handle:
        flock(handle, LOCK_EX)
        yield


class _NoIncremental(Exception):
    """The server cannot make an incremental one now: the summaries that it needs are gone, or it runs since too short a time."""


def _take(folder: Folder, source: Source, parent: Card | None, quick: bool, step: Step) -> Card:  # noqa: FBT001 - private
    began = datetime.now(UTC)
    kind = "incremental" if parent else "full"
    label = f"{began:%Y%m%dT%H%M%S%f}"[:-3] + f"-{kind}"
    part = folder.part(label)
    try:
        # Its log is streamed beside it: fetched at the end, it would be gone where a base takes longer than two checkpoints are apart.
        command = ["-D", str(part), "-d", source.dsn_for_programs, "--no-password", "--format=plain", "--wal-method=stream", "--no-slot"]
        command += [f"--checkpoint={'fast' if quick else 'spread'}", f"--label={label}", "--manifest-checksums=SHA256"]
        if parent is not None:
            command.append(f"--incremental={folder.bases / parent.label / 'backup_manifest'}")
        _run(command, source, part, incremental=parent is not None, step=step)
        card = _card(part, label, parent, began, source)
        step("verify")
        verify_base(part, card)
        ask_postgresql(part, label=label)
        write = part / "card.json"
        write.write_bytes(card.as_json())
        give_to_system_user(write)
        flush_folder(part)
        part.rename(folder.bases / label)
        flush_folder(folder.bases)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    log.info("base_taken", label=label, kind=kind, size=card.size, seconds=round((datetime.now(UTC) - began).total_seconds(), 1))
    return card


def _run(arguments: Sequence[str], source: Source, part: Path, *, incremental: bool, step: Step) -> None:
    with (part.with_suffix(".log")).open("w+") as output:
        process = start_program("pg_basebackup", arguments, source, output)
        try:
            while process.poll() is None:
                step("copy")
                time.sleep(LOOK_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        output.seek(0)
        said = output.read()
    part.with_suffix(".log").unlink(missing_ok=True)
    if process.returncode == 0:
        return
    if incremental:
        log.warning("no_incremental_base", reason=_reason(said))
        shutil.rmtree(part, ignore_errors=True)
        raise _NoIncremental
    if "No space left" in said:
        raise OSError(f"The disk is full: {_reason(said)}")
    if process.returncode < 0 and not said.strip():
        raise OSError(f"pg_basebackup was ended by {Signals(process.returncode * -1).name}.")
    log.warning("base_failed", said=said.strip()[-2000:])
    raise ArchiveNotPossible(_reason(said))


def start_program(program: str, arguments: Sequence[str], source: Source, output: IO[str]) -> subprocess.Popen[str]:
    """One that ends with us, however we end."""
    return subprocess.Popen(
        program_command(program, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        env={**os.environ, "LC_ALL": "C", **source.environment},
        preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks the kernel for something
        **run_as(),
    )


def _card(part: Path, label: str, parent: Card | None, began: datetime, source: Source) -> Card:
    text = (part / "backup_manifest").read_bytes()
    manifest: Any = orjson.loads(text)
    span = manifest["WAL-Ranges"]
    size = sum(path.stat().st_size for path in part.rglob("*") if path.is_file())
    with source.connected() as cursor:  # The server's clock, which its commits carry.
        cursor.execute("SELECT clock_timestamp()")
        taken_at = cursor.fetchone()[0].astimezone(UTC)
    return Card(
        format=FORMAT,
        label=label,
        kind="incremental" if parent else "full",
        parent=parent.label if parent else "",
        system_identifier=str(manifest["System-Identifier"]),
        timeline=int(span[-1]["Timeline"]),
        start_lsn=span[0]["Start-LSN"],
        end_lsn=lsn_as_text(max(lsn_from_text(one["End-LSN"]) for one in span)),
        began_at=began.isoformat(),
        taken_at=taken_at.isoformat(),
        size=size,
        release=settings.RELEASE,
        server_version=source.facts().version,
        manifest_sha256=hashlib.sha256(text).hexdigest(),
    )


def _sweep_parts(folder: Folder) -> None:
    """What killed ones have left. Only for the holder of the lock."""
    for path in (folder.root / "part").iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _reason(text: str) -> str:
    """The first error that is told: what follows it is tidying up."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[-1] if lines else "it has ended without a word.")
