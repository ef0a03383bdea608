"""The pictures of a cafeteria: named by their content, so that what is there once stays right."""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from typing import BinaryIO
from uuid import UUID

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils.module_loading import import_string

from ops.backups.bundles.data import MediaFacts
from tenants.snapshots import Snapshot

PIECE = 256 * 1024


def media_of(snapshot: Snapshot, cafeteria_uuid: UUID) -> tuple[list[MediaFacts], list[str]]:
    """(what the snapshot's rows show, the keys of what should be there and is not). Reads each file once."""
    keys: list[str] = import_string(settings.BACKUP_MEDIA)(snapshot.rows, cafeteria_uuid)
    found: list[MediaFacts] = []
    missing: list[str] = []
    for key in keys:
        facts = _facts(key)
        if facts is None:
            missing.append(key)
        else:
            found.append(facts)
    return found, missing


def open_media(key: str) -> BinaryIO | None:
    with suppress(FileNotFoundError):
        file: BinaryIO = default_storage.open(key)  # type: ignore[assignment]
        return file
    return None


def is_there(facts: MediaFacts) -> bool:
    """Whether the storage has it, whole."""
    return _facts(facts.key) == facts


def read_media(facts: MediaFacts) -> bytes | None:
    """The picture that these facts tell of; None when it is not there whole."""
    file = open_media(facts.key)
    if file is None:
        return None
    with file:
        content = file.read(facts.bytes + 1)
    return content if is_that(content, facts) else None


def is_that(content: bytes, facts: MediaFacts) -> bool:
    return (len(content), hashlib.sha256(content).hexdigest()) == (facts.bytes, facts.sha256)


def erase_media(keys: Iterable[str]) -> None:
    """Those that are not there do no harm."""
    for key in keys:
        default_storage.delete(key)


def store_media(key: str, content: bytes) -> bool:
    """Put a picture back under its name, unless it is there whole; whether it had to be."""
    facts = MediaFacts(key=key, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    if _facts(key) == facts:
        return False
    if default_storage.exists(key):
        default_storage.delete(key)
    default_storage.save(key, ContentFile(content))
    return True


def _facts(key: str) -> MediaFacts | None:
    file = open_media(key)
    if file is None:
        return None
    digest, size = hashlib.sha256(), 0
    with file:
        while piece := file.read(PIECE):
            digest.update(piece)
            size += len(piece)
    return MediaFacts(key=key, bytes=size, sha256=digest.hexdigest())
