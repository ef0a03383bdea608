from core.errors import AppError
from core.identity.errors import WrongCode


class HandoffInvalid(AppError):
    """This way in has expired or was used already. Start again from your cafeterias."""

    code = "handoff_invalid"
    status = 410


class SupportAccessRequired(AppError):
    """The owner has not given support access to this cafeteria."""

    code = "support_access_required"
    status = 403


class SecondFactorMissing(AppError):
    """Admins here need two-step verification. Set it up at {url}"""

    code = "second_factor_missing"
    status = 403


class SecondFactorKept(AppError):
    """Admins here need two-step verification, so it cannot be turned off. You can move it to another app."""

    code = "second_factor_kept"
    status = 409


class WrongRecoveryCode(WrongCode):
    """This recovery code is not right, or was used before: each works once."""


class CodesLocked(AppError):
    """The codes of apps cannot be checked now. Use a recovery code, or ask the people who run the platform."""

    code = "second_factor_locked"
    status = 503


class NoSecondFactor(AppError):
    """Two-step verification is not on."""

    code = "second_factor_off"
    status = 409
