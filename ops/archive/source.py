"""The server whose archive is kept: how to reach it, what it allows, and the slot that lets it keep what has not been received."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg2
from django.conf import settings
from django.db import connection
from django.utils.translation import gettext_noop as _
from psycopg2.extensions import make_dsn, parse_dsn
from psycopg2.extras import PhysicalReplicationConnection

from ops.archive.data import SEGMENT_SIZE
from ops.archive.errors import ArchiveNotPossible, Obstacle
from ops.postgres.programs import EmbeddedServerFailed, programs_version

APPLICATION = "comanda_archive"
INCREMENTAL_SINCE = 170000
FACTS = """SELECT current_setting('server_version_num')::int, current_setting('wal_level'), current_setting('max_wal_senders')::int,
    current_setting('max_replication_slots')::int, coalesce(current_setting('summarize_wal', true), 'off') = 'on', pg_is_in_recovery(),
    (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user), current_user,
    (SELECT count(*) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')),
    (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size')"""
SLOT = "SELECT coalesce(wal_status, 'lost'), active FROM pg_replication_slots WHERE slot_name = %s"
# The sender's own figures, of whoever holds our slot: pg_receivewal tells them once a second.
POSITIONS = """SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn, clock_timestamp(),
    (SELECT write_lsn - '0/0'::pg_lsn FROM pg_stat_replication JOIN pg_replication_slots ON active_pid = pid WHERE slot_name = %s)"""
# A server that vanishes without a word is noticed within a minute, not after the kernel's two hours.
NOTICED = {"connect_timeout": "10", "keepalives_idle": "20", "keepalives_interval": "10", "keepalives_count": "4"}
NOTICED |= {"tcp_user_timeout": "60000"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    version: int
    wal_level: str
    senders: int
    slots: int
    summarizes: bool
    in_recovery: bool
    may_replicate: bool
    user: str
    tablespaces: int
    segment_size: int

    @property
    def incremental(self) -> bool:
        return self.summarizes and self.version >= INCREMENTAL_SINCE


@dataclass(frozen=True, kw_only=True, slots=True)
class Positions:
    written: int  # by the server
    received: int | None  # None: nobody is receiving
    at: datetime  # by the server's clock


class Source:
    """`address` is a connection's DSN, of a role that may replicate; past any pooler."""

    def __init__(self, address: str, slot: str = "comanda_archive") -> None:
        self._parameters: dict[str, str] = NOTICED | {name: str(value) for name, value in parse_dsn(address).items()}
        self._identifier = ""
        self.slot = slot

    @property
    def dsn_for_programs(self) -> str:
        """Without the password, which does not belong on a command line."""
        shown = {name: value for name, value in self._parameters.items() if name not in {"password", "dbname"}}
        return make_dsn(**{**shown, "application_name": APPLICATION})

    @property
    def environment(self) -> dict[str, str]:
        password = self._parameters.get("password") or os.environ.get("PGPASSWORD")
        return {"PGPASSWORD": password} if password else {}

    @property
    def user(self) -> str:
        return self._parameters.get("user", "postgres")

    @property
    def database(self) -> str:
        return self._parameters.get("dbname", "postgres")

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """A cursor on a connection of its own; each statement commits by itself. Raises psycopg2.Error."""
        dsn = make_dsn(**{**self._parameters, "application_name": "comanda_archive_look"})
        with closing(psycopg2.connect(dsn)) as own:
            own.autocommit = True
            with own.cursor() as cursor:
                yield cursor

    def facts(self) -> Facts:
        """Raises psycopg2.Error."""
        with self.connected() as cursor:
            cursor.execute(FACTS)
            names = ("version", "wal_level", "senders", "slots", "summarizes", "in_recovery", "may_replicate", "user", "tablespaces")
            return Facts(**dict(zip((*names, "segment_size"), cursor.fetchone(), strict=True)))

    def identity(self) -> tuple[str, int]:
        """(system identifier, timeline), over a replication connection. Raises psycopg2.Error when the server does not let it in."""
        dsn = make_dsn(**self._parameters)
        with closing(psycopg2.connect(dsn, connection_factory=PhysicalReplicationConnection)) as own, own.cursor() as cursor:
            cursor.execute("IDENTIFY_SYSTEM")
            found: Any = cursor.fetchone()
            self._identifier = str(found[0])
            return self._identifier, int(found[1])

    @property
    def system_identifier(self) -> str:
        """As it was when the server was last asked. Raises as `identity` when it never was."""
        return self._identifier or self.identity()[0]

    def obstacles(self, *, of_programs: bool = True) -> list[Obstacle]:
        """What keeps the archive from being kept, or from being kept well; empty when all is right.

        `of_programs`: also what is wrong with PostgreSQL's programs of this machine, which only those that keep the archive need.
        """
        try:
            facts = self.facts()
        except psycopg2.Error as error:
            return [Obstacle(words=_("The server cannot be reached ({why})."), facts={"why": first_line(error)})]
        found = [obstacle for wrong, obstacle in _rules(facts) if wrong]
        if of_programs:
            found = [*_rules_of_programs(facts), *found]
        if not any(obstacle.forbids for obstacle in found):
            try:
                self.identity()
            except psycopg2.Error as error:
                words = _("It lets no replication connection in ({why}). Add a line `host replication {user} ...` to pg_hba.conf.")
                found.append(Obstacle(words=words, facts={"why": first_line(error), "user": facts.user}))
        if facts.version < INCREMENTAL_SINCE:
            words = _("Incremental base backups need PostgreSQL 17. Until then each base backup is a full one.")
            found.append(Obstacle(words=words, forbids=False))
        elif not facts.summarizes:
            words = _("Incremental base backups need summarize_wal = on. Until then each base backup is a full one.")
            found.append(Obstacle(words=words, forbids=False))
        return found

    def check(self, *, of_programs: bool = True) -> None:
        """Raises ArchiveNotPossible with everything that has to be changed, and what to do."""
        forbidden = [obstacle for obstacle in self.obstacles(of_programs=of_programs) if obstacle.forbids]
        if forbidden:
            raise ArchiveNotPossible(obstacles=forbidden)

    def slot_status(self) -> str:
        """reserved, extended, unreserved, lost, or empty when there is none. Raises psycopg2.Error."""
        with self.connected() as cursor:
            cursor.execute(SLOT, [self.slot])
            found = cursor.fetchone()
            return str(found[0]) if found else ""

    def make_slot(self) -> None:
        """Anew when it is lost; what the server still has is kept from now on. Raises psycopg2.Error."""
        with self.connected() as cursor:
            cursor.execute(SLOT, [self.slot])
            found = cursor.fetchone()
            if found and found[0] == "lost":
                cursor.execute("SELECT pg_drop_replication_slot(%s)", [self.slot])
                found = None
            if found is None:
                with suppress(psycopg2.errors.DuplicateObject):
                    cursor.execute("SELECT pg_create_physical_replication_slot(%s, true)", [self.slot])

    def positions(self) -> Positions:
        """Raises psycopg2.Error."""
        with self.connected() as cursor:
            cursor.execute(POSITIONS, [self.slot])
            written, at, received = cursor.fetchone()
            return Positions(written=int(written), received=int(received) if received is not None else None, at=at)

    def mark(self) -> tuple[int, datetime]:
        """(a position, the server's time): everything committed before the time stands before the position, and a commit between them.

        Without that commit a recovery would not know that it has reached the moment.
        """
        with self.connected() as cursor:
            cursor.execute("SET synchronous_commit = local")
            cursor.execute("SELECT pg_logical_emit_message(true, 'comanda', 'mark'), clock_timestamp()")
            at = cursor.fetchone()[1]
            cursor.execute("SELECT pg_logical_emit_message(true, 'comanda', 'mark')")
            cursor.execute("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn")
            return int(cursor.fetchone()[0]), at


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def source_of_settings() -> Source:
    """The database's, past its pooler; with ARCHIVE_DATABASE_URL, by another role."""
    if address := settings.ARCHIVE_DATABASE_URL or settings.DATABASE_DIRECT_URL:
        return Source(address, slot=settings.ARCHIVE_SLOT)
    parts = connection.settings_dict
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    return Source(make_dsn(**{to: str(parts[name]) for name, to in names.items() if parts.get(name)}), slot=settings.ARCHIVE_SLOT)


def _rules(facts: Facts) -> list[tuple[bool, Obstacle]]:
    known = {"user": facts.user, "senders": facts.senders}
    rules = [
        (facts.in_recovery, _("It is a standby: set ARCHIVE_DATABASE_URL to the primary.")),
        (facts.wal_level == "minimal", _("wal_level is minimal: set it to replica, and start the server anew.")),
        (not facts.may_replicate, _("The role {user} may not replicate: ALTER ROLE {user} REPLICATION, as a superuser.")),
        (facts.slots < 1, _("There are no replication slots: set max_replication_slots to 4 or more, and start the server anew.")),
        (facts.senders < 3, _("max_wal_senders is {senders}: set it to 5 or more, and start the server anew.")),
        (facts.segment_size != SEGMENT_SIZE, _("Its segments are not of 16 MB: the archive knows no others.")),
        (
            facts.tablespaces > 0,
            _("It has tablespaces of its own, which base backups do not cover: move their tables to pg_default."),
        ),
    ]
    return [(wrong, Obstacle(words=words, facts=known)) for wrong, words in rules]


def _rules_of_programs(facts: Facts) -> list[Obstacle]:
    try:
        programs = programs_version()
    except (EmbeddedServerFailed, OSError) as error:
        return [Obstacle(words="{why}", facts={"why": error})]
    major = facts.version // 10000
    if programs == major:
        return []
    words = _("The programs here are of PostgreSQL {programs}, the server is {major}: set PG_PROGRAMS to the folder of version {major}'s.")
    return [Obstacle(words=words, facts={"programs": programs, "major": major})]
