import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from core.audit.models import AuditEntry
from shop.people.models import Person
from tenants.actions import suspend_cafeteria
from tenants.models import Cafeteria
from tenants.queries import ref_by_id
from tenants.scope import tenant_scope
from tests.world import World

FIELDS = {"id", "name", "slug", "description", "address", "url", "currency", "timezone", "status"}
PRODUCT = {"name": "Té", "category": "Bebidas", "price": "900.00"}


def send(client: Client, method: str, path: str, body: Any = None) -> Any:
    return client.generic(method, f"/api/v1{path}", b"" if body is None else json.dumps(body), "application/json")


@pytest.fixture
def owner(world: World) -> Client:
    return world.platform_client(world.owner_a)


@pytest.fixture
def stranger(world: World) -> Client:
    return world.platform_client(world.owner_b)


@pytest.fixture
def admin(world: World) -> Client:
    return world.platform_client(world.admin)


@pytest.fixture
def nobody(world: World) -> Client:
    return world.platform_client()


def test_anyone_sees_the_open_ones_with_the_contracts_fields(nobody: Client, world: World) -> None:
    suspend_cafeteria(cafeteria_id=world.b.ref.id)
    listed = send(nobody, "GET", "/businesses").json()
    assert [set(business) for business in listed] == [FIELDS] * len(listed)
    assert world.a.ref.id in {business["id"] for business in listed}
    assert world.b.ref.id not in {business["id"] for business in listed}


def test_only_admins_ask_for_others_by_status(nobody: Client, owner: Client, admin: Client, world: World) -> None:
    suspend_cafeteria(cafeteria_id=world.b.ref.id)
    path = "/businesses?status=suspended"
    assert [send(client, "GET", path).status_code for client in (nobody, owner)] == [403, 403]
    assert world.b.ref.id in {business["id"] for business in send(admin, "GET", path).json()}
    assert send(admin, "GET", "/businesses?status=x").status_code == 422


def test_an_owner_opens_one_and_its_site_is_there(owner: Client, world: World) -> None:
    body = {"name": "Café Ñandú", "description": "Tostado propio", "address": "Calle 1", "timezone": "America/Santiago", "currency": "CLP"}
    opened = send(owner, "POST", "/businesses", body)
    business = opened.json()
    assert opened.status_code == 201
    assert business == {
        **body,
        "id": business["id"],
        "slug": "cafe-nandu",
        "url": "http://cafe-nandu.localhost:8000",
        "status": "open",
    }
    assert Client(headers={"host": "cafe-nandu.localhost:8000"}).get("/api/v1/products").json() == []
    with tenant_scope(ref_by_id(business["id"])):
        people = list(Person.objects.values_list("role", "platform_user_id"))
    assert people == [("owner", world.owner_a)]
    assert AuditEntry.objects.get(action="cafeteria.opened", target="cafe-nandu").actor_id == world.owner_a


def test_the_same_name_again_gets_another_address_but_an_asked_one_is_409(owner: Client) -> None:
    slugs = [send(owner, "POST", "/businesses", {"name": "Bar Doble"}).json()["slug"] for _ in range(2)]
    taken = send(owner, "POST", "/businesses", {"name": "Otro", "slug": "bar-doble"})
    reserved = send(owner, "POST", "/businesses", {"name": "Otro", "slug": "admin"})
    assert slugs == ["bar-doble", "bar-doble-2"]
    assert [(answer.status_code, answer.json()["code"]) for answer in (taken, reserved)] == [(409, "slug_taken"), (409, "slug_reserved")]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "  "},
        {"name": "a\x00"},
        {"name": "x" * 121},
        {"name": 5},
        {"name": "x", "slug": "Ä"},
        {"name": "x", "slug": "-x"},
        {"name": "x", "slug": ""},
        {"name": "x", "timezone": "Mars/Base"},
        {"name": "x", "currency": "QQQ"},
        {"name": "x", "currency": "ars"},
        {"name": "x", "description": "x" * 2001},
        [],
        None,
    ],
    ids=str,
)
def test_what_no_cafeteria_can_have_is_422(owner: Client, body: Any) -> None:
    before = Cafeteria.objects.count()
    assert send(owner, "POST", "/businesses", body).status_code in {400, 422}
    assert Cafeteria.objects.count() == before


def test_only_owners_open(nobody: Client, admin: Client) -> None:
    assert send(nobody, "POST", "/businesses", {"name": "x"}).status_code == 401
    assert send(admin, "POST", "/businesses", {"name": "x"}).status_code == 403


CALLS = [
    ("GET", "", None),
    ("PUT", "", {"name": "Nuevo"}),
    ("PATCH", "", {"name": "Nuevo"}),
    ("DELETE", "", None),
    ("POST", "/token", None),
    ("POST", "/products", PRODUCT),
    ("GET", "/products", None),
]
SEEN_BY_ALL = {("GET", ""), ("GET", "/products")}


