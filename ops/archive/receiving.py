"""PostgreSQL's log as it is written: pg_receivewal with a slot, started again whenever it ends, and what it says when it cannot go on."""

import hashlib
import os
import re
import subprocess
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime

import psycopg2
import structlog

from core.errors import AppError
from ops.archive.bases import start_program
from ops.archive.data import segment_of
from ops.archive.folder import Folder
from ops.archive.source import Source, first_line

log = structlog.get_logger()
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
STEADY_SECONDS = 30.0
STOP_SECONDS = 10.0
LOOK_SECONDS = 2.0
MOST_SAMPLES = 1_000
# What only a new beginning helps against.
LOST = re.compile(
    r"already been removed|not in this server's history|ahead of the WAL flush position|been invalidated|no longer (get|available)"
)


class Receiver:
    """Tended once a second: keeps pg_receivewal running, and knows up to which moment everything has come."""

    def __init__(self, folder: Folder, source: Source) -> None:
        self.folder, self.source = folder, source
        self.problem = "It has just been started."
        self.received_until: datetime | None = None
        self.received_lsn = 0
        self.gaps = 0
        self._process: subprocess.Popen[str] | None = None
        self._started = self._again_at = self._looked = 0.0
        self._pause = FIRST_PAUSE_SECONDS
        self._samples: deque[tuple[int, datetime]] = deque(maxlen=MOST_SAMPLES)  # (what was written, by when)
        self._summed: set[str] = set()
        self._said = folder.root / "receive.log"

    def tend(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            self._bury()
        if self._process is None and time.monotonic() >= self._again_at:
            self._try_to_start()
        if self._process is not None and time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            with suppress(psycopg2.Error):
                self._look()
        self._sum_up()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _try_to_start(self) -> None:
        try:
            self._start()
        except (AppError, psycopg2.Error, OSError) as error:
            self._fail(str(error) if isinstance(error, AppError) else first_line(error))

    def _start(self) -> None:
        """Raises ArchiveNotPossible, psycopg2.Error, OSError."""
        self.source.check()
        identifier, timeline = self.source.identity()  # It may be another server by now.
        cards, state = self.folder.cards(), self.folder.state()
        theirs = (state.system_identifier if state else "") or (cards[-1].system_identifier if cards else "")
        if theirs and theirs != identifier:
            self.received_until = None
            self._summed.clear()
            retired = self.folder.retire(theirs)
            log.error("archive_of_another_server", kept=str(retired))
        self.folder.prepare()
        segments = [segment_of(path.name) for path in (self.folder.root / "wal").iterdir()]
        if any(segment.timeline != timeline for segment in segments if segment is not None):
            # A recovered or promoted server: where its timeline leaves ours, pg_receivewal cannot follow it.
            self._begin_anew(f"the server is on timeline {timeline} now")
        self.source.make_slot()
        arguments = ["-D", str(self.folder.root / "wal"), "-d", self.source.dsn_for_programs, "-S", self.source.slot]
        arguments += ["--no-loop", "--no-password", "--status-interval=1"]
        with self._said.open("w") as output:
            self._process = start_program("pg_receivewal", arguments, self.source, output)
        self._started, self._samples = time.monotonic(), deque(maxlen=MOST_SAMPLES)

    def _bury(self) -> None:
        assert self._process is not None
        said = self._said.read_text(errors="replace")
        self._process = None
        if LOST.search(said):
            self._begin_anew(_last(said))
        if time.monotonic() - self._started > STEADY_SECONDS:
            self._pause = FIRST_PAUSE_SECONDS
        self._fail(_last(said))

    def _begin_anew(self, why: str) -> None:
        self.folder.set_aside(now=datetime.now(UTC))
        self.gaps += 1
        log.error("archive_gap", reason=why)

    def _fail(self, why: str) -> None:
        self.problem = why
        self._again_at = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        log.warning("archive_receives_nothing", reason=why)

    def _look(self) -> None:
        found = self.source.positions()
        if found.received is None:
            return
        self._samples.append((found.written, found.at))
        self.received_lsn = found.received
        while self._samples and self._samples[0][0] <= found.received:
            self.received_until = self._samples.popleft()[1]
            self.problem, self._pause = "", FIRST_PAUSE_SECONDS

    def _sum_up(self) -> None:
        """Note the digest of each segment that has become whole. Each is looked at once: there may be tens of thousands."""
        log = self.folder.root / "wal"
        with os.scandir(log) as found:
            fresh = sorted({entry.name for entry in found} - self._summed)
        for name in fresh:
            segment = segment_of(name)
            if segment is None or not segment.is_whole:
                continue
            if not self.folder.sum_of(name):
                with (log / name).open("rb") as file:
                    self.folder.note_sum(name, hashlib.file_digest(file, "sha256").hexdigest())
            self._summed.add(name)


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "error" in line or "FATAL" in line), lines[-1] if lines else "It has ended.")
