from core.errors import AppError


class WrongCredentials(AppError):
    """The e-mail address or the password is not right."""

    code = "wrong_credentials"
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
