"""What all pages of the console share: the shell, parts that are asked for again, forms, and how a refusal is said."""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import render

from core.alerts.models import Alert
from core.errors import AppError, NotFound
from core.flash import flash
from ops.console.sentences import refusal
from ops.console.work.queries import PLATFORM_ZONE

OVER = 286  # Tells whoever polls to ask no more.


def show(request: HttpRequest, template: str, place: str, *, status: int = 200, **values: Any) -> HttpResponse:
    """A page in the console's shell; `place` is the entry of the navigation that it belongs to."""
    waiting = Alert.objects.filter(resolved_at=None).count()
    shell = {"place": place, "alerts_waiting": waiting, "zone": PLATFORM_ZONE}
    return render(request, f"ops/console/{template}.html", {**shell, **values}, status=status)


def show_part(request: HttpRequest, template: str, *, state: tuple[object, ...], over: bool, **values: Any) -> HttpResponse:
    """A part that a page asks for again and again: 304 while `state` is the same, 286 when it will not change any more."""
    tag = tag_of(state)
    if request.headers.get("If-None-Match", "").removeprefix("W/") == tag:
        return HttpResponseNotModified(headers={"ETag": tag})
    response = render(request, f"ops/console/{template}.html", {"zone": PLATFORM_ZONE, **values}, status=OVER if over else 200)
    response["ETag"] = tag
    return response


def tag_of(state: tuple[object, ...]) -> str:
    return f'"{hashlib.sha256(repr(state).encode()).hexdigest()[:32]}"'


class TellRefusals(AbstractContextManager[None]):
    """A refusal in the block ends it, and is said on the next page, by the clock of the zone. What is not there is not found, as ever.

    with TellRefusals(request, zone):
        ...
        return redirect("where it has led to")
    return redirect("where it was asked for")
    """

    def __init__(self, request: HttpRequest, zone: str = PLATFORM_ZONE) -> None:
        self._request, self._zone = request, zone

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None) -> bool:
        if not isinstance(error, AppError) or isinstance(error, NotFound):
            return False
        flash(self._request, refusal(error, self._zone), "bad")
        return True


def answer_form(
    form: Form, deed: Callable[[], HttpResponse], *, zone: str, fields: Mapping[type[AppError], str] | None = None
) -> HttpResponse | int:
    """Where the deed of a form that was sent and is right has led to; else the status of the form's page, which says what is wrong.

    A refusal is said at the field that `fields` names for it, else above the form.
    """
    if not form.is_bound:
        return 200
    if not form.is_valid():
        return 422
    try:
        return deed()
    except AppError as error:
        field = (fields or {}).get(type(error))
        form.add_error(field, refusal(error, zone))
        return 422 if field else error.status


def show_answer(answer: HttpResponse | int, request: HttpRequest, template: str, place: str, **values: Any) -> HttpResponse:
    """The answer itself, or the page with that status."""
    return show(request, template, place, status=answer, **values) if isinstance(answer, int) else answer


def form_key() -> str:
    """Goes into a form, and with it into the key of the job that it adds: sent twice, it adds one."""
    return secrets.token_hex(16)


def given_key(request: HttpRequest) -> str:
    """What `form_key` gave. Without a good one, a new one: the form is taken as sent once."""
    key = request.POST.get("key", "")
    return key if len(key) == 32 and key.isalnum() and key.isascii() else form_key()
