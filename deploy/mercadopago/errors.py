"""Refusals, in the shape that Mercado Pago gives them."""

from typing import Any


class ApiError(Exception):
    """An answer other than success; nothing of the request is kept."""

    def __init__(self, status: int, error: str, message: str, *, code: int | None = None, cause: Any = ()) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.message = message
        self.cause = [{"code": code, "description": message, "data": None}] if code else cause

    def body(self) -> dict[str, Any]:
        cause = list(self.cause) if isinstance(self.cause, tuple) else self.cause
        return {"message": self.message, "error": self.error, "status": self.status, "cause": cause}


def bad_request(message: str, *, error: str = "bad_request", code: int | None = None) -> ApiError:
    return ApiError(400, error, message, code=code)


def not_found(message: str) -> ApiError:
    return ApiError(404, "not_found", message, code=2000)


def unauthorized(message: str = "invalid access token") -> ApiError:
    return ApiError(401, "unauthorized", message)


def conflict(message: str) -> ApiError:
    return ApiError(409, "conflict", message)
