"""What Django answers by itself: in the contract's JSON on API paths, as a page elsewhere."""

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse

from core import error_pages
from core.errors import AppError, BadRequest, NotFound
from core.http import json_error


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
    if not _is_api(request):
        return error_pages.server_error(request)
    return json_error(ServerFault())


class ServerFault(AppError):
    """Something went wrong on our side. Nothing was changed; try again in a moment."""

    code = "server_error"
    status = 500


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")
