"""The archive a second time, in the S3 of the backups. Everything is compressed with zstd, encrypted with age, and signed.

<prefix>archive/<system identifier>/log/<segment>.zst.age   the segment; .partial.zst.age is the one that is being written
                                    bases/<label>.tar.zst.age, and <label>.json, its card: where a card is, a whole base is
                                    state.json
"""

import hashlib
import struct
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import IO, Any

import orjson
import pyrage
import structlog
from django.conf import settings

from ops.archive.data import PARTIAL, Card, State, card_from_json, segment_of, state_from_json
from ops.archive.errors import ArchiveDamaged
from ops.archive.folder import BASE_END, Folder
from ops.archive.retention import FORMER_KEPT, kept
from ops.backups.bundles.keys import bundle_keys
from ops.backups.bundles.streams import decrypted_from, encrypted_into
from ops.backups.bundles.zstd import ZstdCompressor, ZstdDecompressor, ZstdError
from ops.backups.errors import BundleRefused
from ops.backups.offsite import gateway
from ops.backups.offsite.actions import prefix
from ops.backups.offsite.errors import OffsiteDamaged, OffsiteNotFound, OffsiteUnavailable
from ops.backups.offsite.files import look_at
from ops.postgres.programs import give_to_system_user

log = structlog.get_logger()

LOG_PURPOSE, CARD_PURPOSE = b"comanda archive log 1\n", b"comanda archive card 1\n"
SKIPPED = struct.Struct("<II")  # of a zstd frame that every reader skips: in it is the signature
SKIPPED_MAGIC = 0x184D2A50
SIGNATURE = 64
LARGEST_SEGMENT, LARGEST_TEXT = 64 * 1024 * 1024, 64 * 1024
PIECE = 1024 * 1024
FETCH_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds; one broken connection must not end a recovery of thousands of files
LOG_END = ".zst.age"

type Step = Callable[[str], None]


def is_set_up() -> bool:
    return bool(settings.S3_BUCKET and settings.BACKUP_KEYS)


