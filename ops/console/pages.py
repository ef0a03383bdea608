"""What all pages of the console share: the shell, parts that are asked for again, forms that may be sent twice."""

import hashlib
import secrets
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import render

from core.alerts.models import Alert

PLATFORM_ZONE = "UTC"  # of what belongs to no cafeteria
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


def form_key() -> str:
    """Goes into a form, and with it into the key of the job that it adds: sent twice, it adds one."""
    return secrets.token_hex(16)


def given_key(request: HttpRequest) -> str:
    """What `form_key` gave. Without a good one, a new one: the form is taken as sent once."""
    key = request.POST.get("key", "")
    return key if len(key) == 32 and key.isalnum() and key.isascii() else form_key()
