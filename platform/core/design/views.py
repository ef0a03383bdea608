"""The components in every state, to look at in development. It is never served elsewhere."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from core.design.samples import design_samples
from core.doors import open_page


@open_page
def design(request: HttpRequest) -> HttpResponse:
    if not settings.DEVELOPMENT:
        raise Http404
    return render(request, "core/design/page.html", design_samples())