@pytest.mark.parametrize(("method", "rest", "body"), CALLS)
def test_what_is_anothers_is_not_found(
    nobody: Client, stranger: Client, owner: Client, world: World, method: str, rest: str, body: Any
) -> None:
    path = f"/businesses/{world.a.ref.id}{rest}"
    expected = [200, 200] if (method, rest) in SEEN_BY_ALL else [401, 404]
    assert [send(client, method, path, body).status_code for client in (nobody, stranger)] == expected
    assert send(owner, method, path, body).status_code in {200, 201, 204}


@pytest.mark.parametrize(("method", "rest", "body"), CALLS)
@pytest.mark.parametrize("number", ["999999999", "0", "-1", "9" * 30, "x", "1.5"])
def test_an_unknown_number_is_404_or_422(owner: Client, method: str, rest: str, body: Any, number: str) -> None:
    assert send(owner, method, f"/businesses/{number}{rest}", body).status_code in {404, 422}


def test_a_suspended_one_is_for_its_owner_and_admins(nobody: Client, stranger: Client, owner: Client, admin: Client, world: World) -> None:
    suspend_cafeteria(cafeteria_id=world.a.ref.id)
    path = f"/businesses/{world.a.ref.id}"
    assert [send(client, "GET", path).status_code for client in (nobody, stranger, owner, admin)] == [404, 404, 200, 200]
    assert send(nobody, "GET", f"{path}/products").status_code == 404
    assert send(owner, "POST", f"{path}/token").status_code == 503


def test_put_sets_the_whole_and_patch_what_is_given(owner: Client, world: World) -> None:
    path = f"/businesses/{world.a.ref.id}"
    send(owner, "PATCH", path, {"description": "Con patio", "timezone": "America/Lima"})
    patched = send(owner, "PATCH", path, {"name": "Luna nueva", "description": None}).json()
    put = send(owner, "PUT", path, {"name": "Luna llena"}).json()
    assert (patched["name"], patched["description"], patched["timezone"]) == ("Luna nueva", "Con patio", "America/Lima")
    assert (put["name"], put["description"], put["timezone"]) == ("Luna llena", "", "America/Lima")
    assert AuditEntry.objects.filter(action="cafeteria.changed").latest("id").data == {"fields": ["address", "description", "name"]}


def test_a_closed_one_is_gone_for_everybody(owner: Client, nobody: Client, admin: Client, world: World) -> None:
    path = f"/businesses/{world.a.ref.id}"
    assert send(owner, "DELETE", path).status_code == 204
    assert [send(client, "GET", path).status_code for client in (owner, nobody, admin)] == [404, 404, 404]
    assert send(owner, "DELETE", path).status_code == 404
    assert AuditEntry.objects.filter(action="cafeteria.closed", cafeteria_uuid=world.a.ref.uuid).count() == 1


def test_a_business_token_is_the_owners_for_that_host_only(owner: Client, world: World) -> None:
    issued = send(owner, "POST", f"/businesses/{world.a.ref.id}/token").json()
    header = {"authorization": f"Bearer {issued['access_token']}"}
    answers = [client.get("/api/v1/auth/me", headers=header) for client in (world.a.client(), world.b.client(), world.platform_client())]
    assert [answer.status_code for answer in answers] == [200, 401, 401]
    assert answers[0].json()["role"] == "owner"
    assert set(issued) == {"access_token", "token_type", "expires_in", "url"}
    assert AuditEntry.objects.filter(action="cafeteria.token_issued", cafeteria_uuid=world.a.ref.uuid).count() == 1


def test_an_admin_needs_the_owners_consent(admin: Client, world: World) -> None:
    refused = send(admin, "POST", f"/businesses/{world.a.ref.id}/token")
    assert (refused.status_code, refused.json()["code"]) == (403, "support_access_required")
    assert AuditEntry.objects.filter(action="cafeteria.token_issued").count() == 0


def test_products_go_in_and_come_out_as_on_the_cafeterias_host(owner: Client, nobody: Client, world: World) -> None:
    path = f"/businesses/{world.a.ref.id}/products"
    created = send(owner, "POST", path, PRODUCT)
    listed = send(nobody, "GET", path)
    assert created.status_code == 201
    assert created.json() in listed.json()
    assert listed.json() == world.a.client().get("/api/v1/products").json()
    assert send(owner, "POST", path, {**PRODUCT, "price": "NaN"}).status_code == 422


def test_an_inactive_owners_token_opens_nothing(owner: Client, world: World) -> None:
    User.objects.filter(pk=world.owner_a).update(is_active=False)
    assert send(owner, "POST", "/businesses", {"name": "x"}).status_code == 401
