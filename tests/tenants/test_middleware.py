"""Which host is whose: only the Host header counts, and the hot path asks the database nothing."""

from typing import Any

import pytest
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from pytest_django import DjangoAssertNumQueries

from tenants import routing
from tenants.actions import close_cafeteria, resume_cafeteria, suspend_cafeteria, touch_cafeteria
from tenants.middleware import TenantMiddleware
from tenants.models import Cafeteria, Domain
from tests.world import World


class Through:
    """A request sent through the middleware, and what came of it."""

    def __init__(self, host: str | None, path: str = "/", **headers: str) -> None:
        self.seen: Any = None
        request = RequestFactory().get(path)
        request.META.update(headers)
        request.META.pop("HTTP_HOST", None)
        if host is not None:
            request.META["HTTP_HOST"] = host
        request.csp_nonce = "n"  # type: ignore[attr-defined]
        self.response = TenantMiddleware(self.view)(request)

    def view(self, request: HttpRequest) -> HttpResponse:
        self.seen = request
        return HttpResponse("reached")


@pytest.mark.parametrize("form", ["{}", "{}:8000", "{}.", "{}.:8000", " {} "])
@pytest.mark.parametrize("upper", [True, False])
def test_forms_of_one_host(world: World, form: str, upper: bool) -> None:
    host = form.format(f"{world.a.ref.slug}.localhost")
    seen = Through(host.upper() if upper else host).seen
    assert seen.tenant == world.a.ref
    assert seen.comanda_host == f"{world.a.ref.slug}.localhost"
    assert not hasattr(seen, "urlconf")


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "LOCALHOST.", "www.localhost", "127.0.0.1:8000"])
def test_the_platform(db: None, host: str) -> None:
    seen = Through(host).seen
    assert (seen.tenant, seen.urlconf) == (None, settings.PUBLIC_URLCONF)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "nobody.localhost",
        "a.luna.localhost",
        "luna.localhost.evil.test",
        "evil.test",
        "luna_.localhost",
        "luna.localhost/..",
        "lun\x00a.localhost",
        "luña.localhost",
        "[::1]:8000",
        "luna.localhost@evil.test",
        "x" * 5000,
        "'; DROP TABLE tenants_cafeteria --",
        ".localhost",
        "..",
        "%6cuna.localhost",
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/v1/products"])
def test_unknown_and_impossible_hosts_are_not_found(world: World, host: str | None, path: str) -> None:
    through = Through(host, path)
    assert (through.seen, through.response.status_code) == (None, 404)
    kind = "application/json" if path.startswith("/api/") else "text/html"
    assert through.response.headers["content-type"].startswith(kind)


@pytest.mark.parametrize("header", ["HTTP_X_FORWARDED_HOST", "HTTP_X_HOST", "HTTP_FORWARDED", "SERVER_NAME"])
def test_no_other_header_names_the_host(world: World, header: str) -> None:
    assert Through("nobody.localhost", **{header: world.a.host}).response.status_code == 404
    assert Through(world.a.host, **{header: world.b.host}).seen.tenant == world.a.ref


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/metrics", "/static/core/comanda.css"])
def test_probes_and_files_need_no_host(path: str) -> None:
    """And no database: these tests may not use one."""
    assert Through("10.1.2.3:8000", path).seen.tenant is None


@pytest.mark.parametrize("path", ["/healthy", "/metrics/x", "/staticky"])
def test_what_only_looks_like_them_needs_one(db: None, path: str) -> None:
    assert Through("10.1.2.3:8000", path).response.status_code == 404


def test_the_hot_path_costs_no_query(world: World, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(1):
        Through(world.a.host)
    with django_assert_num_queries(0):
        Through(world.a.host)
        Through("localhost")


def test_an_own_domain(world: World) -> None:
    assert Through("cafe-luna.example").response.status_code == 404
    Domain.objects.create(domain="cafe-luna.example", tenant_id=world.a.ref.id)
    assert Through("Cafe-Luna.example:443").seen.tenant == world.a.ref
    close_cafeteria(cafeteria_id=world.a.ref.id)
    routing.forget_all()
    assert Through("cafe-luna.example").response.status_code == 404


def test_a_new_cafeteria_is_found_though_it_was_asked_for_before(world: World) -> None:
    assert Through("nueva.localhost").response.status_code == 404
    Cafeteria.objects.filter(pk=world.a.ref.id).update(slug="nueva")
    assert Through("nueva.localhost").seen.tenant.id == world.a.ref.id


def test_closed_is_not_found_and_suspended_says_so(world: World, django_capture_on_commit_callbacks: Any) -> None:
    Through(world.a.host)
    with django_capture_on_commit_callbacks(execute=True):
        suspend_cafeteria(cafeteria_id=world.a.ref.id)
    page, api = Through(world.a.host), Through(world.a.host, "/api/v1/products")
    assert (page.response.status_code, api.response.status_code) == (503, 503)
    assert b'"code": "cafeteria_suspended"' in api.response.content
    with django_capture_on_commit_callbacks(execute=True):
        resume_cafeteria(cafeteria_id=world.a.ref.id)
    assert Through(world.a.host).response.status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        close_cafeteria(cafeteria_id=world.a.ref.id)
    page, api = Through(world.a.host), Through(world.a.host, "/api/v1/products")
    assert (page.response.status_code, api.response.status_code) == (404, 404)
    assert b'"code": "cafeteria_not_found"' in api.response.content


def test_resumed_elsewhere_is_seen_at_once(world: World) -> None:
    suspend_cafeteria(cafeteria_id=world.a.ref.id)
    assert Through(world.a.host).response.status_code == 503
    Cafeteria.objects.filter(pk=world.a.ref.id).update(status="open")  # as another process would
    assert Through(world.a.host).response.status_code == 200


def test_the_cache_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "MOST", 1)
    for place in (world.a, world.b, world.a):
        assert Through(place.host).seen.tenant == place.ref
    assert len(routing._cache) == 1


def test_an_entry_lives_for_a_while_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "LIFE", -1.0)
    Through(world.a.host)
    touch_cafeteria(cafeteria_id=world.a.ref.id)
    assert Through(world.a.host).seen.tenant.revision == world.a.ref.revision + 1
