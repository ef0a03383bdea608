"""How well any moment can be had: for people, metrics and whoever asks before a restore."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg2

from ops.archive.data import Card, State
from ops.archive.folder import Folder
from ops.archive.source import Source


@dataclass(frozen=True, kw_only=True)
class Standing:
    window_from: datetime | None  # any moment from here on
    window_until: datetime | None  # until here; null: not known
    shipped_until: datetime | None
    cards: list[Card]
    damaged: list[str]
    bytes: int
    gap: datetime | None  # after which there is no base backup yet
    gaps: int
    state: State | None
    slot: str
    missing: list[str]  # what keeps the archive from being kept, or being kept well

    def lag_seconds(self, now: datetime) -> float | None:
        return (now - self.window_until).total_seconds() if self.window_until else None


def window(folder: Folder) -> tuple[datetime | None, datetime | None]:
    """(from, until) of the moments that can be had; after a gap without a base backup they end where that began."""
    cards, state, gap = folder.cards(), folder.state(), folder.gap()
    until = moment(state.received_until) if state else None
    if gap is not None and not any(card.moment > gap for card in cards):
        until = gap
    return (cards[0].moment if cards else None), until


def standing(folder: Folder, source: Source | None) -> Standing:
    """`source` is asked what it allows; without one, only the folder is looked at."""
    start, until = window(folder)
    state, gap, cards = folder.state(), folder.gap(), folder.cards()
    slot, missing = "", list[str]()
    if source is not None:
        missing = [obstacle.text for obstacle in source.obstacles()]
        with suppress(psycopg2.Error):
            slot = source.slot_status() or "none"
    if state is None or (datetime.now(UTC) - datetime.fromisoformat(state.at)).total_seconds() > 60:
        missing.append("Nobody keeps it: `manage.py archive` does not run on this folder.")
    elif state.problem:
        missing.append(state.problem)
    return Standing(
        window_from=start,
        window_until=until,
        shipped_until=moment(state.shipped_until) if state else None,
        cards=cards,
        damaged=folder.damaged(),
        bytes=folder.size(),
        gap=gap if gap is not None and not any(card.moment > gap for card in cards) else None,
        gaps=state.gaps if state else 0,
        state=state,
        slot=slot,
        missing=missing,
    )


def moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
