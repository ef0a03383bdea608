"""A platform that serves, asked from outside: SMOKE_URL=https://comanda.example make smoke.

SMOKE_CAFETERIA names the cafeteria at which one order is placed and cancelled again (manage.py open_smoke_cafeteria); SMOKE_CONNECT an
address to go to whatever the host, before DNS leads there, and SMOKE_CONNECT_HTTP the same without TLS (else port 80 of it); SMOKE_CA the
authority of its certificate, when no browser knows it; SMOKE_RELEASE which release it should be; SMOKE_SECONDS how long an answer may
take (2).
"""

import os
import re
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.smoke.client import session

URL = os.environ.get("SMOKE_URL", "").rstrip("/")
SLUG = os.environ.get("SMOKE_CAFETERIA", "smoke")
SECONDS = float(os.environ.get("SMOKE_SECONDS", "2"))
ORIGIN = "https://somewhere-else.example"

if not URL:  # Nothing was asked: that must not look like a platform that is well.
    pytest.exit("SMOKE_URL says which platform to ask: SMOKE_URL=https://comanda.example make smoke", returncode=2)


def site() -> str:
    parts = urlsplit(URL)
    return f"{parts.scheme}://{SLUG}.{parts.netloc}"


@pytest.fixture
def http() -> Iterator[requests.Session]:
    connect, plain = os.environ.get("SMOKE_CONNECT", ""), os.environ.get("SMOKE_CONNECT_HTTP", "")
    with session(connect, plain=plain, verify=os.environ.get("SMOKE_CA") or True) as made:
        yield made


def got(http: requests.Session, url: str, status: int = 200, **options: Any) -> requests.Response:
    response = http.request(options.pop("method", "GET"), url, timeout=30, **options)
    assert response.status_code == status, f"{url}: {response.status_code} {response.text[:300]}"
    return response


def test_it_is_healthy_and_says_so_in_json(http: requests.Session) -> None:
    for url in (f"{URL}/health", f"{URL}/health/ready", f"{site()}/health"):
        response = got(http, url)
        assert response.headers["Content-Type"].startswith("application/json")
        assert response.json()["status"] == "healthy"
    wanted = os.environ.get("SMOKE_RELEASE", "")
    assert not wanted or got(http, f"{URL}/health").json()["release"] == wanted


def test_what_is_for_machines_behind_the_proxy_stays_there(http: requests.Session) -> None:
    got(http, f"{URL}/metrics", 404)
    got(http, f"{site()}/metrics", 404)


def test_plain_http_is_sent_on_to_https(http: requests.Session) -> None:
    host = urlsplit(URL).hostname
    if not URL.startswith("https://"):
        assert host in {"localhost", "127.0.0.1"}, f"{URL} is served without TLS, and not to this machine alone."
        return
    response = http.get(f"http://{host}/", timeout=30, allow_redirects=False)
    assert response.status_code in {301, 308}
    assert response.headers["Location"].startswith("https://")


def test_the_documentation_is_there_with_its_assets(http: requests.Session) -> None:
    for place in (URL, site()):
        page = got(http, f"{place}/docs")
        paths = got(http, f"{place}/api/v1/openapi.json").json()["paths"]
        assert "/api/v1/auth/login" in paths
        assets = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text))
        assert assets
        for asset in assets:
            got(http, f"{place}{asset}")


def test_a_page_of_a_stranger_is_not_let_in_by_cors(http: requests.Session) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    response = http.options(f"{URL}/api/v1/businesses", headers=asked, timeout=30)
    assert response.status_code < 400
    assert response.headers.get("Access-Control-Allow-Origin") not in {"*", ORIGIN}


