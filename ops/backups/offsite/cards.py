"""The card of an off-site copy: what its Backup row says, signed, so that a database that has lost its rows finds them again.

It stands beside the bundle, as <backup id>.json, only while that is there whole. Anybody who reads the bucket can read it, but for the
manifest, which tells what a cafeteria sells: that is encrypted as the bundle is.
"""

import base64
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import pyrage

from ops.backups.bundles.keys import bundle_keys, signing_key
from ops.backups.errors import BundleRefused
from ops.backups.models import Backup

FORMAT = 1
LARGEST = 64 * 1024 * 1024
PURPOSE = b"comanda backup card 1\n"  # The key signs manifests too: neither passes for the other.
PLAIN = ("cafeteria_id", "slug", "kind", "size", "rows", "sha256", "head", "key_id")


def card_of(backup: Backup) -> bytes:
    """Raises BundleRefused when the backup's key is not in the settings any more."""
    key = signing_key(backup.key_id)
    manifest = pyrage.encrypt(orjson.dumps(backup.manifest), [key.identity.to_public()])
    facts = {
        "card": FORMAT,
        "id": str(backup.pk),
        "cafeteria_uuid": str(backup.cafeteria_uuid),
        "taken_at": backup.taken_at.isoformat(),
        "finished_at": backup.finished_at.isoformat(),
        "manifest": base64.b64encode(manifest).decode(),
        **{name: getattr(backup, name) for name in PLAIN},
    }
    signed = {"facts": facts, "signature": key.sign(PURPOSE + _canonical(facts))}
    return orjson.dumps(signed, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def backup_of_card(text: bytes) -> Backup:
    """The unsaved row of a card that one of our keys has signed. Raises BundleRefused."""
    facts = _believed(text)
    try:
        sealed = base64.b64decode(facts["manifest"], validate=True)
        manifest = orjson.loads(pyrage.decrypt(sealed, [key.identity for key in bundle_keys()]))
        return Backup(
            id=UUID(facts["id"]),
            cafeteria_uuid=UUID(facts["cafeteria_uuid"]),
            taken_at=datetime.fromisoformat(facts["taken_at"]),
            finished_at=datetime.fromisoformat(facts["finished_at"]),
            manifest=manifest,
            **{name: facts[name] for name in PLAIN},
        )
    except (KeyError, TypeError, ValueError, pyrage.DecryptError):
        raise BundleRefused("its card lacks something.") from None


def _believed(text: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
        facts, signature, key_id = found["facts"], str(found["signature"]), str(found["facts"]["key_id"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise BundleRefused("its card cannot be read.") from None
    if not signing_key(key_id).has_signed(PURPOSE + _canonical(facts), signature):
        raise BundleRefused("its card was altered, or signed by another key.")
    if facts.get("card") != FORMAT:
        raise BundleRefused("its card is of newer code than this.")
    return dict(facts)


def _canonical(facts: dict[str, Any]) -> bytes:
    return orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
