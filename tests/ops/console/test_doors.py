"""The console is for admins of the platform, on its own host, and nowhere else."""

import re
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import get_resolver

from ops.console.urls import urlpatterns
from tests.accounts.test_pages import signed_in
from tests.ops.console.desk import Desk
from tests.world import World

ADDRESSES = [
    "/" + re.sub(r"<\w+:(\w+)>", lambda found: "1" if found[1] in {"cafeteria_id", "alert_id"} else str(uuid4()), str(entry.pattern))
    for entry in urlpatterns
]


def test_every_address_asks_for_an_admin() -> None:
    assert {getattr(entry.callback, "access", None) for entry in urlpatterns} == {"admin"}
    assert len(ADDRESSES) > 20


def test_guests_are_sent_to_sign_in(world: World) -> None:
    guest = Client(headers={"host": "localhost:8000"})
    for address in ADDRESSES:
        response = guest.get(address)
        assert (response.status_code, response["Location"].startswith("/sign-in?")) == (302, True), address


def test_owners_may_not(world: World) -> None:
    owner = signed_in(world, world.owner_a)
    for address in ADDRESSES:
        for method in (owner.get, owner.post):
            response = method(address)
            assert response.status_code == 403, address
            assert world.a.ref.slug not in response.text


@pytest.mark.parametrize("role", [None, "owner", "manager"])
def test_the_hosts_of_cafeterias_have_no_console(world: World, role: str | None) -> None:
    browser = Client(headers={"host": world.a.host})
    if role is not None:
        browser.post("/sign-in", {"email": f"{role}@people.test", "password": "correct horse battery"})
    assert {browser.get(address).status_code for address in ADDRESSES} == {404}
    assert not any("console" in str(entry.pattern) for entry in get_resolver("config.urls_tenant").url_patterns)


def test_an_admins_token_opens_no_page(world: World) -> None:
    assert world.platform_client(world.admin).get("/console/").status_code == 302


def test_forms_from_elsewhere_are_refused(world: World) -> None:
    strict = Client(enforce_csrf_checks=True, headers={"host": "localhost:8000"})
    strict.cookies = signed_in(world, world.admin).cookies
    assert strict.get("/console/").status_code == 200
    assert strict.post(f"/console/cafeterias/{world.a.ref.id}/suspend").status_code == 403


def test_what_is_not_there_is_not_found(desk: Desk) -> None:
    for address in (
        "/console/cafeterias/999999999",
        f"/console/jobs/{uuid4()}",
        f"/console/restores/{uuid4()}",
        f"/console/previews/{uuid4()}",
    ):
        assert desk.admin.get(address).status_code == 404, address
    assert desk.admin.get(f"{desk.base}/restore?backup={uuid4()}").status_code == 404
    assert desk.admin.get(f"{desk.base}/restore?backup=nonsense").status_code == 404
    assert desk.admin.get(f"{desk.base}/restore").status_code == 404
    assert desk.admin.post("/console/alerts/999999999/resolve").status_code == 404
