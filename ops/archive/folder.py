"""The archive on this machine. What lies in it is all there is to know: it is used when the database is lost.

bases/<label>/       a base backup, with its card.json in it: where a card is, a whole and verified base is
wal/                 what pg_receivewal is writing; earlier/ is what it had written before a gap
sums/                the SHA-256 of each whole segment, as it was when it was whole
scratch/, part/      recoveries and bases under way: nothing of it is ever believed
former/              the archive of a server that is not the one that runs now
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from secrets import token_hex

from ops.archive.data import HISTORY, PARTIAL, Card, Segment, State, card_from_json, segment_of, state_from_json
from ops.archive.errors import ArchiveDamaged
from ops.postgres.programs import give_to_system_user, open_path_to, system_user

# Looked into in this order: after a gap the newer of two copies has more in it.
LOGS = ("wal", "earlier")
BASE_END = ".tar.zst.age"  # of a base as it goes off-site


@dataclass(frozen=True, slots=True)
class Span:
    """Any moment of it can be gone back to."""

    start: datetime
    end: datetime | None  # None: up to what has been received


class Folder:
    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def bases(self) -> Path:
        return self.root / "bases"

    @property
    def scratch(self) -> Path:
        return self.root / "scratch"

    @property
    def logs(self) -> list[Path]:
        return [self.root / name for name in LOGS]

    def prepare(self) -> None:
        """Make its folders, for the user that PostgreSQL's programs run as."""
        self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        if system_user() is not None:
            open_path_to(self.root / "bases")
            self.root.chmod(0o755)
        for name in ("bases", "sums", "scratch", "part", *LOGS):
            folder = self.root / name
            folder.mkdir(mode=0o700, exist_ok=True)
            give_to_system_user(folder)

    def cards(self) -> list[Card]:
        """Of the bases that can be read, the oldest first. Raises ArchiveDamaged for none: a bad one is left out and told by `damaged`."""
        found = []
        for label in self._labels():
            with suppress(ArchiveDamaged, OSError):
                found.append(self.card(label))
        return sorted(found, key=lambda card: card.moment)

    def damaged(self) -> list[str]:
        """Labels of bases whose card cannot be read."""
        readable = {card.label for card in self.cards()}
        return [label for label in self._labels() if label not in readable]

    def card(self, label: str) -> Card:
        """Raises ArchiveDamaged, FileNotFoundError."""
        card = card_from_json((self.bases / label / "card.json").read_bytes(), name=label)
        if card.label != label:
            raise ArchiveDamaged(f"the base backup {label} has the card of another one.")
        return card

    def chain(self, card: Card) -> list[Card]:
        """From its full base on. Raises ArchiveDamaged when one of them is gone."""
        return chain_of(card, {other.label: other for other in self.cards()})

    def segments(self) -> dict[str, Path]:
        """Whole ones by name, wherever they are."""
        return {path.name: path for path in self._log_files() if segment_of(path.name) and not _is_partial(path)}

    def partials(self) -> dict[str, Path]:
        """Those that are not whole, by their name with .partial: only where the whole one is not."""
        whole = self.segments()
        found = (path for path in self._log_files() if _is_partial(path) and path.name.removesuffix(PARTIAL) not in whole)
        return {path.name: path for path in found}

    def histories(self) -> dict[str, Path]:
        return {path.name: path for path in self._log_files() if HISTORY.fullmatch(path.name)}

    def sum_of(self, name: str) -> str:
        """Empty: it was not written down."""
        with suppress(FileNotFoundError):
            return (self.root / "sums" / name).read_text().strip()
        return ""

    def note_sum(self, name: str, sha256: str) -> None:
        write_whole(self.root / "sums" / name, sha256.encode())

    def state(self) -> State | None:
        with suppress(FileNotFoundError):
            return state_from_json((self.root / "state.json").read_bytes())
        return None

    def note_state(self, state: State) -> None:
        write_whole(self.root / "state.json", state.as_json(), durable=False)

    def part(self, name: str) -> Path:
        """A new empty folder beside, for what is moved into place when it is whole."""
        folder = self.root / "part" / f"{name}.{token_hex(4)}"
        folder.mkdir(mode=0o700)
        give_to_system_user(folder)
        return folder

    def sweep_unfinished(self) -> None:
        """Erase what a killed keeper had not finished writing. Only for the one that keeps the archive now."""
        begun = (path for path in (self.root / "outbox").glob("*") if not path.name.endswith(BASE_END))
        for path in [*begun, *self.root.glob(".*.*"), *(self.root / "sums").glob(".*.*")]:
            if path.is_file():
                path.unlink(missing_ok=True)

    def packed(self, label: str) -> Path:
        """Where a base waits for its way off-site, as it goes there."""
        return self.root / "outbox" / f"{label}{BASE_END}"

    def sweep_packed(self, *, keep: set[str]) -> None:
        """Erase those of bases that are off-site, or gone."""
        for path in (self.root / "outbox").glob(f"*{BASE_END}"):
            if path.name.removesuffix(BASE_END) not in keep:
                path.unlink(missing_ok=True)

    def gap(self) -> datetime | None:
        """When the log last began anew: what was taken before stands on the log of before."""
        with suppress(FileNotFoundError, ValueError):
            return datetime.fromisoformat((self.root / "gap").read_text())
        return None

    def set_aside(self, *, now: datetime) -> None:
        """The log goes on after a gap: what there is moves away from where pg_receivewal looks for its place."""
        write_whole(self.root / "gap", now.isoformat().encode())
        log, earlier = self.logs
        for path in sorted(log.iterdir()):
            path.replace(earlier / path.name)

    def retire(self, system_identifier: str) -> Path:
        """Another server runs now: all of the old one's archive moves to former/, and a new one begins. Killed, the next one goes on."""
        number = 1
        while (target := self.root / "former" / f"{system_identifier}-{number}").joinpath("state.json").exists():
            number += 1
        target.mkdir(parents=True, exist_ok=True)
        for name in ("bases", "sums", *LOGS, "gap", "state.json"):  # The state last: with it, all is there.
            _move(self.root / name, target / name)
        self.prepare()
        return target

    def size(self) -> int:
        """Bytes on the disk of bases and log; a few stat calls a base."""
        logs = sum(path.stat().st_blocks * 512 for path in self._log_files())
        return sum(card.size for card in self.cards()) + logs

    def _labels(self) -> list[str]:
        with suppress(FileNotFoundError):
            return sorted(path.name for path in self.bases.iterdir() if (path / "card.json").exists())
        return []

    def _log_files(self) -> Iterator[Path]:
        for log in reversed(self.logs):  # The first place wins in what is made of it.
            if log.exists():
                yield from sorted(log.iterdir())


