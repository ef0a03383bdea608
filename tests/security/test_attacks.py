"""What somebody with bad intent would try over HTTP, tried."""

import json
import time
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from shop.menu.models import Product
from shop.orders.models import Order
from shop.people.models import Person
from tenants.models import Cafeteria
from tenants.scope import tenant_scope
from tests.isolation.test_crawl import signed_in_browser
from tests.world import PASSWORD, World

JSON = "application/json"
ELSEWHERE = [
    "https://evil.example/",
    "//evil.example/",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "javascript:alert(1)",
    "https:evil.example",
    "/%0d%0aSet-Cookie:x=1//",
    "\r\nSet-Cookie: a=b",
    " //evil.example",
    "http:///evil.example",
    "/@evil.example",
]


@pytest.mark.parametrize("wanted", ELSEWHERE)
@pytest.mark.parametrize("path", ["/sign-in", "/language"])
def test_nobody_is_sent_elsewhere(world: World, wanted: str, path: str) -> None:
    form = {"email": "customer@people.test", "password": PASSWORD, "lang": "en", "next": wanted}
    response = Client(headers={"host": world.a.host}).post(path, form)
    assert response.status_code == 302
    target = response["Location"]
    assert target.startswith("/")
    assert not target.startswith(("//", "/\\", "/\t"))
    assert "\n" not in target
    assert "evil.example" not in target or target.startswith(("/@", "/%0d%0a"))


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "localhost:8000@evil.example", "localhost:8000/evil", "luna.localhost#"]
)
def test_no_link_follows_a_forged_host(world: World, host: str) -> None:
    """Nor is there a page that a shared cache could keep for somebody else's host."""
    response = Client(headers={"host": host}).get("/", headers={"x-forwarded-host": "evil.example", "x-forwarded-proto": "https"})
    assert response.status_code == 404
    assert b"evil" not in response.content
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize(
    "header", ["x-forwarded-host", "x-original-url", "x-rewrite-url", "x-forwarded-prefix", "x-http-method-override", "forwarded"]
)
def test_headers_that_nobody_reads_change_nothing(world: World, header: str) -> None:
    """What a cache does not know of could be planted in a page for the next one."""
    plain = world.a.client().get("/api/v1/products")
    forged = world.a.client().get("/api/v1/products", headers={header: "DELETE"})
    assert (plain.status_code, plain.content) == (forged.status_code, forged.content)
    page = Client(headers={"host": world.a.host}).get("/", headers={header: "evil.example"})
    assert b"evil.example" not in page.content


@pytest.mark.parametrize(
    "path",
    [
        "/media/../settings.py",
        "/media/%2e%2e%2fsecret_key",
        "/media/..%2f..%2fetc%2fpasswd",
        "/media/....//x",
        "/media/%00.webp",
        "/media/C:%5cx",
        "/static/../secret_key",
        "/static/%2e%2e/secret_key",
        "/static/..%2fsecret_key",
        "/static//etc/passwd",
        "/static/%252e%252e/secret_key",
    ],
)
def test_no_path_leads_out_of_media_and_static(world: World, settings: Settings, path: str, tmp_path: Any) -> None:
    settings.STATIC_ROOT, settings.MEDIA_ROOT = tmp_path / "static", tmp_path / "media"
    for folder in (settings.STATIC_ROOT, settings.MEDIA_ROOT):
        folder.mkdir()
    for name in ("secret_key", "settings.py"):
        (tmp_path / name).write_text("TOP SECRET")
    for host in (world.a.host, "localhost:8000"):
        response = Client(headers={"host": host}).get(path)
        assert response.status_code in {400, 404}
        assert b"TOP SECRET" not in response.content


def test_a_registration_gives_no_more_than_asked(world: World) -> None:
    """Mass assignment."""
    extra = {"id": 1, "is_active": False, "token_version": 99, "platform_user_id": world.owner_a, "is_admin": True, "is_staff": True}
    body = {"email": "new@people.test", "password": "a long enough sentence", "full_name": "New", **extra}
    made = world.a.client().post("/api/v1/auth/register", body, content_type=JSON)
    assert (made.status_code, made.json()["role"]) == (201, "customer")
    with tenant_scope(world.a.ref):
        person = Person.objects.get(email="new@people.test")
    assert (person.is_active, person.token_version, person.platform_user_id) == (True, 1, None)
    assert person.pk == made.json()["id"] != 1
    for role in ("owner", "manager", "admin", "Customer", None, ["customer"]):
        refused = world.a.client().post("/api/v1/auth/register", {**body, "email": "x@people.test", "role": role}, content_type=JSON)
        assert refused.status_code == 422
    for role in ("admin", "staff"):
        assert world.platform_client().post("/api/v1/auth/register", {**body, "role": role}, content_type=JSON).status_code == 422


