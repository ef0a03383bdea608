"""The console's own parts in every state, as /design shows those of the whole product. In development only."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from accounts.doors import page
from ops.console.design.samples import console_samples
from ops.console.pages import show


@page(access="admin")
@require_safe
def design(request: HttpRequest) -> HttpResponse:
    """`theme=dark` shows them dark."""
    if not settings.DEVELOPMENT:
        raise Http404
    theme = "dark" if request.GET.get("theme") == "dark" else "light"
    return show(request, "design", "design", theme=theme, **console_samples())
