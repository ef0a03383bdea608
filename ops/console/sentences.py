"""Sentences of ours that were kept in English, on a job, a restore, a backup or an alert, as whoever looks at the console reads them.

What is kept is one text for logs, commands and pages. Here it is found again among the sentences that the product can say, and said in the
active language, with the moments in it by the clock of the place that it is about.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from string import Formatter

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from core.design.formats import format_moment
from core.errors import AppError

# Reasons that errors are given, and whole sentences that are no error's. Each is said somewhere in ops: a test looks there.
KEPT = (
    # Restores, undos and copies
    _("It was cancelled."),
    _("it was cancelled."),
    _("Its job ended before it did."),
    _("it is undone already."),
    _("it has not exchanged anything."),
    _("its time is over."),
    _("there was a later one. Undo that first."),
    _("what was live before is gone."),
    _("it is of another cafeteria ({slug})."),
    _("the cafeteria sold in {then} then and sells in {now} now."),
    _("newer code wrote it ({migration} is not known here). Restore it with that code."),
    _("its schema makes other tables than it has rows for."),
    _("the restored rows of {table} are not those of its manifest."),
    _("the sequence of {table} does not go on where it stood."),
    # Bundles
    _("it is cut off or altered, or it is for another key."),
    _("its manifest is not JSON."),
    _("it is of a format that this code does not know. Restore it with the code that wrote it, or newer."),
    _("its manifest lacks something, or says too much."),
    _("{part} is larger than it may be."),
    _("a part of {table} is missing or twice there."),
    _("a picture is twice in it."),
    _("it is empty, or there is no such file."),
    _("it is not an archive, or a part of it is missing."),
    _("it holds something that no bundle holds."),
    _("its parts are in disorder."),
    _("unpacked it is larger than RESTORE_MAX_GIB allows."),
    _("a part of {table} is damaged."),
    _("a part of {table} is cut off, or has something behind its end."),
    _("its manifest or its signature is missing."),
    _("its manifest was altered, or signed by another key."),
    _("its schema is not the one of its manifest."),
    _("it has other tables than its manifest says."),
    _("the rows of {table} are not those of its manifest."),
    _("its pictures are not those of its manifest."),
    _("its key is not in BACKUP_KEYS. Put the key that wrote it back at their end."),
    _("it is not the one that was written."),
    _("{number} of its pictures are not in the storage, e.g. {key}."),
    _("the sum of {name} is {found}, not {expected}."),
    # Off-site
    _("its card lacks something."),
    _("its card cannot be read."),
    _("its card was altered, or signed by another key."),
    _("its card is of newer code than this."),
    _("its card is another one's."),
    _("its bytes are not those that were backed up."),
    _("it differed right after it was put, and was taken away again."),
    _("its bytes are not those of its checksum."),
    _("it is larger than it may be."),
    _("it is too slow."),
    _("nothing answers at S3_ENDPOINT."),
    _("the connection broke ({error})."),
    _("another one was put in its place meanwhile."),
    _("there is no bucket of the name in S3_BUCKET."),
    _("it does not let S3_ACCESS_KEY and S3_SECRET_KEY do this ({code})."),
    _("it is full ({code})."),
    _("it answered {code}."),
    _("it is cut off."),
    # The archive of every moment
    _("that is no day and time."),
    _("it is in the future."),
    _("there is no base backup yet."),
    _("nothing stood in the bucket {name} at that moment. Is it the right one, and does it keep versions?"),
    _("the script of the cafeteria's schema, of {head}, is not in it."),
    _("{at} UTC is before {first} UTC, from which on any moment can be had."),
    _("nothing of the log has come yet. Is `manage.py archive` running?"),
    _("the log has come only until {until} UTC. Is `manage.py archive` running?"),
    _("the cafeteria was not there yet, or not any more, at {at} UTC."),
    _("the log that is here ends before it: the moment is in a gap, or a segment is damaged."),
    _("the log that is here ends before it, at {place} in segment {segment}: it is in a gap, or this segment is damaged."),
    _("The server cannot be reached ({why})."),
    _("It lets no replication connection in ({why}). Add a line `host replication {user} ...` to pg_hba.conf."),
    _("Incremental base backups need PostgreSQL 17. Until then each base backup is a full one."),
    _("Incremental base backups need summarize_wal = on. Until then each base backup is a full one."),
    _("It is a standby: set ARCHIVE_DATABASE_URL to the primary."),
    _("wal_level is minimal: set it to replica, and start the server anew."),
    _("The role {user} may not replicate: ALTER ROLE {user} REPLICATION, as a superuser."),
    _("There are no replication slots: set max_replication_slots to 4 or more, and start the server anew."),
    _("max_wal_senders is {senders}: set it to 5 or more, and start the server anew."),
    _("Its segments are not of 16 MB: the archive knows no others."),
    _("It has tablespaces of its own, which base backups do not cover: move their tables to pg_default."),
    _("The programs here are of PostgreSQL {programs}, the server is {major}: set PG_PROGRAMS to the folder of version {major}'s."),
    _("the off-site base backup {label} is another one than its card says."),
    _("the log of the base backup {label} is gone: segment {segment} is not there."),
    _("the log segment {name} is not what was received."),
    _("pg_controldata says nothing of {label}."),
    _("it has stopped before the moment: {said}"),
    _("it was gone while it was read ({error})."),
    _("the card of the base backup {name} cannot be read."),
    _("the card of the base backup {name} is of newer code than this."),
    _("the base backup {label} holds a file that was not in it: {name}"),
    _("the base backup {label} lacks a file: {name}"),
    _("the base backup {label} has a file that is not what was written: {name}"),
    _("the base backup {label} is not what was written: {error}"),
    _("the manifest of the base backup {label} cannot be read."),
    _("the manifest of the base backup {label} is gone or altered."),
    _("the off-site base backup {label} is not what was stored."),
    _("the off-site base backup {label} cannot be read: {error}"),
    _("the off-site base backup {label} is gone."),
    _("the off-site card of the base backup {label} cannot be read."),
    _("the off-site card of the base backup {label} is signed by nobody who is known here."),
    _("the off-site log {name} is cut off or altered, or it is for another key."),
    _("the off-site log {name} is signed by nobody who is known here."),
    _("the off-site log {name} cannot be unpacked."),
    _("the off-site base backup {label} holds something that is no file: {name}"),
    _("the off-site base backup {label} cannot be unpacked."),
    _("the base backup {label} has the card of another one."),
    _("the base backup {parent}, on which {label} stands, is gone."),
    # Details of alerts
    _("{host} has no good certificate: {error}."),
    _("The certificate of {host} ends in {number} days and was not renewed."),
    _("The cafeteria was closed and has no proven last backup, so its data is not dropped: {error}"),
    _("{number} pictures are not in the storage, so they are not in the backup: {keys}"),
    _("BACKUP_KEYS is not set: no cafeteria is backed up."),
    _("The newest backup of {slug} is older than {age}, or there is none. See its jobs."),
    _("The local copy of the backup {backup} UTC was damaged, and was fetched again. Look at the disk."),
    _("The off-site copy of the backup {backup} UTC cannot be used: {error}"),
    _("{error} {number} times in a row; {waiting} backups are on this machine only."),
    _("The backup {backup} UTC is not off-site, and its local copy cannot be used: {error}"),
    _("{number} pictures of a backup are neither in the storage nor off-site, e.g. {key}."),
    _("At least {number} pictures of a backup are neither in the storage nor off-site, e.g. {key}."),
    _("{number} pictures were gone off-site. They are copied again."),
    _("The newest backups of {number} cafeterias are on this machine only, among them {first} UTC. See the jobs that copy them."),
    _("The backup of {slug} of {moment} UTC failed its proof: {error}"),
    _("{number} pictures of the backup are nowhere to be found, e.g. {key}."),
    _("{number} cafeterias are not backed up as they should be: {slugs}"),
    _("Nothing has come into the archive since {until} UTC: {problem}"),
    _("The log has a gap at {gap} UTC. Moments after it can be had once a new full base backup is there."),
    _("The newest base backup is of {newest} UTC."),
    _("A restore or an undo could not be brought to its end, so its money may not be put back. {error}"),
    _("{error} ({number} times in a row)"),
    # Of a restore or a copy that waits for the off-site storage
    _("{error} Attempt {number} of {tries} follows at {at} UTC."),
    _("{said} It was tried {number} times."),
)
# What Python makes of a full disk.
FULL, FULL_AT = _("The disk is full."), _("The disk is full: {path}")
DISK = re.compile(r"(?:OSError: )?\[Errno 28\] No space left on device(?:: (?P<path>.+))?")
MOMENT = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d)(?::(\d\d))? UTC")
KIND_OF_ERROR = re.compile(r"[A-Z]\w+: (?P<text>.+)")  # before a job's error


def told(text: str, zone: str) -> tuple[str, bool]:
    """(the text in the active language with its moments by the clock of the zone, whether it is one of ours; else it is as it was kept)."""
    said = _said_of(text)
    return _by_the_clock(text if said is None else said, zone), said is not None


def refusal(error: AppError, zone: str) -> str:
    """What an error says, in the active language and by the clock of the zone."""
    speaks_itself = type(error).translated is not AppError.translated
    said = None if speaks_itself else _said_anew(str(error))
    return _by_the_clock(error.translated() if said is None else said, zone)


def _said_of(text: str) -> str | None:
    """Also when the kind of error stands before it."""
    kind = KIND_OF_ERROR.fullmatch(text)
    return _said_anew(text) or (_said_anew(kind["text"]) if kind is not None else None)


def _said_anew(text: str) -> str | None:
    if (full := DISK.fullmatch(text)) is not None:
        return gettext(FULL_AT).format(path=full["path"]) if full["path"] else gettext(FULL)
    for sentence, pattern in _sentences():
        if (found := pattern.fullmatch(text)) is not None:
            parts = {name: _said_of(part) or part for name, part in found.groupdict().items()}
            return gettext(sentence).format(**parts)
    return None


def _by_the_clock(text: str, zone: str) -> str:
    """Each moment in UTC as that of the zone, which is named once."""
    last = max((found.start() for found in MOMENT.finditer(text)), default=0)

    def moment(found: re.Match[str]) -> str:
        try:
            at = datetime(*(int(part or 0) for part in found.groups()), tzinfo=UTC)  # type: ignore[misc, arg-type]
        except ValueError:
            return found[0]
        told = format_moment(at, zone, "exact")
        return f"{told} ({zone})" if found.start() == last else told

    return MOMENT.sub(moment, text)


@cache
def _sentences() -> list[tuple[str, re.Pattern[str]]]:
    """Those with the most words of their own first: of two that fit, the one that says more is meant."""
    found = {*KEPT, *(kind.template() for kind in _kinds(AppError))}
    return [(sentence, _pattern(sentence)) for sentence in sorted(found, key=_own_words, reverse=True) if _own_words(sentence)]


def _kinds(kind: type[AppError]) -> Iterator[type[AppError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _kinds(child)


def _own_words(sentence: str) -> int:
    return sum(len(literal.strip()) for literal, *_rest in Formatter().parse(sentence))


def _pattern(sentence: str) -> re.Pattern[str]:
    seen: set[str] = set()
    parts = []
    for literal, name, *_rest in Formatter().parse(sentence):
        parts.append(re.escape(literal))
        if name:
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>.+)")
            seen.add(name)
    return re.compile("".join(parts), re.DOTALL)