class Offsite:
    """The off-site archive of one cluster."""

    def __init__(self, system_identifier: str) -> None:
        self.root = f"{prefix()}archive/{system_identifier}/"
        self.bucket = gateway.bucket_of_settings()
        self._believed: dict[str, Card] = {}  # read once: a label is given once

    def log_names(self) -> dict[str, int]:
        """Name in the log, with .partial, and the bytes of its object. Raises OffsiteUnavailable."""
        start = f"{self.root}log/"
        return {key.removeprefix(start).removesuffix(LOG_END): size for key, size in gateway.list_objects(self.bucket, start)}

    def put_log(self, name: str, content: bytes, folder: Folder) -> None:
        """Raises OffsiteUnavailable, OffsiteDamaged."""
        with self._outgoing(folder) as path:
            path.write_bytes(sealed(name, content))
            gateway.put_file(self.bucket, f"{self.root}log/{name}{LOG_END}", path, look_at(path))

    def fetch_log(self, name: str, target: Path) -> None:
        """Raises OffsiteNotFound, OffsiteUnavailable, and ArchiveDamaged by the segment's name."""
        text = self._text(f"{self.root}log/{name}{LOG_END}", most=LARGEST_SEGMENT)
        target.write_bytes(opened(name, text))
        give_to_system_user(target)

    def erase_log(self, name: str) -> None:
        gateway.erase(self.bucket, f"{self.root}log/{name}{LOG_END}")

    def cards(self) -> list[Card]:
        """The oldest first; those that cannot be believed, or whose base is gone, are left out. Raises OffsiteUnavailable."""
        return self.bases()[0]

    def bases(self) -> tuple[list[Card], set[str]]:
        """(as `cards`, the labels of all else that lies there). Raises OffsiteUnavailable."""
        names = {key.rpartition("/")[2] for key, _size in gateway.list_objects(self.bucket, f"{self.root}bases/")}
        cards = [card for name in names if name.endswith(BASE_END) if (card := self._believe(name.removesuffix(BASE_END), names))]
        labels = {name.removesuffix(BASE_END).removesuffix(".json") for name in names}
        return sorted(cards, key=lambda card: card.moment), labels - {card.label for card in cards}

    def _believe(self, label: str, names: set[str]) -> Card | None:
        if f"{label}.json" not in names:
            return None
        if label not in self._believed:
            with suppress(ArchiveDamaged, OffsiteNotFound, OffsiteDamaged, BundleRefused):
                self._believed[label] = self._card(label)[0]
        return self._believed.get(label)

    def put_base(self, folder: Folder, card: Card, *, step: Step = lambda _what: None) -> None:
        """Base first, card last. What was packed stays until it is there: the next try goes on with the parts that are.

        Raises OffsiteUnavailable, OffsiteDamaged, OSError.
        """
        key, packed = bundle_keys()[0], folder.packed(card.label)
        if not packed.exists():
            with self._outgoing(folder) as path:
                with encrypted_into(path, key) as (plain, _written):
                    write_tar(folder.bases / card.label, plain, step=step)
                path.replace(packed)
        found = look_at(packed)
        gateway.put_file(self.bucket, self._base_key(card.label), packed, found, step=lambda _: step("off-site"))
        facts = {"card": orjson.loads(card.as_json()), "key_id": key.key_id, "size": found.size, "sha256": found.sha256}
        text = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
        signed = orjson.dumps({"facts": facts, "signature": key.sign(CARD_PURPOSE + text)}, option=orjson.OPT_INDENT_2)
        gateway.put_text(self.bucket, self._card_key(card.label), signed)
        packed.unlink()

    def fetch_base(self, label: str, target: Path, *, step: Step = lambda _what: None) -> Card:
        """Into an empty folder. Raises OffsiteUnavailable, and ArchiveDamaged by the base's name."""
        card, size, sha256 = self._card(label)
        path = target.with_suffix(".fetched")
        try:
            if gateway.fetch_file(self.bucket, self._base_key(label), path, step=lambda _: step("fetch")) != (size, sha256):
                raise ArchiveDamaged(f"the off-site base backup {label} is not what was stored.")
            with decrypted_from(path, bundle_keys()) as plain:
                read_tar(plain, target, label=label, step=step)
        except BundleRefused as error:
            raise ArchiveDamaged(f"the off-site base backup {label} cannot be read: {error.reason}") from None
        except OffsiteNotFound:
            raise ArchiveDamaged(f"the off-site base backup {label} is gone.") from None
        finally:
            path.unlink(missing_ok=True)
        return card

    def erase_base(self, label: str) -> None:
        gateway.erase(self.bucket, self._card_key(label))
        gateway.erase(self.bucket, self._base_key(label))

    def state(self) -> State | None:
        with suppress(OffsiteNotFound):
            return state_from_json(gateway.get_text(self.bucket, f"{self.root}state.json", most=LARGEST_TEXT))
        return None

    def put_state(self, state: State) -> None:
        gateway.put_text(self.bucket, f"{self.root}state.json", state.as_json())

    def erase_all(self) -> None:
        for key, _size in list(gateway.list_objects(self.bucket, self.root)):
            gateway.erase(self.bucket, key)

    def _text(self, key: str, *, most: int) -> bytes:
        """Asked for again when the storage does not answer. Raises OffsiteNotFound, OffsiteUnavailable, OffsiteDamaged."""
        for pause in FETCH_PAUSES:
            with suppress(OffsiteUnavailable):
                return gateway.get_text(self.bucket, key, most=most)
            time.sleep(pause)
        return gateway.get_text(self.bucket, key, most=most)

    def _card(self, label: str) -> tuple[Card, int, str]:
        try:
            found: Any = orjson.loads(gateway.get_text(self.bucket, self._card_key(label), most=LARGEST_TEXT))
            facts, signature = found["facts"], str(found["signature"])
            key_id, size, sha256 = str(facts["key_id"]), int(facts["size"]), str(facts["sha256"])
            card = card_from_json(orjson.dumps(facts["card"]), name=label)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise ArchiveDamaged(f"the off-site card of the base backup {label} cannot be read.") from None
        text = CARD_PURPOSE + orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
        if card.label != label or not any(key.key_id == key_id and key.has_signed(text, signature) for key in bundle_keys()):
            raise ArchiveDamaged(f"the off-site card of the base backup {label} is signed by nobody who is known here.")
        return card, size, sha256

    def _base_key(self, label: str) -> str:
        return f"{self.root}bases/{label}{BASE_END}"

    def _card_key(self, label: str) -> str:
        return f"{self.root}bases/{label}.json"

    @contextmanager
    def _outgoing(self, folder: Folder) -> Iterator[Path]:
        outbox = folder.root / "outbox"
        outbox.mkdir(mode=0o700, exist_ok=True)
        path = outbox / token_hex(8)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


