"""The second factor of the platform's people: codes of an app (RFC 6238), and recovery codes for the day the phone is lost."""

import hmac
import re
import secrets
import time

import pyotp
import structlog
from django.conf import settings
from django.utils import timezone

from accounts.digests import digest
from accounts.errors import CodesLocked, SecondFactorMissing, WrongRecoveryCode
from accounts.models import RecoveryCode, SecondFactor
from accounts.second_factor.notices import tell
from core.audit.actions import record
from core.identity.callers import Caller
from core.identity.errors import WrongCode
from core.vault import VaultLocked, unseal

log = structlog.get_logger()

STEP = 30  # seconds that a code of the app is shown
DRIFT = (0, -1, 1)  # steps that the phone's clock may be off
RECOVERY_CODES = 10
# 80 bits each, so that a fast hash keeps them; no letter looks like another (Crockford's base 32).
ALPHABET, LETTERS = "0123456789abcdefghjkmnpqrstvwxyz", 16
ALIKE = str.maketrans("oil", "011")


def is_on(user_id: int) -> bool:
    return SecondFactor.objects.filter(user_id=user_id).exists()


def use_code(caller: Caller, code: str) -> None:
    """Uses up a code of the app or a recovery code, in the caller's transaction. A recovery code is audited, and told by mail.

    Raises WrongCode, and CodesLocked when VAULT_KEYS have lost the key that sealed the app's secret.
    """
    given = re.sub(r"[\s-]+", "", code)
    if re.fullmatch(r"[0-9]{6}", given):
        _use_app_code(caller.id, given)
    else:
        _use_recovery_code(caller, given.lower().translate(ALIKE))


def check_enrolled(caller: Caller) -> None:
    """Raises SecondFactorMissing for an admin without a second factor, where admins need one."""
    if settings.ADMIN_SECOND_FACTOR and caller.is_admin and not is_on(caller.id):
        raise SecondFactorMissing(url=f"{settings.PLATFORM_URL}/second-factor")


def new_secret() -> str:
    return pyotp.random_base32()


def app_address(secret: str, *, email: str) -> str:
    """What the QR code says: an app that reads it shows the platform's codes. Staging and production are told apart."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=f"Comanda ({settings.BASE_DOMAIN})")


def step_of(secret: str, code: str) -> int | None:
    """The time step whose code this is, if it is one of now; a clock may be off by one."""
    now, app = int(time.time()) // STEP, pyotp.TOTP(secret)
    given = re.sub(r"[\s-]+", "", code).encode()
    fitting = [now + drift for drift in DRIFT if hmac.compare_digest(app.generate_otp(now + drift).encode(), given)]
    return fitting[0] if fitting else None


def new_recovery_codes(factor: SecondFactor) -> list[str]:
    """Ten, in place of those that there are; only their hashes are kept. In the caller's transaction."""
    factor.codes.all().delete()
    codes = ["".join(secrets.choice(ALPHABET) for _ in range(LETTERS)) for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.bulk_create(RecoveryCode(factor=factor, code_hash=digest(code)) for code in codes)
    return ["-".join(code[start : start + 4] for start in range(0, LETTERS, 4)) for code in codes]


def _use_app_code(user_id: int, code: str) -> None:
    factor = SecondFactor.objects.filter(user_id=user_id).first()
    step = step_of(_secret_of(factor), code) if factor is not None else None
    # Of many with the same code at once, one: whoever reads it over a shoulder is too late.
    if step is None or not SecondFactor.objects.filter(user_id=user_id, last_step__lt=step).update(last_step=step):
        raise WrongCode


def _secret_of(factor: SecondFactor) -> str:
    try:
        return unseal(factor.sealed_secret)
    except VaultLocked:
        log.error("vault_locked", about=f"second factor of user {factor.user_id}")
        raise CodesLocked from None


def _use_recovery_code(caller: Caller, code: str) -> None:
    mine = RecoveryCode.objects.filter(factor__user_id=caller.id, used_at=None)
    if not mine.filter(code_hash=digest(code)).update(used_at=timezone.now()):
        raise WrongRecoveryCode
    left = mine.count()
    record("second_factor.recovery_code_used", actor=caller, target=caller.email, left=left)
    tell(caller.id, "recovery_code_used", left=left)
