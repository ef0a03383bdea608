"""What is signed for one host is worthless on every other one, though ids, addresses and passwords are the same on both sides."""

import re
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.core import signing
from django.test import Client
from django.utils import timezone

from core import tokens
from core.identity.callers import Claims
from shop.people.models import PersonSession
from tenants import routing
from tenants.models import Cafeteria
from tenants.scope import tenant_scope
from tests.world import PASSWORD, Place, World

COOKIE = settings.SESSION_COOKIE_NAME


def me(client: Client, token: str) -> int:
    return client.get("/api/v1/auth/me", headers={"authorization": f"Bearer {token}"}).status_code


def login(client: Client, email: str) -> Any:
    return client.post("/api/v1/auth/login", {"username": email, "password": PASSWORD}).json()


def same_session_on_both_sides(world: World) -> None:
    """Even the random ids of the sign-ins."""
    for role, session_id in world.a.sessions.items():
        with tenant_scope(world.b.ref):
            PersonSession.objects.create(id=session_id, person_id=world.b.people[role], expires_at=timezone.now() + timedelta(days=1))


def csrf_of(page: Any) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.content.decode())
    assert found
    return found[1]


def browser(host: str) -> Client:
    return Client(headers={"host": host}, enforce_csrf_checks=True)


def signed_in_browser(place: Place, role: str = "manager") -> Client:
    client = browser(place.host)
    token = csrf_of(client.get("/sign-in"))
    form = {"email": f"{role}@people.test", "password": PASSWORD, "csrfmiddlewaretoken": token}
    assert client.post("/sign-in", form).status_code == 302
    return client


def test_access_and_refresh_tokens_hold_on_their_own_host_only(world: World) -> None:
    same_session_on_both_sides(world)
    pair = login(world.a.client(), "manager@people.test")
    hosts = [world.a.client(), world.b.client(), world.platform_client()]
    assert [me(host, world.a.token("manager")) for host in hosts] == [200, 401, 401]
    assert [me(host, pair["access_token"]) for host in hosts] == [200, 401, 401]
    refreshed = [
        host.post("/api/v1/auth/refresh", {"refresh_token": pair["refresh_token"]}, content_type="application/json").status_code
        for host in reversed(hosts)
    ]
    assert refreshed == [401, 401, 200]


def test_the_platforms_tokens_are_worthless_at_a_cafeteria(world: World) -> None:
    token = world.platform_token(world.owner_a)
    assert [me(host, token) for host in (world.platform_client(), world.a.client(), world.b.client())] == [200, 401, 401]


def test_a_session_cookie_of_one_cafeteria_signs_nobody_in_elsewhere(world: World) -> None:
    same_session_on_both_sides(world)
    cookie = signed_in_browser(world.a).cookies[COOKIE].value
    for host, path, expected in (
        (world.a.host, "/account", 200),
        (world.b.host, "/account", 302),
        ("localhost:8000", "/home", 302),
    ):
        client = browser(host)
        client.cookies[COOKIE] = cookie
        assert client.get(path).status_code == expected


def test_a_csrf_secret_of_one_cafeteria_is_refused_elsewhere(world: World) -> None:
    theirs = browser(world.a.host)
    token = csrf_of(theirs.get("/sign-in"))
    form = {"email": "manager@people.test", "password": PASSWORD, "csrfmiddlewaretoken": token}
    for host in (world.b.host, "localhost:8000"):
        client = browser(host)
        client.cookies[COOKIE] = theirs.cookies[COOKIE].value
        assert client.post("/sign-in", form).status_code == 403
    assert theirs.post("/sign-in", form).status_code == 302


def test_cookies_stay_on_their_host_and_out_of_scripts(world: World) -> None:
    morsel = signed_in_browser(world.a).cookies[COOKIE]
    assert (morsel["domain"], morsel["path"], morsel["httponly"], morsel["samesite"]) == ("", "/", True, "Lax")


def test_a_restore_voids_tokens_and_cookies(world: World) -> None:
    client, token = signed_in_browser(world.a), world.a.token("manager")
    assert (client.get("/account").status_code, me(world.a.client(), token)) == (200, 200)
    row = Cafeteria.objects.get(pk=world.a.ref.id)
    Cafeteria.objects.filter(pk=row.pk).update(generation=row.generation + 1, revision=row.revision + 1)
    try:
        # The routing cache still says the old generation: the scope notices.
        assert (client.get("/account").status_code, me(world.a.client(), token)) == (302, 401)
        assert client.get("/sign-in").status_code == 200
    finally:
        routing.forget_all()


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "platform"},
        {"iss": "other"},
        {"typ": "refresh"},
        {"exp": 1},
        {"sub": "0"},
        {"sub": "x"},
        {"sid": "x"},
        {"tv": "x"},
        {"tv": 9},
    ],
    ids=str,
)
def test_a_token_must_say_everything_right(world: World, change: dict[str, Any]) -> None:
    key = tokens._keys()[0]
    payload = jwt.decode(world.a.token("manager"), key, algorithms=["HS256"], audience=world.a.ref.audience)
    assert me(world.a.client(), jwt.encode(payload, key, algorithm="HS256")) == 200
    assert me(world.a.client(), jwt.encode({**payload, **change}, key, algorithm="HS256")) == 401
    missing = {name: value for name, value in payload.items() if name not in change}
    assert me(world.a.client(), jwt.encode(missing, key, algorithm="HS256")) == 401


def test_only_our_own_key_and_algorithm_count(world: World) -> None:
    key = tokens._keys()[0]
    payload = jwt.decode(world.a.token("manager"), key, algorithms=["HS256"], audience=world.a.ref.audience)
    for forged in (
        jwt.encode(payload, "x" * 64, algorithm="HS256"),
        jwt.encode(payload, settings.SECRET_KEY, algorithm="HS256"),
        jwt.encode(payload, settings.SECRET_KEY * 2, algorithm="HS512"),
        jwt.encode(payload, None, algorithm="none"),  # type: ignore[arg-type]
    ):
        assert me(world.a.client(), forged) == 401


def test_a_token_signed_before_the_key_was_changed_still_holds(world: World, settings: Any) -> None:
    token = world.a.token("manager")
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another-secret-key-" + "y" * 40
    assert me(world.a.client(), token) == 200
    settings.SECRET_KEY_FALLBACKS = []
    assert me(world.a.client(), token) == 401


def test_a_cookie_that_was_signed_for_something_else_is_an_empty_session(world: World) -> None:
    claims = [world.a.sessions["manager"].hex, world.a.people["manager"], 1]
    for value in (signing.dumps({"sign_in": claims}), signing.dumps([1], salt=f"comanda.session:{world.a.ref.audience}"), "x", "é", ":::"):
        client = browser(world.a.host)
        client.cookies[COOKIE] = value
        assert client.get("/account").status_code == 302


def test_another_persons_session_id_does_not_make_one_that_person(world: World) -> None:
    claims = Claims(account_id=world.a.people["owner"], session_id=world.a.sessions["customer"], token_version=1)
    assert me(world.a.client(), tokens.issue_access(world.a.ref.audience, claims)) == 401
