"""The pages for what went wrong, in the dress of the host where it happened, each with a way on. core.http has the JSON ones."""

from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.html import escape
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from core.errors import AppError

STATIC_500 = "core/errors/500.html"  # Stands alone: no context, no tags, no database.
HOSTLESS = "core/errors/hostless.html"
NONCE, SAME_PAGE = "nonce-of-the-page", "/address-of-the-page"


@dataclass(frozen=True, kw_only=True)
class Way:
    href: str
    label: str


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404 of a cafeteria or of the platform."""
    if getattr(request, "tenant", None) is None:
        words = _("The address may have changed, or a letter is missing.")
        return _page(request, 404, title=_("There is nothing here"), words=words, way=_home(request))
    words = _("It may be off the menu today. Everything else is waiting.")
    return _page(request, 404, title=_("This page is not on the menu"), words=words, way=_home(request))


def unknown_cafeteria(request: HttpRequest) -> HttpResponse:
    """404 of a host that is no cafeteria's, or no longer. Leads to the platform, whose address only the settings know."""
    words = _("No cafeteria has this address. The name may be spelled differently, or it has closed.")
    way = Way(href=platform_url("/cafeterias"), label=_("See all cafeterias"))
    return _page(request, 404, title=_("There is no cafeteria here"), words=words, way=way, drawing="coffee", shell=HOSTLESS)


def suspended_cafeteria(request: HttpRequest, cafeteria_name: str = "") -> HttpResponse:
    """503 of a cafeteria whose site is stopped for now: search engines keep it, people are told to come back."""
    named = _("{cafeteria} is taking a break").format(cafeteria=cafeteria_name)
    title = named if cafeteria_name else _("This cafeteria is taking a break")
    words = _("Its site is paused for now. The cafeteria itself may well be open: passing by or calling is the way.")
    way = Way(href=platform_url("/cafeterias"), label=_("See other cafeterias"))
    return _page(request, 503, title=title, words=words, way=way, drawing="coffee", retry_after=3600, shell=HOSTLESS)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403: signed in, but not as someone who may."""
    words = _("This part is for other people of the house. Another sign-in may open it.")
    return _page(request, 403, title=_("This door is closed"), words=words, way=_home(request), drawing="sandwich")


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - Django passes it
    """403 of a form whose page is too old, or was not ours. Nothing was done."""
    words = _("It had been open for too long, so nothing was sent. Go back, reload the page and send it again.")
    way = Way(href=_same_page(request), label=_("Reload the page"))
    return _page(request, 403, title=_("The form has expired"), words=words, way=way, drawing="tea")


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """400: the request cannot be read."""
    words = _("What arrived could not be read. Nothing was done.")
    return _page(request, 400, title=_("That did not arrive well"), words=words, way=_home(request))


def too_many(request: HttpRequest, *, retry_after: int) -> HttpResponse:
    """429, with when to try again; `retry_after` in seconds."""
    minutes = max(1, -(-retry_after // 60))
    words = _("To keep accounts safe there is a pause. Try again in {minutes} min.").format(minutes=minutes)
    way = Way(href=_same_page(request), label=_("Try again"))
    return _page(request, 429, title=_("A short pause"), words=words, way=way, drawing="tea", retry_after=retry_after)


def busy(request: HttpRequest, *, retry_after: int, shell: str = "") -> HttpResponse:
    """429 while a busy process serves others first; `retry_after` in seconds. Drawn once for each site and language, to cost little."""
    page = _busy_page(getattr(request, "tenant", None), get_language() or settings.LANGUAGE_CODE, shell)
    page = page.replace(NONCE, getattr(request, "csp_nonce", "none")).replace(SAME_PAGE, escape(_same_page(request)))
    return HttpResponse(page, status=429, headers={"Cache-Control": "no-store", "Retry-After": str(retry_after)})


@lru_cache(maxsize=256)
def _busy_page(tenant: Any, language: str, shell: str) -> str:
    """Of no request in particular: nothing of one visitor's may be in another's page."""
    request = HttpRequest()
    request.path = request.path_info = "/"
    request.method = "GET"
    request.META["HTTP_HOST"] = settings.BASE_DOMAIN
    request.tenant, request.csp_nonce = tenant, NONCE  # type: ignore[attr-defined]
    with translation.override(language):
        words = _("Very many people are here just now. Nothing was done; try again in a few seconds.")
        way = Way(href=SAME_PAGE, label=_("Try again"))
        return _page(request, 429, title=_("One moment"), words=words, way=way, drawing="tea", shell=shell).text


def maintenance(request: HttpRequest, *, retry_after: int = 120) -> HttpResponse:
    """503 while something of this host is being changed; `retry_after` in seconds."""
    words = _("Something is being improved. This takes a few minutes, and nothing that was sent is lost.")
    way = Way(href=_same_page(request), label=_("Try again"))
    return _page(request, 503, title=_("Back in a moment"), words=words, way=way, drawing="coffee", retry_after=retry_after)


def server_error(request: HttpRequest) -> HttpResponse:
    """500. Its page needs nothing that could have failed, in both languages, with the request's id for whoever looks for it."""
    page = render_to_string(STATIC_500)
    number = getattr(request, "request_id", "")
    return HttpResponse(page.replace("REQUEST-ID", number if number.isascii() else ""), status=500)


def app_error(request: HttpRequest, error: AppError) -> HttpResponse:
    """The page of an error that reached no form: its sentence, its status, its headers, and the way back."""
    if error.status == HTTPStatus.NOT_FOUND:
        return not_found(request)
    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
        return too_many(request, retry_after=int(error.headers.get("Retry-After", "60")))
    title = _("This door is closed") if error.status == HTTPStatus.FORBIDDEN else _("That did not work")
    response = _page(request, error.status, title=title, words=error.translated(), way=_back(request))
    for name, value in error.headers.items():
        response[name] = value
    return response


def _page(
    request: HttpRequest,
    status: int,
    *,
    title: str,
    words: str,
    way: Way,
    drawing: str = "other",
    retry_after: int | None = None,
    shell: str = "",
) -> HttpResponse:
    values: dict[str, Any] = {"title": title, "words": words, "way": way, "drawing_name": drawing, "status": status}
    values["shell"] = shell or ("core/site.html" if getattr(request, "tenant", None) is None else "core/shop.html")
    values["platform_url"] = platform_url("/")
    response = HttpResponse(render_to_string("core/errors/page.html", values, request=request), status=status)
    response["Cache-Control"] = "no-store"
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response


def _home(request: HttpRequest) -> Way:
    label = _("To the start") if getattr(request, "tenant", None) is None else _("To the menu")
    return Way(href="/", label=label)


def _back(request: HttpRequest) -> Way:
    """The page that the person came from, when it was of this host."""
    referrer = request.headers.get("Referer", "")
    origin = f"{request.scheme}://{request.get_host()}/"
    return Way(href=f"/{referrer[len(origin) :]}", label=_("Go back")) if referrer.startswith(origin) else _home(request)


def _same_page(request: HttpRequest) -> str:
    """The present address for a GET; after a POST the page of its form."""
    return request.get_full_path() if request.method in {"GET", "HEAD"} else _back(request).href


def platform_url(path: str) -> str:
    """An address of the base domain, for pages of other hosts."""
    port = f":{settings.PUBLIC_PORT}" if settings.PUBLIC_PORT else ""
    return f"{settings.PUBLIC_SCHEME}://{settings.BASE_DOMAIN}{port}{path}"