def test_a_cafeteria_is_changed_in_what_may_be_changed(world: World) -> None:
    extra = {"owner_id": world.owner_b, "schema_name": "t_2", "status": "closed", "generation": 9, "uuid": str(world.b.ref.uuid)}
    changed = world.platform_client(world.owner_a).patch(
        f"/api/v1/businesses/{world.a.ref.id}", {"description": "x", **extra}, content_type=JSON
    )
    assert changed.status_code == 200
    row = Cafeteria.objects.get(pk=world.a.ref.id)
    assert (row.owner_id, row.schema_name, row.status, row.generation) == (world.owner_a, world.a.ref.schema_name, "open", 1)


def test_a_form_of_the_account_changes_no_role(world: World) -> None:
    browser = signed_in_browser(world.a, "customer")
    form = {"full_name": "C", "phone": "", "role": "owner", "email": "owner@people.test", "is_active": "0"}
    assert browser.post("/account", form).status_code == 302
    with tenant_scope(world.a.ref):
        person = Person.objects.get(pk=world.a.people["customer"])
    assert (person.role, person.email) == ("customer", "customer@people.test")


@pytest.mark.parametrize("name", ["_method", "X-HTTP-Method-Override", "_HttpMethod"])
def test_a_method_is_what_the_request_line_says(world: World, name: str) -> None:
    client = world.a.client("owner")
    response = client.post(f"/api/v1/products/{world.a.cake}?{name}=DELETE", {name: "DELETE"}, headers={name: "DELETE"})
    assert response.status_code == 405
    with tenant_scope(world.a.ref):
        assert Product.objects.filter(pk=world.a.cake, archived_at=None).exists()


LONG = 200_000


