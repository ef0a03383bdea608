"""How passwords are hashed, and what a new one must be like."""

from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

from django.contrib.auth import hashers, password_validation
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

LONGEST = 128  # characters; argon2 is slow on purpose, and must not be fed megabytes
TOO_SIMILAR = 0.7


class Argon2PasswordHasher(hashers.Argon2PasswordHasher):
    """argon2id as OWASP advises it: 19 MiB, two passes, one lane. About 25 ms, and small enough for a web process of 150 MB."""

    time_cost = 2
    memory_cost = 19_456  # KiB
    parallelism = 1


class MaximumLengthValidator:
    def validate(self, password: str, user: Any = None) -> None:  # noqa: ARG002 - Django calls it
        if len(password) > LONGEST:
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self) -> str:
        return ngettext(
            "The password can have %(count)d character at most.", "The password can have %(count)d characters at most.", LONGEST
        ) % {"count": LONGEST}


class NotTheEmailValidator:
    """Refuses a password that is, holds or resembles the person's e-mail address or name. `user` has `email` and `full_name`."""

    def validate(self, password: str, user: Any = None) -> None:
        if user is None:
            return
        low = password.lower()
        email = user.email.lower()
        for part in {email, email.partition("@")[0], user.full_name.lower()}:
            if len(part) > 2 and SequenceMatcher(a=low, b=part).quick_ratio() >= TOO_SIMILAR:
                raise ValidationError(self.get_help_text(), code="password_too_similar")

    def get_help_text(self) -> str:
        return _("The password is too much like the e-mail address or the name.")


class Candidate:
    """What the validators look at beside the password."""

    def __init__(self, *, email: str, full_name: str) -> None:
        self.email = email
        self.full_name = full_name


def check_new_password(password: str, *, email: str, full_name: str) -> None:
    """Raises ValidationError with a sentence for each rule that the password breaks."""
    password_validation.validate_password(password, Candidate(email=email, full_name=full_name))  # type: ignore[arg-type]


def hash_password(password: str) -> str:
    return hashers.make_password(password)


def unusable_password() -> str:
    """For accounts that sign in another way: no password matches it."""
    return hashers.make_password(None)


def is_usable(encoded: str) -> bool:
    return hashers.is_password_usable(encoded)


def matches(password: str, encoded: str | None) -> bool:
    """Whether it is the password. Computes exactly one hash, also for an account that does not exist (None) or has no password."""
    stand_in = _stand_in()
    known = encoded is not None and hashers.is_password_usable(encoded)
    # Longer than any real password: hashed all the same, in a bounded piece, so that the answer takes as long.
    correct = _verify(password[: LONGEST + 1], encoded if known and encoded is not None else stand_in)
    return known and correct


def needs_rehash(encoded: str) -> bool:
    return hashers.get_hasher().must_update(encoded)


def _verify(password: str, encoded: str) -> bool:
    try:
        return hashers.identify_hasher(encoded).verify(password, encoded)
    except ValueError:  # a kind of hash that is no longer known
        return False


@lru_cache
def _stand_in() -> str:
    return hashers.make_password("Nobody's password: its hash costs what a real one costs.")