def clusters() -> list[str]:
    """System identifiers of all that is off-site, the newest base last. Raises OffsiteUnavailable."""
    start, bucket = f"{prefix()}archive/", gateway.bucket_of_settings()
    found: dict[str, str] = {}
    for key, _size in gateway.list_objects(bucket, start):
        identifier, _, rest = key.removeprefix(start).partition("/")
        if rest.startswith("bases/") and rest.endswith(".json"):
            found[identifier] = max(found.get(identifier, ""), rest)
    return sorted(found, key=lambda identifier: found[identifier])


def sealed(name: str, content: bytes) -> bytes:
    """A file of the log as it goes off-site; `zstd -d` skips the signature that comes first."""
    key = bundle_keys()[0]
    packed = ZstdCompressor(level=3).compress(content, ZstdCompressor.FLUSH_FRAME)
    signature = key.sign(LOG_PURPOSE + name.encode() + b"\n" + packed).encode()
    text: bytes = pyrage.encrypt(SKIPPED.pack(SKIPPED_MAGIC, SIGNATURE) + signature + packed, [key.identity.to_public()])
    return text


def opened(name: str, text: bytes) -> bytes:
    """Raises ArchiveDamaged, by the name."""
    keys = bundle_keys()
    try:
        plain = pyrage.decrypt(text, [key.identity for key in keys])
    except pyrage.DecryptError:
        raise ArchiveDamaged(f"the off-site log {name} is cut off or altered, or it is for another key.") from None
    start = SKIPPED.size + SIGNATURE
    signature, packed = plain[SKIPPED.size : start].decode("ascii", errors="replace"), plain[start:]
    if not any(key.has_signed(LOG_PURPOSE + name.encode() + b"\n" + packed, signature) for key in keys):
        raise ArchiveDamaged(f"the off-site log {name} is signed by nobody who is known here.")
    try:
        return ZstdDecompressor().decompress(packed, LARGEST_SEGMENT)
    except ZstdError:
        raise ArchiveDamaged(f"the off-site log {name} cannot be unpacked.") from None