@pytest.mark.parametrize(
    "text",
    [
        "a" * LONG,
        "a@" * (LONG // 2),
        "a" * 120 + "@" + "a." * (LONG // 4),
        " " * LONG,
        "=" * LONG,
        "(" * LONG,
        "\u202e" * LONG,
        "a-" * (LONG // 2),
    ],
    ids=["letters", "ats", "domain", "blanks", "equals", "brackets", "bidi", "dashes"],
)
def test_long_texts_cost_little(world: World, text: str) -> None:
    """No pattern goes back and forth over them. Measured in processor time of this process, with room for a slow machine."""
    began = time.process_time()
    for client in (world.a.client(), world.platform_client()):
        client.post("/api/v1/auth/register", {"email": text, "password": text, "full_name": text}, content_type=JSON)
        client.post("/api/v1/auth/login", {"username": text, "password": text})
        client.get(f"/api/v1/auth/me?x={text[:4_000]}", headers={"authorization": f"Bearer {text}"})
    browser = Client(headers={"host": world.a.host})
    browser.cookies["comanda"] = text.encode().decode("latin-1")[:4_000]
    for path in ("/", f"/cafeterias?q={text[:4_000]}", f"/sign-in?next={text[:4_000]}"):
        assert browser.get(path).status_code < 500
    browser.post("/sign-in", {"email": text, "password": text, "next": text})
    owner = world.a.client("owner")
    owner.post("/api/v1/products", {"name": text, "category": text, "price": text, "tags": [text]}, content_type=JSON)
    owner.post("/api/v1/orders", {"items": [{"product_id": 1, "quantity": 1, "notes": text}], "guest": {"name": text}}, content_type=JSON)
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "body",
    [
        '{"items": ' + "[" * 50_000 + "]" * 50_000 + "}",
        '{"items": [{"product_id": ' + "9" * 100_000 + ', "quantity": 1}]}',
        '{"items": [{"product_id": 500, "quantity": 1e400}]}',
        '{"items": [{"product_id": 500, "quantity": 1}], "tip": ' + "1" * 50_000 + "}",
        '{"items": [{"product_id": 500, "quantity": 1}], "tip": "1E+999999999"}',
        '{"items": [{"product_id": 500, "quantity": 1}], "tip": "0.' + "0" * 50_000 + '1"}',
        '{"items": [{"product_id": 500, "quantity": 1}], "tip": "NaN"}',
        '{"items": [{"product_id": 500, "quantity": 1, "choices": [' + "1," * 50_000 + "1]}]}",
        '{"items": [' + '{"product_id": 500, "quantity": 1},' * 20_000 + '{"product_id": 500, "quantity": 1}]}',
        '{"items": [{"product_id": 500, "quantity": 1}], "notes": "\\u0000"}',
        '{"items": [{"product_id": 500, "quantity": 1}], "notes": "\\ud800"}',
        '{"__proto__": {"items": []}, "items": []}',
        "{" + ",".join(f'"k{n}": 1' for n in range(60_000)) + ', "items": []}',
    ],
    ids=[
        "deep",
        "long id",
        "infinite",
        "long tip",
        "exponent",
        "tiny tip",
        "NaN",
        "choices",
        "lines",
        "NUL",
        "surrogate",
        "proto",
        "keys",
    ],
)
def test_bodies_made_to_hurt(world: World, body: str) -> None:
    began = time.process_time()
    response = world.a.client("customer").post("/api/v1/orders", body, content_type=JSON)
    assert response.status_code in {400, 413, 422}
    assert time.process_time() - began < 5
    with tenant_scope(world.a.ref):
        assert Order.objects.count() == 0


@pytest.mark.parametrize("text", ["a\r\nSet-Cookie: x=1", "a\nb", "\x1b[2J", "a\u2028b", "A" * 65])
def test_a_request_id_from_outside_is_ours_or_harmless(world: World, text: str) -> None:
    """It goes into a header of the answer, into the log and into comments of the database's statements."""
    given = world.a.client().get("/", headers={"x-request-id": text})["X-Request-ID"]
    assert given != text
    assert given.isalnum()


def test_names_of_cafeterias_and_people_are_text_in_pages(world: World) -> None:
    browser = signed_in_browser(world.a, "customer")
    evil = "<script>alert(1)</script>'\"{{7*7}}{% debug %}"
    assert browser.post("/account", {"full_name": evil, "phone": ""}).status_code == 302
    page = browser.get("/account").text
    assert "<script>alert(1)" not in page
    assert "{{7*7}}" in page
    world.a.client("owner").patch(
        f"/api/v1/products/{world.a.cake}", {"name": evil, "description": evil, "tags": ["<b>x"]}, content_type=JSON
    )
    for path in ("/", f"/p/{world.a.cake}"):
        page = browser.get(path).text
        assert "<script>alert(1)" not in page
        assert "<b>x" not in page


def test_every_form_asks_for_its_token(world: World) -> None:
    """Forged from another site, none does anything; but for the language, and for what Mercado Pago signs."""
    from django.urls import get_resolver  # noqa: PLC0415

    from tests.security.test_headers import addresses  # noqa: PLC0415

    free = {"/language", "/api/v1/payments/webhook"}
    for urlconf, host in (("config.urls_tenant", world.a.host), ("config.urls_public", "localhost:8000")):
        browser = Client(headers={"host": host}, enforce_csrf_checks=True)
        asked = 0
        for path in addresses(get_resolver(urlconf)):
            if path.startswith(("/api/", "/webhooks/", "/health", "/metrics")) or path in free:
                continue
            response = browser.post(path, {"x": "1"}, headers={"origin": "https://evil.example"})
            assert response.status_code in {403, 404, 405}, path
            asked += response.status_code == 403
        assert asked > 10


@pytest.mark.parametrize("where", ["cafeteria", "platform"])
def test_signing_in_changes_what_a_planted_cookie_could_know(world: World, where: str) -> None:
    """Session fixation: what was there before is not what holds afterwards."""
    host, email = (world.a.host, "customer@people.test") if where == "cafeteria" else ("localhost:8000", "luna@owners.test")
    browser = Client(headers={"host": host})
    browser.get("/sign-in")
    before = browser.cookies["comanda"].value if "comanda" in browser.cookies else ""
    assert browser.post("/sign-in", {"email": email, "password": PASSWORD}).status_code == 302
    cookie = browser.cookies["comanda"]
    assert cookie.value != before
    assert (cookie["httponly"], cookie["samesite"], cookie["domain"], cookie["path"]) == (True, "Lax", "", "/")
    planted = Client(headers={"host": host})
    planted.cookies["comanda"] = before
    assert planted.get("/account" if where == "cafeteria" else "/home").status_code == 302


def test_a_copied_cookie_ends_with_the_sign_out(world: World) -> None:
    browser = signed_in_browser(world.a, "customer")
    thief = Client(headers={"host": world.a.host})
    thief.cookies["comanda"] = browser.cookies["comanda"].value
    assert thief.get("/account").status_code == 200
    assert browser.post("/sign-out").status_code == 302
    assert thief.get("/account").status_code == 302


def test_the_same_answer_and_work_for_known_and_unknown_accounts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By counting hashes, not seconds: a clock would say nothing on a busy machine."""
    from core import passwords  # noqa: PLC0415

    hashed: list[int] = []
    verify = passwords._verify

    def counting(password: str, encoded: str) -> bool:
        hashed.append(1)
        return verify(password, encoded)

    monkeypatch.setattr(passwords, "_verify", counting)
    answers = [
        world.a.client().post("/api/v1/auth/login", {"username": name, "password": "wrong"}).content
        for name in ("customer@people.test", "nobody@people.test", "not an address")
    ]
    assert len(set(answers)) == 1
    assert hashed == [1, 1, 1]
    assert json.loads(answers[0])["code"] == "wrong_credentials"
