from collections.abc import Callable
from types import SimpleNamespace

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils import translation

from core import error_pages
from core.errors import AppError, NotAllowed, NotFound, TooManyAttempts

type Page = Callable[[HttpRequest], HttpResponse]


def request_to(path: str = "/x", *, cafeteria: bool = False, **headers: str) -> HttpRequest:
    request = RequestFactory().get(path, headers=headers)
    if cafeteria:
        request.tenant = SimpleNamespace(name="Luna", brand="plum")  # type: ignore[attr-defined]
    return request


PAGES: list[tuple[Page, int, str]] = [
    (error_pages.not_found, 404, 'href="/"'),
    (error_pages.unknown_cafeteria, 404, 'href="http://localhost:8000/cafeterias"'),
    (error_pages.suspended_cafeteria, 503, 'href="http://localhost:8000/cafeterias"'),
    (error_pages.forbidden, 403, 'href="/"'),
    (error_pages.csrf_failed, 403, 'href="/x"'),
    (error_pages.bad_request, 400, 'href="/"'),
    (error_pages.maintenance, 503, 'href="/x"'),
    (lambda request: error_pages.too_many(request, retry_after=130), 429, 'href="/x"'),
    (error_pages.server_error, 500, 'href="/"'),
]


@pytest.mark.parametrize("language", ["es", "en"])
@pytest.mark.parametrize(("page", "status", "way"), PAGES)
def test_an_error_has_its_status_and_a_way_on(page: Page, status: int, way: str, language: str) -> None:
    with translation.override(language):
        response = page(request_to())
    assert (response.status_code, way in response.text) == (status, True)


def test_a_cafeterias_error_wears_its_colours() -> None:
    response = error_pages.not_found(request_to(cafeteria=True))
    assert ('data-brand="plum"' in response.text, "Luna" in response.text) == (True, True)


def test_a_host_that_serves_nothing_has_no_link_within_itself() -> None:
    assert 'href="/"' not in error_pages.unknown_cafeteria(request_to()).text


def test_a_pause_says_how_long_in_words_and_in_the_header() -> None:
    with translation.override("en"):
        response = error_pages.app_error(request_to(), TooManyAttempts(retry_after=130))
    assert (response.status_code, response["Retry-After"], "3 min" in response.text) == (429, "130", True)


@pytest.mark.parametrize("error", [NotFound(), NotAllowed(), AppError()])
def test_an_error_of_ours_keeps_its_status(error: AppError) -> None:
    assert error_pages.app_error(request_to(), error).status_code == error.status


def test_the_way_back_is_the_page_before_if_it_was_ours() -> None:
    ours = error_pages.app_error(request_to(referer="http://testserver/cart?x=1"), AppError())
    foreign = error_pages.app_error(request_to(referer="http://evil.example/cart"), AppError())
    assert ('href="/cart?x=1"' in ours.text, "evil" in foreign.text) == (True, False)


def test_a_forms_expired_page_leads_back_to_the_form() -> None:
    request = RequestFactory().post("/send", headers={"referer": "http://testserver/form"})
    assert 'href="/form"' in error_pages.csrf_failed(request).text


def test_the_page_for_our_own_faults_names_the_request() -> None:
    request = request_to()
    request.request_id = "abc123def"  # type: ignore[attr-defined]
    assert "abc123def" in error_pages.server_error(request).text
