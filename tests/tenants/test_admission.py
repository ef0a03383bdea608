"""Who is refused while the process is busy: before the database is asked, with 429 and when to come back; never staff for guests."""

import json
import time
from functools import partial
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from pytest_django import DjangoAssertNumQueries, Settings

from core import tokens
from core.identity.callers import Claims
from core.sessions import SIGN_IN, SessionStore
from core.shares import MEMORY, Buckets, Shares
from tenants import routing
from tenants.admission import DEAREST, AdmissionMiddleware
from tests.world import Place, World


@pytest.fixture(autouse=True)
def fair_shares(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """On, and the process always with a queue before it, unless a test says otherwise. Time stands still: what was used does not fade."""
    settings.FAIR_SHARE_PERCENT = 50
    monkeypatch.setattr("tenants.admission.CROWD", -1.0)
    monkeypatch.setattr("core.shares.LOOK_EACH", 0.0)
    for kind in (Shares, Buckets):
        monkeypatch.setattr(f"tenants.admission.{kind.__name__}", partial(kind, clock=lambda: 0.0))


STRANGER, WIFI = "203.0.113.9", "198.51.100.7"


@pytest.fixture
def middleware(world: World) -> AdmissionMiddleware:
    """In a busy process: luna's guests have used three seconds of late, sol's a tenth of one."""
    for place in (world.a, world.b):
        routing.resolve(place.host.split(":", maxsplit=1)[0])
    made = AdmissionMiddleware(lambda request: HttpResponse("reached"))
    made.houses.charge((world.a.ref.id, False), 3.0)
    made.houses.charge((world.b.ref.id, False), 0.1)
    return made


def request_to(place: Place | None, path: str = "/", *, address: str = STRANGER, cookie: str = "", **headers: str) -> HttpRequest:
    host = place.host if place is not None else headers.pop("at", "localhost:8000")
    request = RequestFactory().get(path, headers={"host": host, **headers}, REMOTE_ADDR=address)
    if cookie:
        request.COOKIES["comanda"] = cookie
    request.csp_nonce = "of-this-request"  # type: ignore[attr-defined]
    return request


def cookie_of(place: Place, role: str) -> str:
    session = SessionStore(None, audience=place.ref.audience)
    session[SIGN_IN] = [place.sessions[role].hex, place.people[role], 1]
    return session._get_session_key()


def answer(middleware: AdmissionMiddleware, *args: Any, **more: Any) -> Any:
    return middleware(request_to(*args, **more))


def test_the_neighbours_of_a_hammered_cafeteria_are_served(world: World, middleware: AdmissionMiddleware) -> None:
    assert answer(middleware, world.a).status_code == 429
    assert answer(middleware, world.b).content == b"reached"
    assert answer(middleware, None).content == b"reached"


@pytest.mark.parametrize("role", ["cashier", "customer"])
def test_signed_in_people_are_not_shut_out_by_its_guests(world: World, middleware: AdmissionMiddleware, role: str) -> None:
    middleware.clients.charge("198.51.100.7", 3.0)  # the crowd in the room, on one Wi-Fi
    middleware.clients.charge(STRANGER, 0.1)
    assert answer(middleware, world.a, address=WIFI).status_code == 429
    assert answer(middleware, world.b, address=WIFI).status_code == 429
    assert answer(middleware, world.a, address=WIFI, cookie=cookie_of(world.a, role)).content == b"reached"
    assert answer(middleware, world.a, "/api/v1/orders", address=WIFI, authorization=f"Bearer {world.a.token(role)}").content == b"reached"


def test_forged_and_foreign_sign_ins_count_as_guests(world: World, middleware: AdmissionMiddleware) -> None:
    theirs = cookie_of(world.b, "cashier")
    for more in ({"cookie": theirs}, {"cookie": theirs[:-2]}, {"cookie": "x"}, {"authorization": f"Bearer {world.b.token('cashier')}"}):
        assert answer(middleware, world.a, **more).status_code == 429
    for header in ("Bearer x", "Basic YTpi", ""):
        assert answer(middleware, world.a, authorization=header).status_code == 429


def test_one_person_who_hammers_is_stopped_without_the_others(world: World, middleware: AdmissionMiddleware) -> None:
    middleware.clients.charge((world.a.ref.id, world.a.people["customer"]), 3.0)
    middleware.clients.charge(STRANGER, 0.1)
    assert answer(middleware, world.a, cookie=cookie_of(world.a, "customer")).status_code == 429
    assert answer(middleware, world.a, cookie=cookie_of(world.a, "customer2")).content == b"reached"


def test_one_client_who_hammers_is_stopped_before_the_cafeterias_other_guests(world: World) -> None:
    middleware = AdmissionMiddleware(lambda request: HttpResponse("reached"))
    routing.resolve(world.a.host.split(":", maxsplit=1)[0])
    for shares, key in ((middleware.houses, (world.a.ref.id, False)), (middleware.clients, STRANGER)):
        shares.charge(key, 0.45 * MEMORY)
    middleware.houses.charge((world.b.ref.id, False), 0.02 * MEMORY)
    middleware.clients.charge(WIFI, 0.02 * MEMORY)
    assert answer(middleware, world.a, address=STRANGER).status_code == 429
    assert answer(middleware, world.a, address=WIFI).content == b"reached"


def test_a_refusal_asks_no_database_and_says_when_to_come_back(
    world: World, middleware: AdmissionMiddleware, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        told, shown = answer(middleware, world.a, "/api/v1/products"), answer(middleware, world.a)
    assert (told.status_code, json.loads(told.content)["code"]) == (429, "too_many_requests")
    for refused in (told, shown):
        assert 1 <= int(refused["Retry-After"]) <= 6
    assert shown["Cache-Control"] == "no-store"


def test_the_page_wears_the_cafeterias_dress_and_nobodys_address(world: World, middleware: AdmissionMiddleware) -> None:
    first = answer(middleware, world.a, '/o/secret-of-one?a="><script>').text
    assert world.a.ref.name in first
    assert 'href="/o/secret-of-one?a=%22%3E%3Cscript%3E"' in first
    second = answer(middleware, world.a, "/cart").text
    assert 'href="/cart"' in second
    assert "secret-of-one" not in second
    assert 'nonce="of-this-request"' in second


def test_unknown_hosts_are_one_house(world: World, middleware: AdmissionMiddleware) -> None:
    """Each would cost a query: a flood of made-up names is one hammer."""
    middleware.houses.charge(("unknown", False), 3.0)
    assert answer(middleware, None, at="made-up-1.localhost").status_code == 429
    assert "Comanda" in answer(middleware, None, at="evil.example").text
    assert answer(middleware, world.b).content == b"reached"


def test_a_cafeterias_first_request_in_a_process_is_its_own(world: World) -> None:
    routing.forget_all()

    def found(request: HttpRequest) -> HttpResponse:
        routing.resolve(world.a.host.split(":", maxsplit=1)[0])
        return HttpResponse("reached")

    middleware = AdmissionMiddleware(found)
    for _ in range(20):
        assert middleware(request_to(world.a)).status_code == 200
    assert list(middleware.houses._used) == [(world.a.ref.id, False)]
    middleware.houses.charge((world.a.ref.id, False), 3.0)
    assert middleware(request_to(world.a)).status_code == 200


def test_probes_files_and_webhooks_pass(world: World, middleware: AdmissionMiddleware) -> None:
    middleware.clients.charge(STRANGER, 9.0)
    middleware.clients.charge(WIFI, 0.1)
    for path in ("/health", "/health/live", "/metrics", "/static/core/comanda.css", "/api/v1/payments/webhook", "/webhooks/mp/x"):
        assert answer(middleware, world.a, path).content == b"reached"


def test_whoever_is_signed_in_at_the_platform_is_never_shut_out(world: World, middleware: AdmissionMiddleware) -> None:
    middleware.houses.charge(("platform", True), 9.0)
    middleware.clients.charge(("platform", world.admin), 9.0)
    middleware.clients.charge(STRANGER, 0.1)
    token = tokens.issue_access(
        tokens.PLATFORM, Claims(account_id=world.admin, session_id=world.user_sessions[world.admin], token_version=1)
    )
    assert answer(middleware, None, "/api/v1/ops/status", authorization=f"Bearer {token}").content == b"reached"
    middleware.houses.charge(("webhooks", False), 9.0)
    assert answer(middleware, world.a, "/webhooks/mp/x").content == b"reached"


def test_an_address_has_an_absolute_limit_but_not_this_machine(world: World, settings: Settings) -> None:
    settings.REQUESTS_PER_ADDRESS = 5
    middleware = AdmissionMiddleware(lambda request: HttpResponse("reached"))
    routing.resolve(world.a.host.split(":", maxsplit=1)[0])
    assert [answer(middleware, world.a).status_code for _ in range(11)] == [200] * 10 + [429]
    assert answer(middleware, world.a, address=WIFI).status_code == 200
    assert answer(middleware, world.a, cookie=cookie_of(world.a, "cashier")).status_code == 200
    assert {answer(middleware, world.a, address=here).status_code for here in ("127.0.0.1", "::1", "") for _ in range(20)} == {200}


def test_ipv6_neighbours_are_one_client(world: World, settings: Settings) -> None:
    settings.REQUESTS_PER_ADDRESS = 1
    middleware = AdmissionMiddleware(lambda request: HttpResponse("reached"))
    statuses = [answer(middleware, world.a, address=f"2001:db8:1:2::{n:x}").status_code for n in range(3)]
    assert statuses == [200, 200, 429]


def test_what_a_request_costs_is_bounded_and_its_own(world: World) -> None:
    def slow(request: HttpRequest) -> HttpResponse:
        time.sleep(0.01)
        return HttpResponse("reached")

    middleware = AdmissionMiddleware(slow)
    answer(middleware, world.a)
    [(cost, _)] = middleware.houses._used.values()
    assert 0.01 <= cost <= DEAREST
    assert middleware.under_way == {}


def test_the_last_thread_is_not_for_whoever_holds_all_others(world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.WEB_THREADS = 3
    monkeypatch.setattr("tenants.admission.SLOW", slow := 3_600.0)
    middleware = AdmissionMiddleware(lambda request: HttpResponse("reached"))
    routing.resolve(world.a.host.split(":", maxsplit=1)[0])
    house, began = (world.a.ref.id, False), time.monotonic()
    middleware.under_way = {1: (house, began - 2 * slow), 2: (house, began)}
    assert answer(middleware, world.a).status_code == 200  # quick ones come and go
    middleware.under_way = {1: (house, began - 2 * slow), 2: (house, began - 2 * slow)}
    assert answer(middleware, world.a).status_code == 429
    assert answer(middleware, world.b).status_code == 200
    assert answer(middleware, world.a, cookie=cookie_of(world.a, "cashier")).status_code == 200


def test_a_fault_is_charged_too_and_ends(world: World) -> None:
    def fails(request: HttpRequest) -> HttpResponse:
        raise ZeroDivisionError

    middleware = AdmissionMiddleware(fails)
    with pytest.raises(ZeroDivisionError):
        answer(middleware, world.a)
    assert middleware.under_way == {}
    assert len(middleware.houses._used) == 1


def test_the_whole_stack_refuses_in_the_contracts_shape(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AdmissionMiddleware, "why_not", lambda self, visit: "cafeteria")
    client = Client(headers={"host": world.a.host, "origin": "http://localhost:3000"})
    told = client.get("/api/v1/products")
    assert (told.status_code, set(told.json())) == (429, {"detail", "code"})
    assert told["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert "retry-after" in told["Access-Control-Expose-Headers"]
    shown = client.get("/cart", headers={"accept-language": "es"})
    assert shown.status_code == 429
    assert "Un momento" in shown.text
    assert "frame-ancestors 'none'" in shown["Content-Security-Policy"]
    assert client.post("/cart", {"x": "1"}).status_code == 429


def test_a_lone_client_never_waits_however_busy_it_keeps_the_process(
    world: World, middleware: AdmissionMiddleware, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks again only when it was answered: nobody can be waiting behind it for long."""
    monkeypatch.setattr("tenants.admission.CROWD", 0.3)
    monkeypatch.setattr("tenants.admission.PAUSE", -1.0)  # each comes after a pause
    assert {answer(middleware, world.a).status_code for _ in range(50)} == {200}
    monkeypatch.setattr("tenants.admission.PAUSE", 60.0)  # each had been waiting
    assert {answer(middleware, world.a).status_code for _ in range(20)} >= {429}


def test_fair_shares_can_be_turned_off(world: World, middleware: AdmissionMiddleware, settings: Settings) -> None:
    settings.FAIR_SHARE_PERCENT = 0
    assert answer(middleware, world.a).status_code == 200