def write_tar(source: Path, target: IO[bytes], *, step: Step) -> None:
    """The folder's files, as a tar within zstd."""
    packing = _Packing(target)
    with tarfile.open(fileobj=packing, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
        for path in sorted(source.rglob("*")):
            step("pack")
            tar.add(path, arcname=str(path.relative_to(source)), recursive=False)
    packing.finish()


def read_tar(source: IO[bytes], target: Path, *, label: str, step: Step) -> None:
    """Into the empty folder: only plain files and folders within it. Raises ArchiveDamaged."""
    try:
        with tarfile.open(fileobj=_Unpacking(source), mode="r|") as tar:  # type: ignore[call-overload]
            for member in tar:
                step("unpack")
                if not (member.isfile() or member.isdir()):
                    raise ArchiveDamaged(f"the off-site base backup {label} holds something that is no file: {member.name}")
                member.uid = member.gid = 0
                member.uname = member.gname = ""
                tar.extract(member, target, filter="data", set_attrs=False)
                path = target / member.name
                path.chmod(0o700 if member.isdir() else 0o600)
                give_to_system_user(path)
    except (tarfile.TarError, ZstdError, EOFError):
        raise ArchiveDamaged(f"the off-site base backup {label} cannot be unpacked.") from None


class _Packing:
    """What a tar is written to."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target, self._compressor = target, ZstdCompressor(level=3)

    def write(self, data: bytes) -> int:
        self._target.write(self._compressor.compress(data))
        return len(data)

    def finish(self) -> None:
        self._target.write(self._compressor.flush())


class _Unpacking:
    """What a tar is read from."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self._decompressor = source, ZstdDecompressor()

    def read(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size and not self._decompressor.eof:
            fresh = self._source.read(PIECE) if self._decompressor.needs_input else b""
            if self._decompressor.needs_input and not fresh:
                raise EOFError
            found += self._decompressor.decompress(fresh, size - len(found))
        return bytes(found)


class Shipping:
    """Brings the archive off-site, again and again, each time only what is not there."""

    def __init__(self, folder: Folder, offsite: Offsite) -> None:
        self.folder, self.offsite = folder, offsite
        self._there: set[str] | None = None  # whole segments and histories; read once
        self._partial: tuple[str, str] = ("", "")  # (name, digest) of what was sent last

    def ship_log(self) -> int:
        """Everything that the folder holds now; how many files. Raises OffsiteUnavailable, OffsiteDamaged."""
        if self._there is None:
            self._there = self._of_our_keys()
        sent = 0
        for _ in range(3):  # The present segment may become whole meanwhile.
            sent += self._ship_whole()
            partials = {path.name: path for path in (self.folder.root / "wal").glob(f"*{PARTIAL}")}
            # Without one, it may have become whole just now, and the next is not begun.
            if partials and all(self._ship_partial(name, path) for name, path in partials.items()):
                break
        return sent

    def ship_bases(self, *, step: Step = lambda _what: None) -> int:
        """Raises OffsiteUnavailable, OffsiteDamaged."""
        there = {card.label for card in self.offsite.cards()}
        waiting = [card for card in self.folder.cards() if card.label not in there]
        self.folder.sweep_packed(keep={card.label for card in waiting})
        for card in waiting:
            self.offsite.put_base(self.folder, card, step=step)
        return len(waiting)

    def _of_our_keys(self) -> set[str]:
        """What is there already; nothing when its key is lost: then all that is here goes there once more, under the new one."""
        state, keys = self.offsite.state(), {key.key_id for key in bundle_keys()}
        if state is not None and state.key_id and state.key_id not in keys:
            log.warning("archive_ships_anew", reason="what is off-site was encrypted with a key that is not in BACKUP_KEYS")
            return set()
        return {name for name in self.offsite.log_names() if not name.endswith(PARTIAL)}

    def _ship_whole(self) -> int:
        assert self._there is not None
        here = {**self.folder.segments(), **self.folder.histories()}
        fresh = sorted(here.keys() - self._there)
        for name in fresh:
            self.offsite.put_log(name, here[name].read_bytes(), self.folder)
            self._there.add(name)
            if self._partial[0] == name + PARTIAL:
                self.offsite.erase_log(name + PARTIAL)
        return len(fresh)

    def _ship_partial(self, name: str, path: Path) -> bool:
        """False: it is gone, whole by now."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return False
        digest = hashlib.sha256(content).hexdigest()
        if self._partial != (name, digest):
            self.offsite.put_log(name, content, self.folder)
            self._partial = (name, digest)
        return path.exists()


def forget_offsite(offsite: Offsite, here: list[Card], *, now: datetime) -> int:
    """Erase what no moment of the window needs; how many objects. Raises OffsiteUnavailable.

    What is only there counts as what is here does: it is all there is when this machine's archive is new. What cannot be read with the
    keys of here is nobody's to judge: it is kept for much longer, and all of the log with it.
    """
    there, unread = offsite.bases()
    labels, first = kept(list({card.label: card for card in [*there, *here]}.values()), now=now)
    limit = now - timedelta(days=settings.ARCHIVE_DAYS) - FORMER_KEPT
    unread -= labels
    gone = {card.label for card in there} - labels | {label for label in unread if _taken_at(label) < limit}
    for label in gone:
        offsite.erase_base(label)
    if unread - gone:
        return len(gone)
    old = [name for name in offsite.log_names() if (segment := segment_of(name)) is not None and segment.number < first]
    for name in old:
        offsite.erase_log(name)
    return len(gone) + len(old)


def _taken_at(label: str) -> datetime:
    """By its name; for one of another form, long ago."""
    try:
        return datetime.strptime(label.partition("-")[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)


def forget_clusters(*, keep: str, before: datetime) -> int:
    """Erase the archives of servers that run no more, whose last sign of life is older; how many. Raises OffsiteUnavailable."""
    erased = 0
    for identifier in clusters():
        other = Offsite(identifier)
        state = other.state()
        if identifier != keep and state is not None and datetime.fromisoformat(state.at) < before:
            other.erase_all()
            erased += 1
    return erased
