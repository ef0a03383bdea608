"""The platform's public pages that need no data of their own, and the language switch of both kinds of host."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from billing.plans import PLAN_CURRENCY, PLANS, RECOMMENDED

ONE_YEAR = 365 * 24 * 3600


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    context = {"plans": PLANS, "plan_currency": PLAN_CURRENCY, "recommended": RECOMMENDED, "demo_url": demo_url()}
    return render(request, "config/site/landing.html", context)


@csrf_exempt  # A forged change of language harms nobody, and pages without a token in their footer set no cookie.
@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Remember POST `lang` for a year and go back to `next`, which must be a path of this host. An unknown language changes nothing."""
    response = HttpResponseRedirect(_safe_next(request))
    chosen = request.POST.get("lang", "")
    if chosen in dict(settings.LANGUAGES):
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME, chosen, max_age=ONE_YEAR, samesite="Lax", secure=settings.HTTPS, httponly=True
        )
    return response


def demo_url() -> str:
    """The address of the cafeteria that the landing page shows; empty when there is none."""
    slug = getattr(settings, "DEMO_CAFETERIA", "")
    if not slug:
        return ""
    port = f":{settings.PUBLIC_PORT}" if settings.PUBLIC_PORT else ""
    return f"{settings.PUBLIC_SCHEME}://{slug}.{settings.BASE_DOMAIN}{port}/"


def _safe_next(request: HttpRequest) -> str:
    wanted = request.POST.get("next", "")
    safe = wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if safe else "/"
