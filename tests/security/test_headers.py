"""The headers that browsers are told to be careful by, on every kind of answer of both kinds of host."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from PIL import Image
from pytest_django import Settings

from tests.isolation.test_crawl import signed_in_browser
from tests.world import PASSWORD, Place, World

VALUES = {
    "secret": "x",
    "key": "x",
    "name": "x",
    "token": "x",
    "day": "2026-01-31",
    "payment_id": "00000000-0000-4000-8000-000000000000",
    "slug": "luna",
}
EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Frame-Options": "DENY",
}
HSTS = "Strict-Transport-Security"


@pytest.fixture(autouse=True)
def https(settings: Settings) -> None:
    settings.HTTPS = True


def check(response: Any, address: str) -> None:
    assert {name: response.headers.get(name) for name in EVERYWHERE} == EVERYWHERE, address
    # What is below a cafeteria's own domain is none of our business.
    ours = re.search(r"(^|\.)localhost(:\d+)?$", response.wsgi_request.META["HTTP_HOST"])
    assert response[HSTS] == f"max-age=31536000{'; includeSubDomains' if ours else ''}", address
    policy = response["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy, address
    if response.headers.get("Content-Type", "").startswith("text/html"):
        check_page(response, policy, address)
    elif not address.startswith("/static/"):
        assert policy.startswith("default-src 'none'"), address
        assert "script-src" not in policy, address


def check_page(response: Any, policy: str, address: str) -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'", address
    assert rules["base-uri"] == "'none'", address
    assert "unsafe" not in rules["script-src"], address
    assert "unsafe" not in rules["style-src"] or address == "/docs", address
    assert "*" not in rules["script-src"] + rules["style-src"] + rules["connect-src"] + rules["img-src"], address
    page = b"".join(response.streaming_content) if response.streaming else response.content
    if rules["script-src"] != "'none'":
        nonce = re.search(r"'nonce-([\w-]{16,})'", rules["script-src"])
        assert nonce, address
        for script in re.findall(rb"<script[^>]*>", page):
            assert b'type="application/json"' in script or f'nonce="{nonce[1]}"'.encode() in script, (address, script)
    assert not re.search(rb"<[^>]+\son\w+=", page), address
    assert response["Cross-Origin-Opener-Policy"] == "same-origin", address
    assert "camera=()" in response["Permissions-Policy"], address
    assert re.search(r"\bno-(store|cache)\b", response["Cache-Control"]), address


def addresses(resolver: URLResolver, prefix: str = "/") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield re.sub(r"<(?:\w+:)?(\w+)>", lambda found: VALUES.get(found[1], "500"), route)
        else:
            yield from addresses(pattern, route)


@pytest.mark.parametrize("role", [None, "owner"])
def test_every_address_of_a_cafeteria(world: World, role: str | None) -> None:
    browser = signed_in_browser(world.a, role)
    if role is not None:
        browser.defaults["HTTP_AUTHORIZATION"] = f"Bearer {world.a.token(role)}"
    seen = walk(browser, "config.urls_tenant")
    assert {200, 302, 404, 405} <= seen


@pytest.mark.parametrize("who", ["nobody", "owner", "admin"])
def test_every_address_of_the_platform(world: World, who: str) -> None:
    user = {"owner": world.owner_a, "admin": world.admin}.get(who)
    seen = walk(signed_in_at_platform(world, user), "config.urls_public")
    assert {200, 302, 404, 405} <= seen


def signed_in_at_platform(world: World, user: int | None) -> Client:
    client = world.platform_client(user)
    if user == world.owner_a:
        assert client.post("/sign-in", {"email": "luna@owners.test", "password": PASSWORD}).status_code == 302
    return client


def walk(browser: Client, urlconf: str) -> set[int]:
    seen = set()
    for address in addresses(get_resolver(urlconf)):
        for method in ("get", "post", "options"):
            response = getattr(browser, method)(address)
            assert response.status_code < 500 or response.status_code == 503, address
            check(response, address)
            if response.status_code != 200 or method != "get":
                assert "public" not in response.headers.get("Cache-Control", ""), address
            seen.add(response.status_code)
    return seen


@pytest.mark.parametrize(
    "address",
    ["/nothing", "/api/v1/nothing", "/media/nothing", "/static/nothing.css", "/%00", "/api/v1/orders/1", "/staff/"],
)
def test_errors_have_them_too(world: World, address: str) -> None:
    for host in (world.a.host, "localhost:8000", "unknown.localhost", "evil.example"):
        response = Client(headers={"host": host}).get(address)
        assert response.status_code >= 300
        check(response, "" if address.startswith("/static") else address)


def test_a_failure_has_them_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **named: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("shop.storefront.views.render", broken)
    client = Client(headers={"host": world.a.host}, raise_request_exception=False)
    response = client.get("/")
    assert response.status_code == 500
    assert {name: response.headers.get(name) for name in EVERYWHERE} == EVERYWHERE
    assert response[HSTS] == "max-age=31536000; includeSubDomains"
    assert "frame-ancestors 'none'" in response["Content-Security-Policy"]


def test_static_files_may_be_kept_and_have_them_too(world: World, settings: Settings, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path
    (tmp_path / "x.0123456789ab.css").write_text("a {}")
    for host in (world.a.host, "localhost:8000"):
        response = Client(headers={"host": host}).get("/static/x.0123456789ab.css")
        assert response.status_code == 200
        check(response, "/static/x.css")
        response.close()


def test_pictures_are_pictures_and_nothing_else(world: World, settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path
    response = world.a.client().get(uploaded(world.a))
    check(response, "/media/")
    assert response["Content-Type"] == "image/webp"
    assert response["Cache-Control"] == "public, max-age=31536000, immutable"


def uploaded(place: Place) -> str:
    file = io.BytesIO()
    Image.new("RGB", (50, 50), "red").save(file, "PNG")
    body = {"file": SimpleUploadedFile("x.png", file.getvalue(), content_type="image/png")}
    path: str = place.client("manager").post(f"/api/v1/products/{place.cake}/image", body).json()["image"]
    return path


@pytest.mark.parametrize("path", ["/api/v1/orders", "/api/v1/payments", "/api/v1/auth/me", "/staff/money/entries.csv", "/account"])
def test_private_answers_are_kept_by_nobody(world: World, path: str) -> None:
    browser = signed_in_browser(world.a, "owner")
    response = browser.get(path, headers={"authorization": f"Bearer {world.a.token('owner')}"})
    assert response.status_code == 200
    assert response["Cache-Control"] == "private, no-store"


def test_no_policy_over_plain_http(world: World, settings: Settings) -> None:
    """Browsers ignore it there, and development has no certificate."""
    settings.HTTPS = False
    assert HSTS not in world.a.client().get("/").headers