def chain_of(card: Card, by_label: dict[str, Card]) -> list[Card]:
    """From its full base on. Raises ArchiveDamaged when one of them is not among the cards."""
    chain = [card]
    while chain[0].kind != "full":
        parent = by_label.get(chain[0].parent)
        if parent is None or len(chain) > len(by_label):
            raise ArchiveDamaged(f"the base backup {chain[0].parent}, on which {chain[0].label} stands, is gone.")
        chain.insert(0, parent)
    return chain


def end_of_run(first: int, segments: list[Segment]) -> Segment | None:
    """The last segment that can be replayed to, without one missing, from segment number `first` on; None when that is not there."""
    by_number: dict[int, Segment] = {}
    for segment in sorted(segments, key=lambda segment: (segment.number, segment.is_whole, segment.timeline)):
        by_number[segment.number] = segment
    last, number = None, first
    while (found := by_number.get(number)) is not None:
        last, number = found, number + 1
        if not found.is_whole and number not in by_number:
            break
    return last


def write_whole(path: Path, content: bytes, *, durable: bool = True) -> None:
    """In place of what is there, at once."""
    part = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _move(path: Path, target: Path) -> None:
    """Also what is left to move, when one that was killed has moved the folder, and an empty one was made in its place."""
    if path.is_dir() and target.is_dir():
        for inner in path.iterdir():
            inner.rename(target / inner.name)
    elif path.exists():
        path.rename(target)


def _is_partial(path: Path) -> bool:
    return path.name.endswith(PARTIAL)
