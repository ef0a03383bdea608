"""Support access: consented, ending, audited, in one cafeteria, and never more than a manager may."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db.models import F
from django.test import Client
from django.utils import timezone

from accounts.models import SupportAccess, SupportRequest, User
from core.audit.models import AuditEntry
from core.errors import NotAllowed
from core.identity.callers import Caller
from shop.people.actions import activate, create_staff, deactivate, set_role
from shop.people.models import Person, PersonSession
from tenants.models import Cafeteria
from tenants.queries import ref_by_id
from tenants.scope import tenant_scope
from tests.accounts.test_pages import enter_until_the_code, follow, jars, signed_in
from tests.shop.pages import visitor
from tests.world import FIRST_PERSON, World

PRODUCT = {"name": "Té", "category": "Bebidas", "price": "900.00"}


def allow(world: World, life: str = "hour", owner: int | None = None, where: int | None = None) -> int:
    path = f"/home/{where or world.a.ref.id}/support"
    return signed_in(world, owner or world.owner_a).post(path, {"life": life}).status_code


def end(world: World) -> None:
    assert signed_in(world, world.owner_a).post(f"/home/{world.a.ref.id}/support/end").status_code == 302


def take_token(world: World, where: int | None = None) -> Any:
    return world.platform_client(world.admin).post(f"/api/v1/businesses/{where or world.a.ref.id}/token")


def bearer(world: World) -> dict[str, str]:
    return {"authorization": f"Bearer {take_token(world).json()['access_token']}"}


def come_in(world: World, user_id: int | None = None) -> Client:
    platform = signed_in(world, user_id or world.admin)
    clients = jars(world, platform)
    arrived, _ = follow(clients, platform.post(f"/home/{world.a.ref.id}/enter")["Location"])
    assert arrived.status_code == 200
    return clients[world.a.host]


@pytest.mark.parametrize(("life", "hours"), [("hour", 1), ("day", 24), ("week", 168)])
def test_the_owner_chooses_for_how_long(world: World, life: str, hours: int) -> None:
    assert allow(world, life) == 302
    access = SupportAccess.objects.get(cafeteria_id=world.a.ref.id)
    assert access.expires_at - access.granted_at == timedelta(hours=hours)
    page = signed_in(world, world.owner_a).get("/home").content.decode()
    assert f"/home/{world.a.ref.id}/support/end" in page


def test_another_time_takes_the_place_of_the_first_and_a_forged_one_is_none(world: World) -> None:
    allow(world, "week")
    allow(world, "hour")
    assert SupportAccess.objects.filter(cafeteria_id=world.a.ref.id).count() == 2
    assert SupportAccess.objects.get(cafeteria_id=world.a.ref.id, ended_at=None).expires_at < timezone.now() + timedelta(hours=2)
    end(world)
    allow(world, "year")
    assert not SupportAccess.objects.filter(ended_at=None).exists()


def test_only_its_owner_consents(world: World) -> None:
    assert [allow(world, owner=world.owner_b), allow(world, owner=world.admin)] == [404, 403]
    assert not SupportAccess.objects.exists()


def test_a_token_is_for_that_cafeteria_only_and_acts_as_the_admin(world: World) -> None:
    allow(world)
    header = bearer(world)
    answers = [client.get("/api/v1/auth/me", headers=header) for client in (world.a.client(), world.b.client(), world.platform_client())]
    assert [answer.status_code for answer in answers] == [200, 401, 401]
    assert answers[0].json()["role"] == "manager"
    assert take_token(world, world.b.ref.id).json()["code"] == "support_access_required"
    assert world.a.client().post("/api/v1/products", PRODUCT, content_type="application/json", headers=header).status_code == 201
    entry = AuditEntry.objects.get(action="support.acted")
    email = User.objects.get(pk=world.admin).email
    assert (entry.actor_kind, entry.actor_id, entry.actor_label) == ("user", world.admin, email)
    assert (entry.cafeteria_uuid, entry.target, entry.data) == (
        world.a.ref.uuid,
        "/api/v1/products",
        {"method": "POST", "support": True},
    )


def test_the_token_ends_with_the_consent_at_the_latest(world: World) -> None:
    allow(world)
    SupportAccess.objects.update(expires_at=timezone.now() + timedelta(minutes=5))
    issued = take_token(world).json()
    assert 0 < issued["expires_in"] <= 300
    with tenant_scope(world.a.ref):
        session = PersonSession.objects.get(person__platform_user_id=world.admin)
    assert session.expires_at <= timezone.now() + timedelta(minutes=5)


@pytest.mark.parametrize("how", ["ended", "expired", "no admin", "inactive", "another owner", "generation"])
def test_what_ends_it_ends_tokens_and_cookies_at_once(world: World, how: str) -> None:
    allow(world)
    header, browser = bearer(world), come_in(world)
    assert [world.a.client().get("/api/v1/auth/me", headers=header).status_code, browser.get("/staff/").status_code] == [200, 200]
    if how == "ended":
        end(world)
    elif how == "expired":
        SupportAccess.objects.update(expires_at=timezone.now())
    elif how == "no admin":
        User.objects.filter(pk=world.admin).update(role="owner")
    elif how == "inactive":
        User.objects.filter(pk=world.admin).update(is_active=False)
    elif how == "another owner":
        Cafeteria.objects.filter(pk=world.a.ref.id).update(owner_id=world.owner_b)
    else:
        Cafeteria.objects.filter(pk=world.a.ref.id).update(generation=F("generation") + 1)
    assert world.a.client().get("/api/v1/auth/me", headers=header).status_code == 401
    assert browser.get("/staff/").status_code == 302


def test_a_code_is_worthless_once_the_consent_has_ended(world: World) -> None:
    allow(world)
    clients = jars(world, signed_in(world, world.admin))
    address = enter_until_the_code(world, clients)
    end(world)
    assert clients[world.a.host].get(address).status_code == 410


def test_a_changed_role_does_not_free_it_of_the_consent(world: World) -> None:
    allow(world)
    header = bearer(world)
    with tenant_scope(world.a.ref):
        Person.objects.filter(platform_user_id=world.admin).update(role="kitchen")
    end(world)
    assert world.a.client().get("/api/v1/auth/me", headers=header).status_code == 401


def test_the_pages_say_that_it_is_here_and_it_cannot_do_what_is_the_owners(world: World) -> None:
    allow(world)
    browser = come_in(world)
    assert "El soporte de Comanda está acá hasta el" in browser.get("/staff/menu").content.decode()
    assert [browser.post(path).status_code for path in ("/staff/payments/connect", "/staff/payments/disconnect")] == [403, 403]
    assert browser.get(f"http://localhost:8000/home/{world.a.ref.id}/enter", headers={"host": "localhost:8000"}).status_code == 302
    other = jars(world, signed_in(world, world.owner_a))
    follow(other, f"http://{world.a.host}/enter")
    assert "El soporte de Comanda puede entrar hasta el" in other[world.a.host].get("/staff/menu").content.decode()
    assert "data-support" not in world.b.client().get("/staff/menu").content.decode()


def seen_by(world: World, role: str) -> str:
    platform = {"owner": world.owner_a, "support": world.admin}
    browser = come_in(world, platform[role]) if role in platform else visitor(world.a, role)
    answer = browser.get("/staff/")
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_who_reads_of_it_learns_how_it_is_ended(world: World) -> None:
    """The owner is led to where it is, a manager is told whom to ask, and the support can do it here. The others are not told of it."""
    at_home, here = f'href="http://localhost:8000/home#support-{world.a.ref.id}"', 'action="/staff/support/end"'
    name = User.objects.get(pk=world.owner_a).full_name
    assert "data-support" not in seen_by(world, "owner") + seen_by(world, "manager")
    allow(world)
    pages = {role: seen_by(world, role) for role in ("owner", "manager", "cashier", "kitchen", "support")}
    asked = f"Para terminarlo, hablá con {name}."
    found = {role: (at_home in page, asked in page, here in page, "data-support" in page) for role, page in pages.items()}
    assert found == {
        "owner": (True, False, False, True),
        "manager": (False, True, False, True),
        "cashier": (False,) * 4,
        "kitchen": (False,) * 4,
        "support": (False, False, True, True),
    }
    assert f'id="support-{world.a.ref.id}"' in signed_in(world, world.owner_a).get("/home").content.decode()


def test_the_support_ends_it_itself_and_is_out(world: World) -> None:
    allow(world)
    header, browser = bearer(world), come_in(world)
    answer = browser.post("/staff/support/end", follow=True)
    assert (answer.redirect_chain, "El soporte de Comanda no tiene acceso." in answer.text) == ([("/sign-in", 302)], True)
    assert SupportAccess.objects.get(cafeteria_id=world.a.ref.id).ended_at is not None
    assert [browser.get("/staff/").status_code, world.a.client().get("/api/v1/auth/me", headers=header).status_code] == [302, 401]
    assert take_token(world).json()["code"] == "support_access_required"
    [entry] = AuditEntry.objects.filter(cafeteria_uuid=world.a.ref.uuid, action="support.ended")
    assert (entry.actor_kind, entry.actor_id, entry.target) == ("user", world.admin, world.a.ref.slug)


@pytest.mark.parametrize("role", ["manager", "owner", "cashier", None])
def test_nobody_else_ends_it_there(world: World, role: str | None) -> None:
    allow(world)
    browser = visitor(world.a, role)
    answer = browser.post("/staff/support/end")
    assert (answer.status_code, SupportAccess.objects.get(cafeteria_id=world.a.ref.id).ended_at) == (403 if role else 302, None)
    assert not AuditEntry.objects.filter(action="support.ended").exists()


def test_whoever_has_its_address_before_gets_nothing_of_it(world: World) -> None:
    email = f"support-{world.admin}@comanda.invalid"
    squatter = world.a.client()
    form = {"email": email, "password": "seven green kettles", "full_name": "X"}
    assert squatter.post("/api/v1/auth/register", form, content_type="application/json").status_code == 201
    login = {"username": email, "password": form["password"]}
    held = squatter.post("/api/v1/auth/login", login).json()["access_token"]
    allow(world)
    bearer(world)
    assert squatter.get("/api/v1/auth/me", headers={"authorization": f"Bearer {held}"}).status_code == 401
    assert squatter.post("/api/v1/auth/login", login).status_code == 401


def test_an_admin_asks_and_the_owner_sees_and_declines(world: World) -> None:
    admin, owner = signed_in(world, world.admin), signed_in(world, world.owner_a)
    page = f"/console/cafeterias/{world.a.ref.id}"
    for reason, status in (("", 422), ("Un pago <perdido>", 302), ("Otra vez", 302)):
        assert admin.post(f"{page}/support", {"reason": reason}).status_code == status
    assert SupportRequest.objects.get().reason == "Un pago <perdido>"
    assert "Un pago &lt;perdido&gt;" in owner.get("/home").content.decode()
    assert "Un pago" not in signed_in(world, world.owner_b).get("/home").content.decode()
    end(world)
    assert AuditEntry.objects.filter(cafeteria_uuid=world.a.ref.uuid, action="support.declined", actor_id=world.owner_a).count() == 1
    assert "Un pago" not in owner.get("/home").content.decode()
    assert owner.post(f"{page}/support", {"reason": "x"}).status_code == 403


def test_the_console_shows_the_way_in_only_with_consent(world: World) -> None:
    admin, page = signed_in(world, world.admin), f"/console/cafeterias/{world.a.ref.id}"
    way = f'action="/home/{world.a.ref.id}/enter"'
    assert way not in admin.get(page).content.decode()
    allow(world)
    assert way in admin.get(page).content.decode()
    assert AuditEntry.objects.filter(cafeteria_uuid=world.a.ref.uuid, action="support.granted", actor_id=world.owner_a).count() == 1


def test_the_generation_that_came_after_is_entered_anew(world: World) -> None:
    allow(world)
    bearer(world)
    Cafeteria.objects.filter(pk=world.a.ref.id).update(generation=F("generation") + 1)
    header = bearer(world)
    assert ref_by_id(world.a.ref.id).generation == world.a.ref.generation + 1
    assert world.a.client().get("/api/v1/auth/me", headers=header).status_code == 200


def test_it_changes_nobody_of_the_cafeteria(world: World) -> None:
    allow(world)
    bearer(world)
    with tenant_scope(world.a.ref):
        person = Person.objects.get(platform_user_id=world.admin)
        caller = Caller(
            kind="person",
            id=person.pk,
            email=person.email,
            full_name=person.full_name,
            role=person.role,
            session_id=uuid4(),
            token_version=person.token_version,
            platform_user_id=world.admin,
        )
        acts: list[Callable[[], Any]] = [
            lambda: create_staff(email="new@people.test", full_name="N", role="manager", password="x", actor=caller),
            lambda: set_role(person_id=FIRST_PERSON, role="manager", actor=caller),
            lambda: deactivate(person_id=FIRST_PERSON, actor=caller),
            lambda: activate(person_id=FIRST_PERSON, actor=caller),
        ]
        before = sorted(Person.objects.values_list("pk", "role", "is_active"))
        for act in acts:
            with pytest.raises(NotAllowed):
                act()
        assert sorted(Person.objects.values_list("pk", "role", "is_active")) == before
