import base64

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from config.dev.environment import new_vault_key
from core.vault import VaultLocked, check_keys, is_key, new_key, reseal, seal, unseal

PLAIN = "APP_USR-123-ñandú"


def test_what_is_sealed_comes_back_and_shows_nothing() -> None:
    token = seal(PLAIN)
    assert unseal(token) == PLAIN
    assert "APP_USR" not in token
    assert seal(PLAIN) != token


def test_an_old_key_opens_and_the_newest_seals(settings: Settings) -> None:
    old, new = new_key(), new_key()
    settings.VAULT_KEYS = [old]
    token = seal(PLAIN)
    settings.VAULT_KEYS = [new, old]
    assert unseal(token) == PLAIN
    resealed = reseal(token)
    settings.VAULT_KEYS = [new]
    assert unseal(resealed) == PLAIN
    for locked in (unseal, reseal):
        with pytest.raises(VaultLocked, match="VAULT_KEYS"):
            locked(token)


def test_a_changed_token_opens_nothing() -> None:
    raw = bytearray(base64.urlsafe_b64decode(seal(PLAIN)))
    raw[-1] ^= 1
    for token in (base64.urlsafe_b64encode(raw).decode(), "", "gAAAA", "ñ"):
        with pytest.raises(VaultLocked):
            unseal(token)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ([], "VAULT_KEYS is not set."),
        (["short"], "Key 1 in VAULT_KEYS is not a Fernet key."),
        ([Fernet.generate_key().decode(), "ñ" * 44], "Key 2 in VAULT_KEYS is not a Fernet key."),
    ],
    ids=["none", "short", "second"],
)
def test_bad_keys_are_refused_without_being_shown(keys: list[str], sentence: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        check_keys(keys)
    assert str(refused.value).startswith(sentence)
    assert "Fernet.generate_key()" in str(refused.value)
    assert not any(key in str(refused.value) for key in keys)


def test_developments_key_is_a_key() -> None:
    key = new_vault_key()
    assert is_key(key)
    assert check_keys([key]) == [key]
