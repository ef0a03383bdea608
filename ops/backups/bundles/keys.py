"""The keys of bundles: age identities (age-encryption.org), the newest first. Each also signs: what derives from it is nobody else's.

Old bundles stay readable as long as their key is in BACKUP_KEYS. Never keep the keys beside the bundles.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from pyrage import IdentityError, x25519

from ops.backups.errors import BackupsNotSetUp, BundleRefused


class BundleKey:
    """One identity: `key_id` is its public half, by which bundles name it."""

    def __init__(self, secret: str) -> None:
        """Raises ValueError for what is no age identity."""
        try:
            self.identity = x25519.Identity.from_str(secret)
        except IdentityError:
            raise ValueError("not an age identity") from None
        self.key_id = str(self.identity.to_public())
        self._signing = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"comanda bundle manifest 1").derive(secret.encode())

    def __repr__(self) -> str:
        return f"BundleKey({self.key_id})"

    def sign(self, text: bytes) -> str:
        return hmac.new(self._signing, text, hashlib.sha256).hexdigest()

    def has_signed(self, text: bytes, signature: str) -> bool:
        return signature.isascii() and hmac.compare_digest(self.sign(text), signature)


def bundle_keys() -> list[BundleKey]:
    """Of the settings. Raises BackupsNotSetUp."""
    if not settings.BACKUP_KEYS:
        raise BackupsNotSetUp
    return [BundleKey(secret) for secret in settings.BACKUP_KEYS]


def signing_key(key_id: str) -> BundleKey:
    """Raises BundleRefused when the key is not (any more) in the settings."""
    for key in bundle_keys():
        if key.key_id == key_id:
            return key
    raise BundleRefused("its key is not in BACKUP_KEYS. Put the key that wrote it back at their end.")


def new_key() -> str:
    return str(x25519.Identity.generate())
