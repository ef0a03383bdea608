import re

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.http import parse_etags
from django.views.decorators.http import require_safe

from core.doors import open_page
from shop.menu.pictures.actions import open_picture

NAME = re.compile(r"[0-9a-f]{64}-(400|1200)\.webp")
FOR_EVER = "public, max-age=31536000, immutable"


@open_page
@require_safe
def picture(request: HttpRequest, name: str) -> HttpResponse:
    """A product's picture. Its name is made of its content, so that whoever has it never asks again."""
    file = open_picture(cafeteria=request.tenant, name=name) if NAME.fullmatch(name) else None  # type: ignore[attr-defined]
    if file is None:
        raise Http404
    with file:
        etag = f'"{name}"'
        known = parse_etags(request.headers.get("If-None-Match", ""))
        response = HttpResponseNotModified() if etag in known or "*" in known else HttpResponse(file.read(), content_type="image/webp")
    response["ETag"] = etag
    response["Cache-Control"] = FOR_EVER
    return response
