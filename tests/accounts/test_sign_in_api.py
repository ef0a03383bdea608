"""The /auth rows of the contract, on both kinds of host."""

import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User, UserSession
from core import passwords
from tests.world import PASSWORD, World

NEW = {"email": "nueva@example.test", "password": "seven green kettles", "full_name": "Nueva Persona"}


@pytest.fixture(params=["platform", "cafeteria"])
def host(request: pytest.FixtureRequest, world: World) -> Client:
    return world.platform_client() if request.param == "platform" else world.a.client()


def post(client: Client, path: str, body: Any, **headers: str) -> Any:
    return client.post(f"/api/v1{path}", body, content_type="application/json", headers=headers)


def login(client: Client, username: str, password: str) -> Any:
    return client.post("/api/v1/auth/login", {"username": username, "password": password})


def me(client: Client, token: str) -> Any:
    return client.get("/api/v1/auth/me", headers={"authorization": f"Bearer {token}"})


def test_from_registration_to_me(host: Client) -> None:
    registered = post(host, "/auth/register", {**NEW, "email": "  NUEVA@Example.test "})
    signed_in = login(host, "Nueva@example.TEST", NEW["password"])
    tokens = signed_in.json()
    assert registered.status_code == 201
    assert {key: value for key, value in registered.json().items() if key != "id"} == {
        "email": NEW["email"],
        "full_name": NEW["full_name"],
        "role": "customer" if host.defaults["HTTP_HOST"] != "localhost:8000" else "owner",
    }
    assert signed_in.status_code == 200
    assert {**tokens, "access_token": "", "refresh_token": ""} == {
        "access_token": "",
        "refresh_token": "",
        "token_type": "bearer",
        "expires_in": 1800,
    }
    assert me(host, tokens["access_token"]).json() == registered.json()


def test_a_taken_address_is_409_however_it_is_written(host: Client) -> None:
    post(host, "/auth/register", NEW)
    again = post(host, "/auth/register", {**NEW, "email": NEW["email"].upper()})
    assert (again.status_code, again.json()["code"]) == (409, "email_taken")


@pytest.mark.parametrize(
    "change",
    [
        {"role": "admin"},
        {"role": "manager"},
        {"role": None},
        {"role": ["owner"]},
        {"email": "no-address"},
        {"email": "a\x00b@example.test"},
        {"email": "a@b"},
        {"email": "x" * 250 + "@example.test"},
        {"email": "a\ud800@example.test"},
        {"email": 7},
        {"password": "short"},
        {"password": "password123"},
        {"password": "x" * 129},
        {"password": "nueva@example.test"},
        {"password": "Nueva Persona"},
        {"full_name": ""},
        {"full_name": "   "},
        {"full_name": "Ana\x00"},
        {"full_name": "x" * 121},
    ],
    ids=str,
)
def test_what_cannot_be_an_account_is_422(host: Client, change: dict[str, Any]) -> None:
    response = post(host, "/auth/register", json.dumps({**NEW, **change}))
    assert response.status_code == 422
    assert isinstance(response.json()["detail"], list)


def test_an_owner_cannot_register_at_a_cafeteria_nor_a_customer_on_the_platform(world: World) -> None:
    assert post(world.a.client(), "/auth/register", {**NEW, "role": "owner"}).status_code == 422
    assert post(world.platform_client(), "/auth/register", {**NEW, "role": "customer"}).status_code == 422


@pytest.mark.parametrize("body", ["{", "[]", "null", '"x"', "{}", "\xff", "NaN"])
def test_a_malformed_body_is_a_client_error(host: Client, body: str) -> None:
    for path in ("/auth/register", "/auth/refresh", "/auth/logout"):
        assert 400 <= post(host, path, body).status_code < 500


