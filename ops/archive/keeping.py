"""What `manage.py archive` does all day: receive the log, take bases when they are due, bring both off-site, let go of what is old."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fcntl import LOCK_EX, LOCK_NB, flock

import psycopg2
import structlog
from django.conf import settings
from django.db import DatabaseError, connections

from core.alerts.actions import raise_alert, resolve_alerts
from core.errors import AppError
from ops.archive.bases import due_base, take_base
from ops.archive.data import State
from ops.archive.folder import Folder
from ops.archive.offsite import Offsite, Shipping, forget_clusters, forget_offsite, is_set_up
from ops.archive.receiving import Receiver
from ops.archive.retention import FORMER_KEPT, forget_old
from ops.archive.scratch import sweep_scratch
from ops.archive.source import Source, first_line
from ops.backups.bundles.keys import bundle_keys

log = structlog.get_logger()
TICK_SECONDS = 1.0
STATE_SECONDS = 2.0
BASE_SECONDS = 2.0
TIDY_SECONDS = 60.0
TIDY_OFFSITE_SECONDS = 600.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 300.0
STALLED_AFTER = timedelta(minutes=3)
ALERT_AFTER = 3  # failures in a row
ALERTS = {"base": "archive.base", "offsite": "archive.offsite", "offsite_bases": "archive.offsite"}  # by duty

type Duty = Callable[[], bool]  # False: it could not be tried, so that nothing is known of it


class ArchiveRuns(Exception):
    """Another process keeps this archive."""


class Keeper:
    """One process keeps an archive. Whatever fails is tried again; only `stop` ends it."""

    def __init__(self, folder: Folder, source: Source) -> None:
        self.folder, self.source = folder, source
        self.stopping = threading.Event()
        self.receiver = Receiver(folder, source)
        self.shipped_until: datetime | None = None
        self._state_at = 0.0
        self._begun = datetime.now(UTC)

    def run(self) -> None:
        """Until `stopping` is set. Raises ArchiveRuns."""
        self.folder.prepare()
        with self._alone():
            self.folder.sweep_unfinished()
            self._remember()
            threads = [threading.Thread(target=self._again_and_again, args=arguments, name=arguments[0]) for arguments in self._duties()]
            for thread in threads:
                thread.start()
            try:
                while not self.stopping.is_set():
                    self.tick()
                    self.stopping.wait(TICK_SECONDS)
            finally:
                self.stopping.set()
                self.receiver.stop()
                for thread in threads:
                    thread.join()
                with suppress(OSError, psycopg2.Error):
                    self._note_state()

    def tick(self) -> None:
        try:
            self.receiver.tend()
            if time.monotonic() - self._state_at >= STATE_SECONDS:
                self._state_at = time.monotonic()
                self._note_state()
        except (OSError, psycopg2.Error) as error:  # A disk without room: what is said of it must not end with us.
            if self.receiver.problem != (why := first_line(error)):
                log.warning("archive_tick_failed", reason=why)
            self.receiver.problem = why

    def take_due_base(self) -> bool:
        if self.receiver.received_until is None:
            return False  # Without the log a base is of no use.
        due = due_base(self.folder, now=datetime.now(UTC))
        if due is not None:
            take_base(self.folder, self.source, full=due.full, quick=due.full, step=self._step)
        return True

    def ship(self) -> bool:
        """Everything that has come until now. Raises OffsiteUnavailable, OffsiteDamaged."""
        until = self.receiver.received_until
        if not is_set_up() or until is None:
            return not is_set_up()
        self._shipping().ship_log()
        self.shipped_until = until
        self._shipping().offsite.put_state(replace(self.state(), key_id=bundle_keys()[0].key_id))
        return True

    def ship_bases(self) -> bool:
        if not is_set_up() or self.receiver.received_until is None:
            return not is_set_up()
        self._shipping().ship_bases(step=self._step)
        return True

    def tidy(self) -> bool:
        """Let go of what no moment of the window needs; sweep."""
        sweep_scratch(self.folder)
        if self.receiver.received_until is not None:
            forget_old(self.folder, now=datetime.now(UTC))
        return True

    def tidy_offsite(self) -> bool:
        """The same there. Raises OffsiteUnavailable, also where the storage lets us erase nothing."""
        cards, now = self.folder.cards(), datetime.now(UTC)
        if is_set_up() and self.receiver.received_until is not None and cards:
            forget_offsite(self._shipping().offsite, cards, now=now)
            forget_clusters(keep=self.source.system_identifier, before=now - FORMER_KEPT)
        return True

    def tell(self) -> bool:
        """What is wrong. By what was written down: what came before this process counts too."""
        known = replace(self.folder.state() or self.state(), problem=self.receiver.problem)
        tell(known, self.folder, begun=self._begun)
        return True

    def state(self) -> State:
        receiver = self.receiver
        return State(
            at=datetime.now(UTC).isoformat(),
            system_identifier=self.source.system_identifier if receiver.received_until else "",
            received_until=receiver.received_until.astimezone(UTC).isoformat() if receiver.received_until else "",
            received_lsn=str(receiver.received_lsn),
            shipped_until=self.shipped_until.astimezone(UTC).isoformat() if self.shipped_until else "",
            problem=receiver.problem,
            gaps=receiver.gaps,
        )

    def _note_state(self) -> None:
        """While nothing has come yet, what was true before, and what keeps it from coming."""
        if self.receiver.received_until is not None:
            self.folder.note_state(self.state())
        else:
            now = datetime.now(UTC).isoformat()
            self.folder.note_state(replace(self.folder.state() or State(at=now), at=now, problem=self.receiver.problem))

    def _remember(self) -> None:
        before = self.folder.state()
        if before is not None:
            self.receiver.gaps = before.gaps
            self.shipped_until = datetime.fromisoformat(before.shipped_until) if before.shipped_until else None

    def _shipping(self) -> Shipping:
        identifier = self.source.system_identifier
        name = f"_shipping_{threading.get_ident()}"  # Each thread its own: they share no memory of what is there.
        found: Shipping | None = self.__dict__.get(name)
        if found is None or not found.offsite.root.endswith(f"/{identifier}/"):
            found = self.__dict__[name] = Shipping(self.folder, Offsite(identifier))
        return found

    def _duties(self) -> list[tuple[str, Duty, float]]:
        return [
            ("base", self.take_due_base, BASE_SECONDS),
            ("offsite", self.ship, float(settings.ARCHIVE_SHIP_SECONDS)),
            ("offsite_bases", self.ship_bases, 30.0),
            ("tidy", self.tidy, TIDY_SECONDS),
            ("tidy_offsite", self.tidy_offsite, TIDY_OFFSITE_SECONDS),
            ("tell", self.tell, TIDY_SECONDS),
        ]

    def _again_and_again(self, name: str, duty: Duty, every: float) -> None:
        failures, is_told_well = 0, False  # An alert may be open that the process before has raised.
        while not self.stopping.wait(pause(failures) if failures else every):
            try:
                if duty():
                    is_told_well = (is_told_well and not failures) or _resolve(name)
                    failures = 0
            except _Stopping:
                return
            except Exception as error:  # Whatever it is: who gave up here would be missed by nobody.
                failures += 1
                why = str(error) if isinstance(error, AppError) else first_line(error)
                is_known = isinstance(error, (AppError, psycopg2.Error, DatabaseError, OSError))
                log.warning("archive_duty_failed", duty=name, reason=why, failures=failures, exc_info=not is_known)
                _alert(name, why, failures)
            finally:
                with suppress(DatabaseError):
                    connections.close_all()

    def _step(self, _what: str) -> None:
        if self.stopping.is_set():
            raise _Stopping

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.folder.root / "archive.lock").open("a") as handle:
            try:
                flock(handle, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                raise ArchiveRuns from None
            yield


class _Stopping(Exception):
    """Ends a duty in the middle."""


def tell(state: State, folder: Folder, *, begun: datetime) -> None:
    """Raise the alerts of what is wrong, resolve those of what is well again. Raises DatabaseError."""
    now = datetime.now(UTC)
    until = datetime.fromisoformat(state.received_until) if state.received_until else begun
    if now - until > STALLED_AFTER:
        detail = f"Nothing has come into the archive since {until:%Y-%m-%d %H:%M:%S} UTC: {state.problem}"
        raise_alert(kind="archive.stalled", detail=detail, severity="critical")
    else:
        resolve_alerts(kind="archive.stalled")
    gap = folder.gap()
    cards = folder.cards()
    if gap is not None and not any(card.moment > gap for card in cards):
        detail = f"The log has a gap at {gap:%Y-%m-%d %H:%M:%S} UTC. Moments after it can be had once a new full base backup is there."
        raise_alert(kind="archive.gap", detail=detail, severity="critical")
    else:
        resolve_alerts(kind="archive.gap")
    newest = cards[-1].moment if cards else begun
    limit = timedelta(hours=2 * settings.ARCHIVE_BASE_HOURS) if cards else timedelta(minutes=10)
    if now - newest > limit:
        detail = f"The newest base backup is of {newest:%Y-%m-%d %H:%M:%S} UTC."
        raise_alert(kind="archive.base_too_old", detail=detail, severity="critical")
    else:
        resolve_alerts(kind="archive.base_too_old")


def pause(failures: int) -> float:
    """Seconds until the next try."""
    return min(FIRST_PAUSE_SECONDS * float(2 ** min(failures - 1, 16)), LONGEST_PAUSE_SECONDS)


def _alert(duty: str, why: str, failures: int) -> None:
    if failures >= ALERT_AFTER and duty in ALERTS:
        with suppress(DatabaseError):
            raise_alert(kind=ALERTS[duty], subject=duty, detail=f"{why} ({failures} times in a row)", severity="critical")


def _resolve(duty: str) -> bool:
    """False: the database does not let us."""
    with suppress(DatabaseError):
        if duty in ALERTS:
            resolve_alerts(kind=ALERTS[duty], subject=duty)
        return True
    return False
