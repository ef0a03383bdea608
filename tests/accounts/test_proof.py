"""The password once more before a restore, an undo and a close in the console."""

from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.conf import settings
from django.test import Client

from core.sessions import PROVED_AT, SessionStore
from core.tokens import PLATFORM
from tenants.models import Cafeteria
from tests.accounts.test_pages import signed_in
from tests.world import PASSWORD, World

LIFE = 15 * 60


def store_of(client: Client) -> SessionStore:
    return SessionStore(client.cookies[settings.SESSION_COOKIE_NAME].value, audience=PLATFORM)


def age(client: Client, seconds: int) -> None:
    """As if the password had been given that much earlier."""
    store = store_of(client)
    store[PROVED_AT] -= seconds
    store.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = store.session_key or ""


def confirm_address(back: str) -> str:
    return f"/password/confirm?{urlencode({'next': back})}"


@pytest.fixture
def admin(world: World) -> Client:
    client = signed_in(world, world.admin)
    age(client, LIFE)
    return client


def test_signing_in_counts_for_a_quarter_of_an_hour(world: World) -> None:
    client, close = signed_in(world, world.admin), f"/console/cafeterias/{world.a.ref.id}/close"
    age(client, LIFE - 60)
    assert client.get(close).status_code == 200
    age(client, 60)
    assert client.get(close)["Location"] == confirm_address(close)


def test_a_close_waits_for_the_password_and_is_not_done_by_coming_back(world: World, admin: Client) -> None:
    close = f"/console/cafeterias/{world.a.ref.id}/close"
    asked = admin.post(close, {"typed": world.a.ref.slug})
    assert asked["Location"] == confirm_address(close)
    assert "Tu contraseña, una vez más" in admin.get(asked["Location"]).content.decode()
    wrong = admin.post(asked["Location"], {"current": "wrong"})
    assert (wrong.status_code, admin.get(close).status_code) == (422, 302)
    assert admin.post(asked["Location"], {"current": PASSWORD, "next": close})["Location"] == close
    assert admin.get(close).status_code == 200
    assert Cafeteria.objects.get(pk=world.a.ref.id).status == "open"
    admin.post(close, {"typed": world.a.ref.slug})
    assert Cafeteria.objects.get(pk=world.a.ref.id).status == "closed"


def test_restores_and_undos_wait_too_and_keep_what_they_are_about(world: World, admin: Client) -> None:
    backup = str(uuid4())
    restore, undo = f"/console/cafeterias/{world.a.ref.id}/restore", f"/console/restores/{backup}/undo"
    assert admin.post(restore, {"backup": backup, "typed": "x"})["Location"] == confirm_address(f"{restore}?backup={backup}")
    assert admin.get(f"{restore}?backup={backup}")["Location"] == confirm_address(f"{restore}?backup={backup}")
    assert admin.post(undo, {"typed": "x"})["Location"] == confirm_address(undo)


def test_guessing_there_is_braked_as_at_the_door(world: World, admin: Client) -> None:
    answers = [admin.post("/password/confirm", {"current": f"wrong {number}"}).status_code for number in range(11)]
    assert answers == [422] * 10 + [429]
    assert admin.post("/password/confirm", {"current": PASSWORD}).status_code == 429


def test_it_goes_on_only_within_this_host(world: World, admin: Client) -> None:
    answer = admin.post("/password/confirm", {"current": PASSWORD, "next": "//evil.example/x"})
    assert answer["Location"] == "/home"


def test_nobody_is_asked_who_is_not_an_admin_or_not_signed_in(world: World) -> None:
    close = f"/console/cafeterias/{world.a.ref.id}/close"
    owner = signed_in(world, world.owner_a)
    age(owner, LIFE)
    assert owner.get(close).status_code == 403
    assert Client(headers={"host": "localhost:8000"}).get("/password/confirm")["Location"].startswith("/sign-in")
