"""A cafeteria's pages for people with an account there, without JavaScript."""

import re

import pytest
from django.conf import settings
from django.test import Client

from core import sessions
from shop.people.models import Person
from tenants.actions import suspend_cafeteria
from tenants.scope import tenant_scope
from tests.world import PASSWORD, Place, World

NEW = {"full_name": "Nueva Clienta", "email": "nueva@example.test", "password": "seven green kettles", "phone": "+54 11 5555 0000"}


def browser(place: Place) -> Client:
    return Client(headers={"host": place.host})


def signed_in(place: Place, role: str) -> Client:
    client = browser(place)
    assert client.post("/sign-in", {"email": f"{role}@people.test", "password": PASSWORD}).status_code == 302
    return client


def test_a_customer_signs_up_and_is_in(world: World) -> None:
    client = browser(world.a)
    assert client.post("/sign-up", {**NEW, "next": "/account"})["Location"] == "/account"
    page = client.get("/account").content.decode()
    assert NEW["full_name"] in page
    assert NEW["phone"] in page
    with tenant_scope(world.a.ref):
        assert Person.objects.get(email=NEW["email"]).role == "customer"
    with tenant_scope(world.b.ref):
        assert not Person.objects.filter(email=NEW["email"]).exists()


def test_a_forged_role_changes_nothing(world: World) -> None:
    browser(world.a).post("/sign-up", {**NEW, "role": "owner", "platform_user_id": "1"})
    with tenant_scope(world.a.ref):
        person = Person.objects.get(email=NEW["email"])
    assert (person.role, person.platform_user_id) == ("customer", None)


def test_details_are_changed_and_wrong_ones_said(world: World) -> None:
    client = signed_in(world.a, "customer")
    wrong = client.post("/account", {"full_name": "", "phone": "123"})
    assert wrong.status_code == 422
    assert 'id="id_full_name_error"' in wrong.content.decode()
    assert client.post("/account", {"full_name": "Ana", "phone": "123"}).status_code == 302
    assert 'value="Ana"' in client.get("/account").content.decode()


def test_the_account_and_its_orders_lead_to_each_other(world: World) -> None:
    client = signed_in(world.a, "customer")
    assert '<a href="/account/orders">Mis pedidos</a>' in client.get("/account").content.decode()
    orders = client.get("/account/orders").content.decode()
    assert re.search(r'href="/account">.{0,900}?Mi cuenta', orders, re.DOTALL)


def test_a_sign_in_keeps_the_cart_and_changes_the_csrf_secret(world: World) -> None:
    client = browser(world.a)
    client.get("/sign-in")
    store = sessions.SessionStore(client.cookies[settings.SESSION_COOKIE_NAME].value, audience=world.a.ref.audience)
    before = store["_csrftoken"]
    store["cart"] = [[1, 2]]
    store.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = store.session_key or ""
    client.post("/sign-in", {"email": "customer@people.test", "password": PASSWORD})
    after = sessions.SessionStore(client.cookies[settings.SESSION_COOKIE_NAME].value, audience=world.a.ref.audience)
    assert after["cart"] == [[1, 2]]
    assert after["_csrftoken"] != before


def test_signing_out_empties_the_session(world: World) -> None:
    client = signed_in(world.a, "customer")
    client.post("/sign-out")
    store = sessions.SessionStore(client.cookies[settings.SESSION_COOKIE_NAME].value, audience=world.a.ref.audience)
    assert set(store.keys()) <= {"_csrftoken"}


@pytest.mark.parametrize("path", ["/sign-in", "/sign-up", "/account", "/enter"])
def test_a_suspended_cafeteria_lets_nobody_in(world: World, path: str) -> None:
    suspend_cafeteria(cafeteria_id=world.a.ref.id)
    assert browser(world.a).get(path).status_code == 503


def test_pages_of_somebody_signed_in_are_not_kept(world: World) -> None:
    client = signed_in(world.a, "customer")
    assert client.get("/account")["Cache-Control"] == "private, no-store"
    assert "Cookie" in client.get("/account")["Vary"]
    assert browser(world.a).get("/sign-in")["Cache-Control"] == "private, no-cache"


def test_nul_in_a_field_is_refused(world: World) -> None:
    client = browser(world.a)
    assert client.post("/sign-up", {**NEW, "full_name": "a\x00b"}).status_code == 422
    assert client.post("/sign-in", {"email": "a\x00b@example.test", "password": "x\x00y"}).status_code == 422


def test_english_is_complete(world: World) -> None:
    client = browser(world.a)
    client.cookies["lang"] = "en"
    page = client.post("/sign-up", {**NEW, "password": "short"}).content.decode()
    assert "This password is too short." in page
    assert "Create an account" in page
