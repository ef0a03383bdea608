"""One cafeteria at any moment of the archive, as a bundle: from there on it is a backup like any other."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg2
from django.conf import settings
from django.utils.translation import gettext_noop as _
from psycopg2 import sql

from ops.archive.data import State
from ops.archive.errors import OutsideWindow, RecoveryFailed
from ops.archive.folder import Folder
from ops.archive.offsite import Offsite, clusters, is_set_up
from ops.archive.recovery import Material, material, recovered
from ops.archive.source import Source, first_line, source_of_settings
from ops.backups.actions import file_of, keep_snapshot
from ops.backups.bundles.writing import Schema
from ops.backups.models import Backup
from ops.postgres.servers import Server, connect
from tenants.queries import ref_by_uuid
from tenants.refs import REF_NAMES, TenantRef
from tenants.snapshots import snapshot_elsewhere

ARRIVAL_SECONDS = 20.0
ARRIVAL_OFFSITE_SECONDS = 150.0
LOOK_SECONDS = 0.2
AHEAD = timedelta(seconds=5)  # of the clock of whoever asks for "now"

type Step = Callable[[float, str], None]


def folder_of_settings() -> Folder:
    return Folder(settings.ARCHIVE_FOLDER)


def check_moment(at: datetime) -> None:
    """Raises OutsideWindow, which says what can be had; ArchiveNotPossible with what the server forbids when nothing can be had;
    OffsiteUnavailable when only off-site tells.
    """
    if at > datetime.now(UTC) + AHEAD:
        raise OutsideWindow(_("it is in the future."))
    found = _material(at)
    if not found.cards:
        source_of_settings().check(of_programs=False)
    found.base_for(at)


def take_moment(*, cafeteria_uuid: UUID, at: datetime, step: Step = lambda _fraction, _what: None) -> Backup:
    """The cafeteria as it was at the moment, with all that was committed until then, as a backup that is kept for two days.

    A server is recovered beside and taken away again; the live one only gets a mark into its log. One that was made before for the same
    moment is given as it is. Raises OutsideWindow, ArchiveDamaged, RecoveryFailed, ArchiveNotPossible, OffsiteUnavailable, OSError.
    """
    made = Backup.objects.filter(cafeteria_uuid=cafeteria_uuid, kind=Backup.Kind.MOMENT, taken_at=at).exclude(file="").first()
    if made is not None and file_of(made).exists():
        return made
    check_moment(at)
    live, source = ref_by_uuid(cafeteria_uuid), source_of_settings()
    step(0.0, "log")
    found = _material(at)
    wait_for_log(found, source, at, step=lambda: step(0.02, "log"))
    with (
        recovered(found, at, user=source.user, database=source.database, step=step) as server,
        _reading(server, source.database) as own,
    ):
        ref, schema = _as_it_was(own, live, at)
        with snapshot_elsewhere(own, ref, taken_at=at) as moment:
            kind = Backup.Kind.MOMENT
            return keep_snapshot(moment, ref=ref, schema=schema, kind=kind, step=lambda done, what: step(0.85 + done * 0.15, what))


def wait_for_log(found: Material, source: Source, at: datetime, *, step: Callable[[], None]) -> None:
    """Until everything of the moment has come into the archive, and a commit after it, by which a recovery knows that it is there.

    While the database cannot be asked, what has come has to do. Raises OutsideWindow, and ArchiveNotPossible when
    the server forbids that it comes.
    """
    try:
        position, now = source.mark()
    except psycopg2.Error:
        return
    if at > now:
        raise OutsideWindow(_("it is in the future."))
    here = _until(found.folder.state(), here=True) is not None
    deadline = time.monotonic() + (ARRIVAL_SECONDS if here else ARRIVAL_OFFSITE_SECONDS)
    while not (_has_come(source, position) if here else _is_offsite(found.offsite, now)):
        state = found.folder.state() if here else found.offsite.state() if found.offsite else None
        if time.monotonic() > deadline:
            if _until(state, here=here) is not None and at < _until(state, here=here):  # type: ignore[operator]
                return
            source.check(of_programs=False)
            raise _not_come(_until(state, here=here))
        step()
        time.sleep(LOOK_SECONDS)


def offsite_of_settings(folder: Folder) -> Offsite | None:
    """Of the cluster whose archive is in the folder; else of the one that runs, and when it does not answer of that with the newest."""
    if not is_set_up():
        return None
    cards = folder.cards()
    if cards:
        return Offsite(cards[-1].system_identifier)
    found = clusters()
    if len(found) > 1:
        with suppress(psycopg2.Error):
            found = [name for name in found if name == source_of_settings().system_identifier] or found
    return Offsite(found[-1]) if found else None


@contextmanager
def _reading(server: Server, database: str) -> Iterator[Any]:
    """A connection to the recovered server. Raises RecoveryFailed when that is gone in the block."""
    try:
        with closing(connect(server, database)) as own:
            yield own
    except psycopg2.Error as error:  # Django's own connection raises others.
        raise RecoveryFailed(f"it was gone while it was read ({first_line(error)}).") from error


def _material(at: datetime) -> Material:
    folder = folder_of_settings()
    return material(folder, offsite_of_settings(folder), at)


def _has_come(source: Source, position: int) -> bool:
    try:
        received = source.positions().received
    except psycopg2.Error:
        return False
    return received is not None and received >= position


def _is_offsite(offsite: Offsite | None, now: datetime) -> bool:
    until = _until(offsite.state() if offsite else None, here=False)
    return until is not None and until >= now


def _until(state: State | None, *, here: bool) -> datetime | None:
    text = (state.received_until if here else state.shipped_until) if state else ""
    return datetime.fromisoformat(text) if text else None


def _not_come(until: datetime | None) -> OutsideWindow:
    if until is None:
        return OutsideWindow(_("nothing of the log has come yet. Is `manage.py archive` running?"))
    words = _("the log has come only until {until} UTC. Is `manage.py archive` running?")
    return OutsideWindow(words, until=f"{until.astimezone(UTC):%Y-%m-%d %H:%M:%S}")


def _as_it_was(own: Any, live: TenantRef, at: datetime) -> tuple[TenantRef, Schema]:
    """The cafeteria's own row and the script of its head, of the recovered server. Raises OutsideWindow when it was not there."""
    with own.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(c) FROM public.tenants_cafeteria c WHERE uuid = %s", [str(live.uuid)])
        row = cursor.fetchone()
        was = row[0] if row else {}
        cursor.execute("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)", [was.get("schema_name", "")])
        there = cursor.fetchone()[0]
        if not there or not was["schema_head"]:
            words = _("the cafeteria was not there yet, or not any more, at {at} UTC.")
            raise OutsideWindow(words, at=f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}")
        script = sql.SQL("SELECT to_jsonb(statements), to_jsonb(migrations) FROM public.tenants_schematemplate WHERE head = %s")
        cursor.execute(script, [was["schema_head"]])
        found = cursor.fetchone()
    own.rollback()
    if found is None:
        raise RecoveryFailed(f"the script of the cafeteria's schema, of {was['schema_head']}, is not in it.")
    statements, migrations = found
    plain = {name: was[name] for name in REF_NAMES if name in was and name not in {"id", "uuid", "day_cutoff", "copy_of"}}
    schema = Schema(head=was["schema_head"], statements=_list(statements), migrations=tuple((app, name) for app, name in _list(migrations)))
    return replace(live, **plain), schema


def _list(value: Any) -> list[Any]:
    """psycopg2 may have read JSON already, as Django has told it."""
    return list(json.loads(value) if isinstance(value, str) else value)
