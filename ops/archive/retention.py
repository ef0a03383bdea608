"""What the window of days needs, and nothing else."""

import shutil
from contextlib import suppress
from datetime import datetime, timedelta

from django.conf import settings

from ops.archive.data import PARTIAL, Card, segment_of
from ops.archive.errors import ArchiveDamaged
from ops.archive.folder import Folder, chain_of

FORMER_KEPT = timedelta(days=30)  # what another server, or other keys, have left


def kept(cards: list[Card], *, now: datetime) -> tuple[set[str], int]:
    """(labels of the bases that some moment of the window needs, the first segment of the log that one of them needs)."""
    limit = now - timedelta(days=settings.ARCHIVE_DAYS)
    cards = sorted(cards, key=lambda card: card.moment)
    by_label = {card.label: card for card in cards}
    before = [card for card in cards if card.moment <= limit]
    chosen = [*before[-1:], *(card for card in cards if card.moment > limit)]
    labels: set[str] = set()
    for card in chosen:
        labels.add(card.label)
        with suppress(ArchiveDamaged):
            labels |= {part.label for part in chain_of(card, by_label)}
    return labels, min((card.first_segment for card in chosen), default=0)


def forget_old(folder: Folder, *, now: datetime) -> int:
    """Erase what the window does not need; how many bases and files of the log. Killed at any time, nothing half passes for a base."""
    cards = folder.cards()
    labels, first = kept(cards, now=now)
    gone = 0
    for card in cards:
        if card.label not in labels:
            (folder.bases / card.label / "card.json").unlink(missing_ok=True)
            gone += 1
    for path in folder.bases.iterdir():
        if not (path / "card.json").exists():  # Bases come into this place with their card.
            shutil.rmtree(path, ignore_errors=True)
    _forget_former(folder, now)
    return gone + _forget_log(folder, first)


def _forget_log(folder: Folder, first: int) -> int:
    old = [path for log in folder.logs for path in log.iterdir() if (segment := segment_of(path.name)) and segment.number < first]
    for path in old:
        path.unlink(missing_ok=True)
        (folder.root / "sums" / path.name.removesuffix(PARTIAL)).unlink(missing_ok=True)
    return len(old)


def _forget_former(folder: Folder, now: datetime) -> None:
    for path in (folder.root / "former").glob("*"):
        state = path / "state.json"
        if state.exists() and now.timestamp() - state.stat().st_mtime > FORMER_KEPT.total_seconds():
            shutil.rmtree(path, ignore_errors=True)