def test_unknown_wrong_and_inactive_get_one_answer(host: Client, world: World) -> None:
    post(host, "/auth/register", NEW)
    User.objects.filter(pk=world.owner_b).update(is_active=False)
    inactive = login(world.platform_client(), User.objects.get(pk=world.owner_b).email, PASSWORD)
    answers = [login(host, "nobody@example.test", "x"), login(host, NEW["email"], "wrong"), login(host, "not an address", "x"), inactive]
    assert {(answer.status_code, answer.content) for answer in answers} == {(401, answers[0].content)}
    assert answers[0].json()["code"] == "wrong_credentials"
    assert answers[0]["WWW-Authenticate"] == "Bearer"


def test_each_failed_sign_in_costs_exactly_one_hash(host: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    post(host, "/auth/register", NEW)
    passwords.matches("warm", None)  # the stand-in is made once a process
    computed: list[str] = []
    original = passwords.Argon2PasswordHasher.verify

    def counted(self: Any, password: str, encoded: str) -> bool:
        computed.append(encoded)
        return original(self, password, encoded)

    monkeypatch.setattr(passwords.Argon2PasswordHasher, "verify", counted)
    monkeypatch.setattr(passwords.Argon2PasswordHasher, "encode", lambda *_: pytest.fail("no hash is made to sign in"))
    for username, password in (("nobody@example.test", "x"), (NEW["email"], "wrong"), ("not an address", "x"), (NEW["email"], "y" * 900)):
        computed.clear()
        login(host, username, password)
        assert len(computed) == 1


def test_without_a_token_me_is_401(host: Client) -> None:
    assert host.get("/api/v1/auth/me").status_code == 401
    for header in ("Bearer", "Bearer x", "Basic YTpi", "Bearer " + "x" * 5000, "Bearer é", "bearer a.b.c"):
        assert host.get("/api/v1/auth/me", headers={"authorization": header}).status_code == 401


def test_a_refresh_token_works_once_and_its_reuse_ends_the_session(host: Client) -> None:
    post(host, "/auth/register", NEW)
    first = login(host, NEW["email"], NEW["password"]).json()
    second = post(host, "/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert second.status_code == 200
    assert me(host, second.json()["access_token"]).status_code == 200
    theft = post(host, "/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert (theft.status_code, theft.json()["code"]) == (401, "invalid_token")
    assert post(host, "/auth/refresh", {"refresh_token": second.json()["refresh_token"]}).status_code == 401
    assert me(host, second.json()["access_token"]).status_code == 401


def test_an_access_token_is_no_refresh_token_nor_the_other_way_round(host: Client) -> None:
    post(host, "/auth/register", NEW)
    tokens = login(host, NEW["email"], NEW["password"]).json()
    assert post(host, "/auth/refresh", {"refresh_token": tokens["access_token"]}).status_code == 401
    assert me(host, tokens["refresh_token"]).status_code == 401


def test_logout_ends_the_session_of_the_token_and_no_other(host: Client) -> None:
    post(host, "/auth/register", NEW)
    one, other, third = (login(host, NEW["email"], NEW["password"]).json() for _ in range(3))
    assert post(host, "/auth/logout", {"refresh_token": one["refresh_token"]}).status_code == 204
    assert host.post("/api/v1/auth/logout", headers={"authorization": f"Bearer {other['access_token']}"}).status_code == 204
    assert [me(host, tokens["access_token"]).status_code for tokens in (one, other, third)] == [401, 401, 200]
    assert post(host, "/auth/refresh", {"refresh_token": one["refresh_token"]}).status_code == 401
    assert host.post("/api/v1/auth/logout").status_code == 401


def test_an_ended_or_expired_session_holds_for_nobody(world: World) -> None:
    client = world.platform_client(world.owner_a)
    assert client.get("/api/v1/auth/me").status_code == 200
    UserSession.objects.filter(user_id=world.owner_a).update(expires_at=timezone.now())
    assert client.get("/api/v1/auth/me").status_code == 401


def test_a_bump_of_the_token_version_ends_every_token(world: World) -> None:
    client = world.platform_client(world.owner_a)
    User.objects.filter(pk=world.owner_a).update(token_version=2)
    assert client.get("/api/v1/auth/me").status_code == 401
