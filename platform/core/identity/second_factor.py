"""What is asked for beside the password, of whoever has it: a realm says how; the step between the two is here.

Who has given the password is half signed in: a few minutes, in one browser, and worth nothing but a try at the code.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.http import HttpRequest

from core import throttle
from core.identity.callers import Caller

LONGEST_CODE = 40  # characters, with blanks between
HALF, HALF_LIFE = "half_signed_in", 5 * 60  # the session's key; seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class SecondFactor:
    """How a realm asks. Both are called inside its scope."""

    is_on: Callable[[int], bool]  # for the account of this id
    use_code: Callable[[Caller, str], None]  # uses the code up; raises WrongCode


@dataclass(frozen=True, kw_only=True, slots=True)
class HalfSignedIn:
    """Somebody who has given the password. A new password, or ending the account's sessions, makes it worthless."""

    account_id: int
    token_version: int


@contextmanager
def code_attempt(space: str, *, email: str, address: str) -> Iterator[None]:
    """Braked as passwords are, with a count of its own: what forgives wrong passwords, such as a mailed link, forgives no wrong codes.

    Outside of every scope. Raises TooManyAttempts.
    """
    by_account, by_address = throttle.account_brake(f"{space} code", email), throttle.address_brake(address)
    throttle.take_attempt([by_account, by_address])
    yield
    throttle.forgive(by_account)
    throttle.give_back([by_address])


def remember_half(request: HttpRequest, half: HalfSignedIn) -> None:
    """In this browser's cookie, which is signed for this host."""
    request.session[HALF] = [half.account_id, half.token_version, int(time.time()) + HALF_LIFE]


def half_signed_in(request: HttpRequest) -> HalfSignedIn | None:
    match request.session.get(HALF):
        case [int() as account_id, int() as token_version, int() as until] if time.time() < until:
            return HalfSignedIn(account_id=account_id, token_version=token_version)
    return None


def forget_half(request: HttpRequest) -> None:
    request.session.pop(HALF, None)
