"""The platform's public pages that need no data of their own, and the language switch of both kinds of host."""

from django.conf import settings
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from accounts.doors import page
from billing.plans import PLANS, RECOMMENDED
from core.doors import open_page, safe_next
from tenants.queries import open_cafeterias
from tenants.routing import site_url

ONE_YEAR = 365 * 24 * 3600
CAFETERIAS_A_PAGE = 48


@page(access="anyone")
@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    demo = settings.DEMO_CAFETERIA
    context = {
        "plans": PLANS,
        "plan_currency": settings.PLATFORM_CURRENCY,
        "recommended": RECOMMENDED,
        "demo_url": f"{site_url(demo)}/" if demo else "",
    }
    return render(request, "config/site/landing.html", context)


@page(access="anyone")
@require_safe
def directory(request: HttpRequest) -> HttpResponse:
    """The open cafeterias, by name; ?q= searches names, addresses and descriptions, ?page= turns the pages."""
    wanted = request.GET.get("q", "").strip()[:80]
    found = open_cafeterias()
    if wanted:
        found = found.filter(Q(name__icontains=wanted) | Q(address__icontains=wanted) | Q(description__icontains=wanted))
    pages = Paginator(found, CAFETERIAS_A_PAGE)
    shown = pages.get_page(request.GET.get("page"))
    rows = [{"cafeteria": cafeteria, "url": f"{site_url(cafeteria.slug)}/"} for cafeteria in shown]
    return render(request, "config/site/directory.html", {"rows": rows, "shown": shown, "wanted": wanted})


@open_page
@csrf_exempt  # A forged change of language harms nobody, and pages without a token in their footer set no cookie.
@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Remember POST `lang` for a year and go back to `next`, which must be a path of this host. An unknown language changes nothing."""
    response = HttpResponseRedirect(safe_next(request, "/"))
    chosen = request.POST.get("lang", "")
    if chosen in dict(settings.LANGUAGES):
        response.set_cookie(settings.LANGUAGE_COOKIE_NAME, chosen, max_age=ONE_YEAR, samesite="Lax", secure=settings.HTTPS, httponly=True)
    return response
