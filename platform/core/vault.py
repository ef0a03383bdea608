"""Encryption at rest for what the platform keeps of others, such as a cafeteria's tokens. The keys are settings, never rows.

A copy of the database without VAULT_KEYS gives nobody a secret away.
"""

import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

HINT = (
    "Make one with: python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'. "
    "Several go with commas between them, the newest first."
)


class VaultLocked(RuntimeError):
    """None of VAULT_KEYS opens a sealed text. Put the key that sealed it back at the end of VAULT_KEYS."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def check_keys(keys: Sequence[str]) -> list[str]:
    """The keys, each a valid one; ImproperlyConfigured, which names none of them, when one is not or there is none."""
    if not keys:
        raise ImproperlyConfigured(f"VAULT_KEYS is not set. {HINT}")
    for number, key in enumerate(keys, start=1):
        if not is_key(key):
            raise ImproperlyConfigured(f"Key {number} in VAULT_KEYS is not a Fernet key. {HINT}")
    return list(keys)


def is_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True


def new_key() -> str:
    return Fernet.generate_key().decode()


def seal(text: str) -> str:
    """The text, encrypted with the newest key. Twice the same text gives two different tokens."""
    return _vault().encrypt(text.encode()).decode()


def unseal(token: str) -> str:
    """The text again. Raises VaultLocked when no key opens it, or when it was changed."""
    try:
        return _vault().decrypt(token).decode()
    except (InvalidToken, ValueError):  # ValueError: not even ASCII
        raise VaultLocked from None


def opens(token: str) -> bool:
    """Whether one of this process's keys opens it."""
    try:
        unseal(token)
    except VaultLocked:
        return False
    return True


def fingerprint() -> str:
    """Of this process's keys, in their order: the same in two processes that have the same. It says nothing about the keys."""
    return hashlib.sha256(",".join(settings.VAULT_KEYS).encode()).hexdigest()[:8]


def reseal(token: str) -> str:
    """The same text under the newest key, so that an old key can go. Raises VaultLocked."""
    try:
        return _vault().rotate(token).decode()
    except (InvalidToken, ValueError):  # ValueError: not even ASCII
        raise VaultLocked from None


def _vault() -> MultiFernet:
    # Not kept: a key that was taken out of the settings opens nothing any more, and making it takes microseconds.
    return MultiFernet([Fernet(key) for key in settings.VAULT_KEYS])
