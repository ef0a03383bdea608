"""The password, then the code: in the browser and for API clients. What lies between the two is worth nothing."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import UserSession
from accounts.realm import platform_realm
from core.identity.actions import sign_out_everywhere
from core.identity.second_factor import HALF
from core.sessions import SIGN_IN, SessionStore
from core.tokens import PLATFORM
from core.vault import new_key
from tests.accounts.second_factor.phone import Phone, email_of, enrolled, platform, read_phone
from tests.world import PASSWORD, World

pytestmark = pytest.mark.django_db


@pytest.fixture
def phone(world: World) -> Phone:
    return enrolled(world.owner_a)[0]


def give_password(client: Client, user_id: int, *, onward: str = "") -> Any:
    address = f"/sign-in?next={onward}" if onward else "/sign-in"
    return client.post(address, {"email": email_of(user_id), "password": PASSWORD})


def session_of(client: Client) -> SessionStore:
    return SessionStore(client.cookies[settings.SESSION_COOKIE_NAME].value, audience=PLATFORM)


def login(user_id: int, **more: str) -> Any:
    return platform().post("/api/v1/auth/login", {"username": email_of(user_id), "password": PASSWORD, **more})


def test_the_password_leads_to_the_code_and_the_code_in(world: World, phone: Phone) -> None:
    client = platform()
    assert give_password(client, world.owner_a, onward="/home/open")["Location"] == "/sign-in/code?next=%2Fhome%2Fopen"
    asked = client.get("/sign-in/code?next=/home/open").content.decode()
    attributes = ('autocomplete="one-time-code"', 'inputmode="numeric"', 'name="next" value="/home/open"')
    assert [attribute for attribute in attributes if attribute not in asked] == []
    wrong = client.post("/sign-in/code", {"code": phone.wrong(), "next": "/home/open"})
    assert (wrong.status_code, 'id="id_code_error"' in wrong.content.decode()) == (422, True)
    assert client.post("/sign-in/code", {"code": phone.code(), "next": "/home/open"})["Location"] == "/home/open"
    assert client.get("/home").status_code == 200
    assert HALF not in session_of(client)


def test_without_the_vaults_key_a_recovery_code_still_signs_in(world: World, settings: Settings) -> None:
    phone, codes = enrolled(world.owner_a)
    settings.VAULT_KEYS = [new_key()]
    client = platform()
    give_password(client, world.owner_a)
    refused = client.post("/sign-in/code", {"code": phone.code()})
    assert (refused.status_code, "Usá un código de recuperación" in refused.content.decode()) == (422, True)
    locked = login(world.owner_a, code=phone.code())
    assert (locked.status_code, locked.json()["code"]) == (503, "second_factor_locked")
    assert client.post("/sign-in/code?recovery=1", {"code": codes[0]}).status_code == 302


def test_without_the_vaults_key_another_app_takes_over(world: World, settings: Settings) -> None:
    _, codes = enrolled(world.owner_a)
    settings.VAULT_KEYS = [new_key()]
    client = platform()
    give_password(client, world.owner_a)
    assert client.post("/sign-in/code?recovery=1", {"code": codes[0]}).status_code == 302
    assert "falta la clave que guarda su secreto" in client.get("/second-factor").content.decode()
    other = read_phone(client.get("/second-factor/set-up").content.decode(), world.owner_a)
    assert client.post("/second-factor/set-up", {"code": other.code()}).status_code == 200
    assert "falta la clave" not in client.get("/second-factor").content.decode()
    assert login(world.owner_a, code=other.fresh()).status_code == 200


def test_half_signed_in_is_worth_nothing_else(world: World, phone: Phone) -> None:
    client = platform()
    sessions = UserSession.objects.count()
    give_password(client, world.owner_a)
    assert SIGN_IN not in session_of(client)
    assert UserSession.objects.count() == sessions
    refused = [client.get(path)["Location"].partition("?")[0] for path in ("/home", "/second-factor", "/second-factor/set-up", "/password")]
    assert refused == ["/sign-in"] * 4


def test_the_code_counts_only_where_the_password_was_given(world: World, phone: Phone) -> None:
    give_password(platform(), world.owner_a)
    elsewhere = platform()
    assert elsewhere.get("/sign-in/code")["Location"] == "/sign-in"
    assert elsewhere.post("/sign-in/code?next=/home/open", {"code": phone.code()})["Location"] == "/sign-in?next=%2Fhome%2Fopen"


def test_half_signed_in_ends_after_five_minutes(world: World, phone: Phone) -> None:
    client = platform()
    give_password(client, world.owner_a)
    with time_machine.travel(timezone.now() + timedelta(minutes=4)):
        assert client.get("/sign-in/code").status_code == 200
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        assert client.get("/sign-in/code")["Location"] == "/sign-in"
        assert client.post("/sign-in/code", {"code": phone.code()})["Location"] == "/sign-in"


def test_half_signed_in_ends_when_the_sessions_are_ended(world: World, phone: Phone) -> None:
    client = platform()
    give_password(client, world.owner_a)
    sign_out_everywhere(platform_realm, account_id=world.owner_a)
    late = client.post("/sign-in/code", {"code": phone.code()})
    assert late.status_code == 422
    assert "Pasó demasiado tiempo" in late.content.decode()


def test_a_code_that_was_used_does_not_sign_in_again(world: World, phone: Phone) -> None:
    first, second = platform(), platform()
    for client in (first, second):
        give_password(client, world.owner_a)
    code = phone.code()
    assert first.post("/sign-in/code", {"code": code}).status_code == 302
    assert second.post("/sign-in/code", {"code": code}).status_code == 422


def test_a_recovery_code_signs_in_on_its_own_page(world: World) -> None:
    _, codes = enrolled(world.owner_a)
    client = platform()
    give_password(client, world.owner_a, onward="/home/open")
    asked = client.get("/sign-in/code?recovery&next=/home/open").content.decode()
    assert ('autocomplete="off"' in asked, 'inputmode="numeric"' in asked) == (True, False)
    wrong = client.post("/sign-in/code?recovery", {"code": "nope", "next": "/home/open"})
    assert (wrong.status_code, "Ese código de recuperación no es correcto" in wrong.content.decode()) == (422, True)
    assert client.post("/sign-in/code?recovery", {"code": codes[3], "next": "/home/open"})["Location"] == "/home/open"
    assert client.get("/home").status_code == 200


def test_guessing_codes_is_braked_and_no_right_password_forgives_it(world: World, phone: Phone) -> None:
    client, answers = platform(), []
    for _ in range(10):
        give_password(client, world.owner_a)
        answers.append(client.post("/sign-in/code", {"code": phone.wrong()}).status_code)
    assert answers == [422] * 10
    braked = client.post("/sign-in/code", {"code": phone.code()})
    assert (braked.status_code, int(braked["Retry-After"]) > 0) == (429, True)
    assert login(world.owner_a, code=phone.code()).status_code == 429


def test_the_right_code_forgives_wrong_ones(world: World, phone: Phone) -> None:
    client = platform()
    for _ in range(2):
        give_password(client, world.owner_a)
        answers = [client.post("/sign-in/code", {"code": phone.wrong()}).status_code for _ in range(9)]
        assert (answers, client.post("/sign-in/code", {"code": phone.fresh()}).status_code) == ([422] * 9, 302)
        client.post("/sign-out")


def test_wrong_passwords_are_forgiven_by_the_whole_sign_in_alone(world: World, phone: Phone) -> None:
    client, email = platform(), email_of(world.owner_a)
    for _ in range(9):
        client.post("/sign-in", {"email": email, "password": "wrong"})
    give_password(client, world.owner_a)
    assert client.post("/sign-in", {"email": email, "password": "wrong"}).status_code == 422
    assert client.post("/sign-in", {"email": email, "password": "wrong"}).status_code == 429


def test_clients_of_the_api_give_the_code_with_the_password(world: World, phone: Phone) -> None:
    missing, wrong = login(world.owner_a), login(world.owner_a, code=phone.wrong())
    assert [(answer.status_code, answer.json()["code"]) for answer in (missing, wrong)] == [
        (401, "second_factor_required"),
        (401, "wrong_code"),
    ]
    code = phone.code()
    pair = login(world.owner_a, code=code)
    assert pair.status_code == 200
    again = login(world.owner_a, code=code)
    assert (again.status_code, again.json()["code"]) == (401, "wrong_code")
    client = Client(headers={"host": "localhost:8000", "authorization": f"Bearer {pair.json()['access_token']}"})
    assert client.get("/api/v1/auth/me").json()["id"] == world.owner_a
    renewed = client.post("/api/v1/auth/refresh", {"refresh_token": pair.json()["refresh_token"]}, content_type="application/json")
    assert renewed.status_code == 200


def test_a_wrong_password_is_the_same_answer_with_a_code_and_without(world: World, phone: Phone) -> None:
    answers = {login(world.owner_a, password="wrong", **code).content for code in ({}, {"code": phone.code()})}
    assert len(answers) == 1
    assert login(world.owner_a, code=phone.code()).status_code == 200  # A code with a wrong password is not used up.


def test_without_a_second_factor_a_code_changes_nothing(world: World) -> None:
    assert login(world.owner_b, code="123456").status_code == 200
    customer = world.a.client().post("/api/v1/auth/login", {"username": "customer@people.test", "password": PASSWORD, "code": "123456"})
    assert customer.status_code == 200
