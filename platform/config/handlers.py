"""What Django answers by itself: in the contract's JSON on API paths, as a page elsewhere."""

import sys

from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse

from core import error_pages
from core.errors import AppError, BadRequest, NotFound
from core.http import json_error

PASSING = {"40001", "40P01", "55P03"}  # serialization_failure, deadlock_detected, lock_not_available


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if not _is_api(request):
        return error_pages.bad_request(request, exception)
    if isinstance(exception, RequestDataTooBig):
        return JsonResponse({"detail": "The request is too large.", "code": "too_large"}, status=413)
    return json_error(BadRequest(reason="it is not well formed."))


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return error_pages.forbidden(request, exception)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return json_error(NotFound()) if _is_api(request) else error_pages.not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 with Retry-After where it passes: whoever is told to come back does, and whoever watches sees which it is."""
    error = _told(sys.exception())
    response = json_error(error) if _is_api(request) else error_pages.server_error(request)
    response.status_code = error.status
    for name, value in error.headers.items():
        response[name] = value
    return response


def _told(error: BaseException | None) -> AppError:
    """Of what psycopg raises: no connection to be had, or the one at hand has ended; two that have waited for one another."""
    if isinstance(error, OperationalError | InterfaceError):
        code = getattr(error.__cause__, "pgcode", None) or ""
        if not code or code.startswith(("08", "57P", "53300")):
            return Unavailable()
        if code in PASSING:
            return GotInTheWay()
    return ServerFault()


class Unavailable(AppError):
    """The database is away for the moment. Try again in a few seconds; an order or a payment with the same Idempotency-Key."""

    code = "unavailable"
    status = 503

    def __init__(self) -> None:
        super().__init__()
        self.headers["Retry-After"] = "5"


class GotInTheWay(AppError):
    """Somebody else changed the same thing at that moment. Try again; an order or a payment with the same Idempotency-Key."""

    code = "try_again"
    status = 503

    def __init__(self) -> None:
        super().__init__()
        self.headers["Retry-After"] = "1"


class ServerFault(AppError):
    """Something went wrong on our side. Nothing was changed; try again in a moment."""

    code = "server_error"
    status = 500


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")
