from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from tenants.domains import is_served


@require_safe
def known_host(request: HttpRequest) -> HttpResponse:
    """For the proxy, before it asks for a certificate: 200 for a host of ours, 404 for any other, 429 when it asks for too many.

    What the proxy passes on for others has X-Forwarded-For, and finds nothing here.
    """
    if "HTTP_X_FORWARDED_FOR" in request.META:
        return _answer("Not found\n", 404)
    served = is_served(request.GET.get("domain", ""))
    if served is None:
        return _answer("Later\n", 429)
    return _answer("Ours\n", 200) if served else _answer("Not ours\n", 404)


def _answer(text: str, status: int) -> HttpResponse:
    response = HttpResponse(text, status=status, content_type="text/plain")
    response["Cache-Control"] = "no-store"
    return response


known_host.access = "anyone"  # type: ignore[attr-defined]