def test_the_api_answers_in_json_and_asks_who_it_is(http: requests.Session) -> None:
    businesses = got(http, f"{URL}/api/v1/businesses").json()
    assert isinstance(businesses, list)
    refused = got(http, f"{URL}/api/v1/auth/me", 401)
    assert refused.json().keys() >= {"detail", "code"}
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    got(http, f"{site()}/api/v1/orders", 401)
    got(http, f"{URL}/api/v1/ops/status", 401)
    broken = http.post(f"{URL}/api/v1/auth/register", data="{", headers={"Content-Type": "application/json"}, timeout=30)
    assert broken.status_code in {400, 422}


def test_there_is_a_way_to_sign_in(http: requests.Session) -> None:
    for place in (URL, site()):
        page = got(http, f"{place}/sign-in")
        assert 'name="email"' in page.text
        assert 'name="password"' in page.text
    wrong = {"username": f"{secrets.token_hex(6)}@nobody.example", "password": "not the password"}
    got(http, f"{URL}/api/v1/auth/login", 401, method="POST", data=wrong)


def test_pages_carry_careful_headers(http: requests.Session) -> None:
    headers = got(http, site()).headers
    assert "script-src 'nonce-" in headers["Content-Security-Policy"]
    assert "max-age=" in headers["Strict-Transport-Security"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in headers or "granian" not in headers["Server"].lower()


def test_the_storefront_is_there_with_its_assets(http: requests.Session) -> None:
    page = got(http, f"{site()}/")
    assets = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text))
    assert len(assets) >= 3, assets
    for asset in assets:
        response = got(http, f"{site()}{asset}")
        assert "immutable" in response.headers["Cache-Control"], asset
        assert response.content, asset


def test_it_answers_in_time(http: requests.Session) -> None:
    for path in ("/health", "/api/v1/products", "/"):
        # The quickest of four: the first one makes the connection, and one slow answer is no reason to take a release back.
        assert min(got(http, f"{site()}{path}").elapsed.total_seconds() for _ in range(4)) < SECONDS, path


def test_an_unknown_cafeteria_is_not_there(http: requests.Session) -> None:
    """Its host gets no certificate, or a page that says so."""
    parts = urlsplit(URL)
    try:
        response = http.get(f"{parts.scheme}://{secrets.token_hex(8)}.{parts.netloc}/", timeout=30)
    except requests.exceptions.SSLError:
        return
    assert response.status_code == 404


def test_an_order_is_placed_and_taken_back(http: requests.Session) -> None:
    """By a customer of its own. The stock is as before; the order stays, cancelled, in that cafeteria alone."""
    email = f"smoke-{secrets.token_hex(6)}@smoke.example"
    account = {"email": email, "password": secrets.token_urlsafe(16), "full_name": "Smoke"}
    got(http, f"{site()}/api/v1/auth/register", 201, method="POST", json=account)
    signed = got(http, f"{site()}/api/v1/auth/login", method="POST", data={"username": email, "password": account["password"]})
    headers = {"Authorization": f"Bearer {signed.json()['access_token']}", "Idempotency-Key": secrets.token_hex(16)}
    [product, *_] = got(http, f"{site()}/api/v1/products").json()  # just before: it is a public site
    wanted = {"items": [{"product_id": product["id"], "quantity": 2}], "notes": "smoke test: taken back at once"}
    placed = got(http, f"{site()}/api/v1/orders", 201, method="POST", json=wanted, headers=headers).json()
    try:
        again = got(http, f"{site()}/api/v1/orders", 201, method="POST", json=wanted, headers=headers).json()
        assert (again["id"], again["number"]) == (placed["id"], placed["number"])
        assert placed["status"] == "pending"
        assert float(placed["total"]) == 2 * float(product["price"])
        assert got(http, f"{site()}/api/v1/orders/{placed['id']}", headers=headers).json()["items"][0]["quantity"] == 2
    finally:
        gone = got(http, f"{site()}/api/v1/orders/{placed['id']}", method="DELETE", headers=headers).json()
    assert gone["status"] == "cancelled"
    [now, *_] = got(http, f"{site()}/api/v1/products").json()
    assert now["stock"] == product["stock"]
