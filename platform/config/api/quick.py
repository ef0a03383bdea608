from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from ninja import NinjaAPI

from core.errors import AppError
from core.http import json_error


def quick_get(api: NinjaAPI, patterns: list[Any], route: str, get: Callable[[HttpRequest], HttpResponse]) -> URLPattern:
    """An address of the API whose GET goes straight to the function behind its operation; every other method goes through ninja.

    For the one read that every page and till repeats: ninja's share of it is as large as its query. The operation stays in the API, which
    documents it and answers the same. Put it before the API's own addresses. `get` asks nobody who they are.
    """
    operation = next(pattern.callback for pattern in patterns if isinstance(pattern, URLPattern) and str(pattern.pattern) == route)

    def view(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if request.method != "GET":
            answer: HttpResponse = operation(request, **kwargs)
            return answer
        try:
            return get(request)
        except AppError as error:
            return json_error(error)

    view.csrf_exempt = True  # type: ignore[attr-defined]
    view.access = "anyone"  # type: ignore[attr-defined]
    return path(f"api/v{api.version}/{route}", view)
