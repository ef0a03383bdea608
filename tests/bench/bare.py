"""The floor that `GET /products` is measured against: Django with no middleware and one view that answers the same JSON."""

import json
import os
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(SECRET_KEY="bench", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=[], DEBUG=False)
PAYLOAD: Any = json.loads(os.environ.get("BARE_PAYLOAD", "{}"))


def bare(request: HttpRequest) -> JsonResponse:
    return JsonResponse(PAYLOAD, safe=False)


urlpatterns = [path("bare", bare)]
django.setup()
application = WSGIHandler()
