import secrets
from typing import Any

import pytest
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import set_urlconf

from core.page_middleware import PageMiddleware
from core.sessions import SessionStore, SessionTooLarge


def request_with(store: SessionStore | None = None) -> HttpRequest:
    request = RequestFactory().get("/")
    request.tenant = None  # type: ignore[attr-defined]
    if store is not None:
        store.save()
        request.COOKIES[settings.SESSION_COOKIE_NAME] = store.session_key or ""
    return request


def answered(request: HttpRequest, view: Any) -> Any:
    set_urlconf("config.urls_public")
    try:
        return PageMiddleware(view)(request)
    finally:
        set_urlconf(None)


def test_a_session_comes_back_for_its_audience_only() -> None:
    store = SessionStore(audience="a")
    store["cart"] = [1]
    store.save()
    assert dict(SessionStore(store.session_key, audience="a").items()) == {"cart": [1]}
    assert dict(SessionStore(store.session_key, audience="b").items()) == {}


def test_what_a_browser_would_drop_is_refused() -> None:
    store = SessionStore(audience="a")
    store["cart"] = secrets.token_hex(6000)
    with pytest.raises(SessionTooLarge):
        store.save()


def test_a_full_session_is_said_and_the_cookie_stays_as_it_was() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        request.session["cart"] = secrets.token_hex(6000)
        return HttpResponse("done")

    response = answered(request_with(), view)
    assert response.status_code == 413
    assert settings.SESSION_COOKIE_NAME not in response.cookies


def test_a_page_that_needs_no_session_sets_no_cookie() -> None:
    assert answered(request_with(), lambda _: HttpResponse("done")).cookies == {}


def test_an_emptied_session_deletes_the_cookie() -> None:
    store = SessionStore(audience="platform")
    store["cart"] = [1]

    def view(request: HttpRequest) -> HttpResponse:
        del request.session["cart"]
        return HttpResponse("done")

    response = answered(request_with(store), view)
    assert response.cookies[settings.SESSION_COOKIE_NAME]["max-age"] == 0


def test_a_failure_keeps_the_session_as_it_was() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        request.session["cart"] = [1]
        return HttpResponse("broken", status=500)

    assert answered(request_with(), view).cookies == {}


@pytest.mark.parametrize("path", ["/api/v1/orders", "/health", "/health/live", "/metrics", "/static/core/icon.svg"])
def test_what_is_no_page_has_no_session(path: str) -> None:
    request = RequestFactory().get(path)
    PageMiddleware(lambda _: HttpResponse("done"))(request)
    assert not hasattr(request, "session")


def test_only_html_is_compressed() -> None:
    def of(kind: str) -> Any:
        request = request_with()
        request.META["HTTP_ACCEPT_ENCODING"] = "gzip"
        return answered(request, lambda _: HttpResponse("x" * 5000, content_type=kind))

    assert of("text/html").get("Content-Encoding") == "gzip"
    assert of("image/png").get("Content-Encoding") is None
