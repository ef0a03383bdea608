from core.errors import AppError
from core.identity.second_factor import HalfSignedIn


class WrongCredentials(AppError):
    """The e-mail address or the password is not right."""

    code = "wrong_credentials"
    status = 401


class SecondFactorRequired(AppError):
    """This account asks for the code of its app as well as the password."""

    code = "second_factor_required"
    status = 401

    def __init__(self, half: HalfSignedIn) -> None:
        self.half = half
        super().__init__()


class WrongCode(AppError):
    """This code is not right, or was used before: each works once. Wait for the next one."""

    code = "wrong_code"
    status = 401


class SignInExpired(AppError):
    """That took too long. Sign in again."""

    code = "sign_in_expired"
    status = 401


class InvalidToken(AppError):
    """The token is not valid here, or no longer. Sign in again."""

    code = "invalid_token"
    status = 401


class EmailTaken(AppError):
    """There is already an account with this e-mail address."""

    code = "email_taken"
    status = 409


class InvalidEmail(AppError):
    """This is not an e-mail address."""

    code = "invalid_email"
    status = 422


class WeakPassword(AppError):
    """{reasons}"""

    code = "weak_password"
    status = 422

    def __init__(self, messages: list[str]) -> None:
        """`messages` are sentences in the active language."""
        self.messages = messages
        super().__init__(reasons=" ".join(messages))

    def translated(self) -> str:
        return str(self)


class ResetLinkInvalid(AppError):
    """This link has been used or is too old. Ask for a new one."""

    code = "reset_link_invalid"
    status = 410
