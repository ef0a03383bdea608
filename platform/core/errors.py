"""Errors that are answers. Each class is one fact; its docstring is the message that people read, in English, translated for pages."""

from typing import Any, ClassVar

from django.utils.translation import gettext


class AppError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"  # stable, for programs
    status: ClassVar[int] = 400
    headers: dict[str, str]

    def __init__(self, **facts: Any) -> None:
        self.facts = facts
        self.headers = {}
        super().__init__(str(self))

    @classmethod
    def template(cls) -> str:
        """The English sentence, with {placeholders}: the msgid of its translation."""
        return " ".join((cls.__doc__ or "").split())

    def __str__(self) -> str:
        return self.template().format(**self.facts)

    def translated(self) -> str:
        """The sentence in the active language."""
        return gettext(self.template()).format(**self.facts)


class NotFound(AppError):
    """Not found."""

    code = "not_found"
    status = 404


class NotSignedIn(AppError):
    """Sign in to go on."""

    code = "not_signed_in"
    status = 401


class NotAllowed(AppError):
    """Your role does not allow this."""

    code = "not_allowed"
    status = 403


class TooManyAttempts(AppError):
    """Too many attempts. Try again in {minutes} minutes."""

    code = "throttled"
    status = 429

    def __init__(self, *, retry_after: int) -> None:
        """`retry_after` in seconds."""
        super().__init__(minutes=max(1, -(-retry_after // 60)))
        self.headers["Retry-After"] = str(retry_after)


class TooManyRequests(AppError):
    """There are too many requests just now. Nothing was done; try again in a few seconds."""

    code = "too_many_requests"
    status = 429

    def __init__(self, *, retry_after: int) -> None:
        """`retry_after` in seconds."""
        super().__init__()
        self.headers["Retry-After"] = str(retry_after)


class MethodNotAllowed(AppError):
    """This address does not take {method}."""

    code = "method_not_allowed"
    status = 405


class IdempotencyConflict(AppError):
    """This Idempotency-Key was used with another request. Use a new key."""

    code = "idempotency_conflict"
    status = 409


class TooLarge(AppError):
    """The request is too large. The limit is {limit} MB."""

    code = "too_large"
    status = 413


class BadRequest(AppError):
    """The request cannot be read: {reason}"""

    code = "bad_request"
    status = 400
