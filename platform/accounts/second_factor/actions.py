"""Turning the second factor on, moving it to another app, turning it off. Whoever calls has just proven who they are."""

from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from accounts.errors import NoSecondFactor, SecondFactorKept
from accounts.models import SecondFactor, User
from accounts.realm import platform_realm
from accounts.second_factor.codes import new_recovery_codes, step_of
from accounts.second_factor.notices import tell
from core.audit.actions import record
from core.identity.actions import SignedIn, end_sessions, sign_out_everywhere, start_session
from core.identity.callers import Caller
from core.identity.errors import InvalidToken, WrongCode
from core.vault import seal


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnedOn:
    recovery_codes: list[str]  # to be shown this once
    signed_in: SignedIn  # in place of the sign-in that did it


@transaction.atomic
def turn_on(*, caller: Caller, secret: str, code: str) -> TurnedOn:
    """From now on the caller's sign-in asks for codes of this secret, of which `code` shows that their app has it.

    Codes of an earlier app end, and so does every session: those that go on from here have all given a code. Audited, and told by mail.
    Raises WrongCode; InvalidToken for a caller who has been signed out.
    """
    step = step_of(secret, code)
    if step is None:
        raise WrongCode
    user = User.objects.select_for_update().filter(pk=caller.id, token_version=caller.token_version).first()
    if user is None:
        raise InvalidToken
    moved, _ = SecondFactor.objects.filter(user=user).delete()
    factor = SecondFactor.objects.create(user=user, sealed_secret=seal(secret), last_step=step)
    codes = new_recovery_codes(factor)
    end_sessions(platform_realm, user)
    what = "moved" if moved else "on"
    record(f"second_factor.{what}", actor=caller, target=caller.email)
    tell(caller.id, what)
    return TurnedOn(recovery_codes=codes, signed_in=start_session(platform_realm, user))


@transaction.atomic
def renew_recovery_codes(*, caller: Caller) -> list[str]:
    """Ten new ones, to be shown this once; the former end. Audited, and told by mail. Raises NoSecondFactor."""
    factor = SecondFactor.objects.select_for_update().filter(user_id=caller.id).first()
    if factor is None:
        raise NoSecondFactor
    codes = new_recovery_codes(factor)
    record("second_factor.codes_renewed", actor=caller, target=caller.email)
    tell(caller.id, "codes_renewed")
    return codes


@transaction.atomic
def turn_off(*, caller: Caller) -> None:
    """The password alone signs in again. Once more is fine. Audited, and told by mail.

    Raises SecondFactorKept for admins, where they need it.
    """
    if caller.is_admin and settings.ADMIN_SECOND_FACTOR:
        raise SecondFactorKept
    if SecondFactor.objects.filter(user_id=caller.id).delete()[0]:
        record("second_factor.off", actor=caller, target=caller.email)
        tell(caller.id, "off")


@transaction.atomic
def reset_second_factor(*, user: User) -> None:
    """For whoever has lost app and recovery codes. Ends every session. Only a command does this. Audited, and told by mail.

    Raises NoSecondFactor, and then changes nothing.
    """
    if not SecondFactor.objects.filter(user=user).delete()[0]:
        raise NoSecondFactor
    sign_out_everywhere(platform_realm, account_id=user.pk)
    record("second_factor.reset", target=user.email, label="manage.py reset_two_factor")
    tell(user.pk, "reset")
