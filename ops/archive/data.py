"""What the archive is made of: positions in PostgreSQL's log, its segments, and the cards of base backups."""

import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import orjson

from ops.archive.errors import ArchiveDamaged

FORMAT = 1
SEGMENT_SIZE = 16 * 1024 * 1024
SEGMENT = re.compile(r"[0-9A-F]{24}")
HISTORY = re.compile(r"[0-9A-F]{8}\.history")
PARTIAL = ".partial"


def lsn_from_text(text: str) -> int:
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def lsn_as_text(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Segment:
    """One file of the log."""

    number: int  # its place in the log, whatever the timeline
    timeline: int
    name: str
    is_whole: bool  # else PostgreSQL is still writing it


def segment_of(name: str) -> Segment | None:
    """None for what is no segment's name."""
    plain = name.removesuffix(PARTIAL)
    if not SEGMENT.fullmatch(plain):
        return None
    number = int(plain[8:16], 16) * (2**32 // SEGMENT_SIZE) + int(plain[16:], 16)
    return Segment(number=number, timeline=int(plain[:8], 16), name=plain, is_whole=plain == name)


def segment_name(timeline: int, number: int) -> str:
    high, low = divmod(number, 2**32 // SEGMENT_SIZE)
    return f"{timeline:08X}{high:08X}{low:08X}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """A base backup that is whole and verified. Its moments are ISO 8601 with offset."""

    format: int
    label: str
    kind: str  # full, incremental
    parent: str  # label of the base that an incremental one stands on
    system_identifier: str
    timeline: int
    start_lsn: str  # from here on the log is needed
    end_lsn: str
    began_at: str
    taken_at: str  # from this moment on it can be gone back to
    size: int  # bytes
    release: str
    server_version: int
    manifest_sha256: str  # of backup_manifest, which has a checksum of every file

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.taken_at)

    @property
    def first_segment(self) -> int:
        return lsn_from_text(self.start_lsn) // SEGMENT_SIZE

    def as_json(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def card_from_json(text: bytes, *, name: str) -> Card:
    """Raises ArchiveDamaged, by the base's name."""
    try:
        found: Any = orjson.loads(text)
        card = Card(**found)
        lsn_from_text(card.start_lsn), lsn_from_text(card.end_lsn), card.moment
    except (orjson.JSONDecodeError, TypeError, ValueError, AttributeError):
        raise ArchiveDamaged(f"the card of the base backup {name} cannot be read.") from None
    if card.format != FORMAT:
        raise ArchiveDamaged(f"the card of the base backup {name} is of newer code than this.")
    return card


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What the program that keeps the archive has last written about itself, in state.json."""

    at: str  # when
    system_identifier: str = ""
    received_until: str = ""  # everything committed before this moment is in the archive; empty: not known yet
    received_lsn: str = ""
    shipped_until: str = ""  # the same, off-site
    key_id: str = ""  # off-site alone: of the backup key by which it is encrypted now
    problem: str = ""  # what keeps it from working now, in English
    gaps: int = 0  # since the archive was begun

    def as_json(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2)


def state_from_json(text: bytes) -> State | None:
    """None when it cannot be read: it will be written anew in a moment."""
    try:
        return State(**orjson.loads(text))
    except (orjson.JSONDecodeError, TypeError):
        return None
