"""The pictures that a bundle shows, put back into the storage. Outside every transaction: the storage may be far away (wall 2)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from ops.backups.bundles.data import Manifest, MediaFacts
from ops.backups.bundles.reading import load_media
from ops.backups.media import is_there, read_media, store_media
from ops.backups.offsite.media import fetch_media

type Step = Callable[[str], None]


@dataclass(kw_only=True)
class Files:
    put_back: list[str] = field(default_factory=list)  # keys
    missing: list[str] = field(default_factory=list)  # keys of the bundle whose picture is nowhere


def put_files(path: Path, manifest: Manifest, *, renamed: Callable[[str], str] = lambda key: key, step: Step = lambda _: None) -> Files:
    """Put every picture of a believed bundle that is not there whole: from the bundle, if it holds them, else from where they are kept.

    Named by their content, so doing it twice changes nothing, and being killed harms nothing. `renamed` says the key to put each under.
    """
    files = Files()
    if manifest.media_included:

        def put(key: str, content: bytes) -> None:
            step("media")
            if store_media(renamed(key), content):
                files.put_back.append(key)

        load_media(path, put)
        return files
    for facts in manifest.media:
        step("media")
        _put_listed(manifest.uuid, facts, renamed(facts.key), files)
    return files


def _put_listed(cafeteria_uuid: UUID, facts: MediaFacts, key: str, files: Files) -> None:
    wanted = MediaFacts(key=key, bytes=facts.bytes, sha256=facts.sha256)
    if is_there(wanted):
        return
    content = read_media(facts) or fetch_media(cafeteria_uuid, facts)
    if content is None:
        files.missing.append(facts.key)
    elif store_media(key, content):
        files.put_back.append(facts.key)
