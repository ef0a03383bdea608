"""The platform's pages, and the way into a cafeteria, without JavaScript."""

import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import Handoff, User
from shop.people.models import Person
from tenants.actions import suspend_cafeteria
from tenants.models import Cafeteria
from tenants.scope import tenant_scope
from tests.world import PASSWORD, World

NEW = {"full_name": "Nueva Dueña", "email": "nueva@example.test", "password": "seven green kettles"}


@pytest.fixture
def browser(world: World) -> Client:
    return Client(headers={"host": "localhost:8000"})


def signed_in(world: World, user_id: int) -> Client:
    client = Client(headers={"host": "localhost:8000"})
    response = client.post("/sign-in", {"email": User.objects.get(pk=user_id).email, "password": PASSWORD})
    assert response.status_code == 302
    return client


def follow(clients: dict[str, Client], address: str) -> tuple[Any, list[str]]:
    """Through redirects between hosts, as one browser with a cookie jar for each."""
    seen = []
    for _ in range(8):
        seen.append(address)
        host, path = re.fullmatch(r"http://([^/]+)(/.*)", address).groups()  # type: ignore[union-attr]
        response = clients[host].get(path)
        if response.status_code not in {301, 302, 303}:
            return response, seen
        address = response["Location"] if "://" in response["Location"] else f"http://{host}{response['Location']}"
    raise AssertionError(seen)


def jars(world: World, platform: Client) -> dict[str, Client]:
    places = {place.host: Client(headers={"host": place.host}) for place in (world.a, world.b)}
    return {"localhost:8000": platform, **places}


def test_from_sign_up_to_a_cafeteria_of_ones_own(browser: Client) -> None:
    assert browser.get("/sign-up").status_code == 200
    signed_up = browser.post("/sign-up", NEW)
    assert (signed_up.status_code, signed_up["Location"]) == (302, "/home/open")
    assert browser.get("/home").status_code == 200
    opened = browser.post("/home/open", {"name": "La Nueva", "slug": "", "place": "America/Montevideo"})
    cafeteria = Cafeteria.objects.get(slug="la-nueva")
    home = browser.get("/home").content.decode()
    assert (opened.status_code, opened["Location"]) == (302, "/home")
    assert (cafeteria.currency, cafeteria.timezone) == ("UYU", "America/Montevideo")
    assert "la-nueva.localhost:8000" in home
    assert 'class="step step-now"' in home


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "x"}, "id_email"),
        ({"password": "short"}, "id_password"),
        ({"password": "password123"}, "id_password"),
        ({"full_name": ""}, "id_full_name"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_the_rest_is_kept(browser: Client, change: dict[str, str], field: str) -> None:
    page = browser.post("/sign-up", {**NEW, **change})
    text = page.content.decode()
    assert page.status_code == 422
    assert f'id="{field}_error"' in text
    assert all(f'value="{value}"' in text for name, value in {**NEW, **change}.items() if value and name != "password")
    assert not User.objects.filter(email=NEW["email"]).exists()


def test_a_taken_address_is_said_at_its_field(browser: Client, world: World) -> None:
    page = browser.post("/sign-up", {**NEW, "email": User.objects.get(pk=world.owner_a).email})
    assert page.status_code == 422
    assert 'id="id_email_error"' in page.content.decode()


def test_unknown_and_wrong_look_the_same(browser: Client, world: World) -> None:
    def page(email: str) -> str:
        text = browser.post("/sign-in", {"email": email, "password": "wrong"}).content.decode()
        return re.sub(r'csrfmiddlewaretoken" value="\w+"|nonce="[^"]+"|value="[^"]*@[^"]*"|<!--.*?-->', "", text)

    assert page("nobody@example.test") == page(User.objects.get(pk=world.owner_a).email)


def test_a_page_asks_to_sign_in_and_comes_back(browser: Client, world: World) -> None:
    asked = browser.get("/home/open?x=1")
    assert (asked.status_code, asked["Location"]) == (302, "/sign-in?next=%2Fhome%2Fopen%3Fx%3D1")
    form = {"email": User.objects.get(pk=world.owner_a).email, "password": PASSWORD, "next": "/home/open?x=1"}
    assert browser.post("/sign-in", form)["Location"] == "/home/open?x=1"


@pytest.mark.parametrize("wanted", ["https://evil.test/", "//evil.test/", "/\\evil.test", "javascript:alert(1)", "home", "///evil.test"])
def test_it_never_leads_to_another_host(browser: Client, world: World, wanted: str) -> None:
    form = {"email": User.objects.get(pk=world.owner_a).email, "password": PASSWORD, "next": wanted}
    assert browser.post("/sign-in", form)["Location"] == "/home"


def test_signing_out_needs_a_post_and_ends_the_session(world: World) -> None:
    client = signed_in(world, world.owner_a)
    copy = client.cookies["comanda"].value
    assert client.get("/sign-out").status_code == 405
    assert client.post("/sign-out")["Location"] == "/"
    thief = Client(headers={"host": "localhost:8000"})
    thief.cookies["comanda"] = copy
    assert [someone.get("/home").status_code for someone in (client, thief)] == [302, 302]


def test_a_new_password_ends_every_other_session(world: World) -> None:
    here, elsewhere = signed_in(world, world.owner_a), signed_in(world, world.owner_a)
    wrong = here.post("/password", {"current": "wrong", "new": "nine purple spoons"})
    weak = here.post("/password", {"current": PASSWORD, "new": "short"})
    right = here.post("/password", {"current": PASSWORD, "new": "nine purple spoons"})
    assert [answer.status_code for answer in (wrong, weak, right)] == [422, 422, 302]
    assert 'id="id_current_error"' in wrong.content.decode()
    assert 'id="id_new_error"' in weak.content.decode()
    assert [client.get("/home").status_code for client in (here, elsewhere)] == [200, 302]


def test_signing_out_everywhere(world: World) -> None:
    here, elsewhere = signed_in(world, world.owner_a), signed_in(world, world.owner_a)
    assert here.post("/sign-out-everywhere").status_code == 302
    assert [client.get("/home").status_code for client in (here, elsewhere)] == [302, 302]
    assert world.platform_client(world.owner_a).get("/api/v1/auth/me").status_code == 401


def test_the_address_is_checked_while_it_is_typed(world: World) -> None:
    client = signed_in(world, world.owner_a)

    def answer(**typed: str) -> str:
        return client.get("/home/open/address", typed).content.decode()

    assert "http://cafe-del-rio.localhost:8000" in answer(name="Café del Río")
    assert 'class="good"' not in answer(name="x", slug=world.b.ref.slug)
    assert 'class="bad"' in answer(name="x", slug="admin")
    assert answer().strip() == ""


@pytest.mark.parametrize("change", [{"name": ""}, {"slug": "-"}, {"slug": "admin"}, {"slug": "luna"}, {"place": "Mars"}, {"place": ""}])
def test_a_cafeteria_that_cannot_be_is_not_opened(world: World, change: dict[str, str]) -> None:
    client = signed_in(world, world.owner_a)
    before = Cafeteria.objects.count()
    page = client.post("/home/open", {"name": "Otra", "slug": "otra", "place": "America/Lima", **change})
    [field] = change
    assert page.status_code == 422
    assert f'id="id_{field}_error"' in page.content.decode()
    assert Cafeteria.objects.count() == before


def test_home_shows_ones_own_only_at_a_fixed_cost(world: World, django_assert_num_queries: Any) -> None:
    client = signed_in(world, world.owner_a)
    with django_assert_num_queries(6):
        page = client.get("/home").content.decode()
    assert world.a.ref.slug in page
    assert world.b.ref.slug not in page
    for number in range(2):
        client.post("/home/open", {"name": f"Otra {number}", "place": "America/Lima"})
    client.get("/home")  # takes the flashes
    with django_assert_num_queries(6):
        client.get("/home")


# --- The way into a cafeteria -----------------------------------------------------------------------------------------------


def test_the_owner_goes_in_with_one_press(world: World) -> None:
    platform = signed_in(world, world.owner_a)
    clients = jars(world, platform)
    pressed = platform.post(f"/home/{world.a.ref.id}/enter")
    arrived, seen = follow(clients, pressed["Location"])
    assert arrived.status_code == 200
    assert seen[-1] == f"http://{world.a.host}/staff/"
    with tenant_scope(world.a.ref):
        assert Person.objects.get(platform_user_id=world.owner_a).role == "owner"
    assert clients[world.a.host].get("/account").status_code == 200


def test_from_the_cafeterias_side_it_asks_to_sign_in_on_the_platform(world: World) -> None:
    clients = jars(world, Client(headers={"host": "localhost:8000"}))
    asked, seen = follow(clients, f"http://{world.a.host}/enter")
    assert asked.status_code == 200
    assert seen[-1].startswith("http://localhost:8000/sign-in?next=%2Fhome%2F")


def enter_until_the_code(world: World, clients: dict[str, Client]) -> str:
    """The address with the code, not yet opened."""
    started = clients[world.a.host].get("/enter")
    issued = clients["localhost:8000"].get(started["Location"].removeprefix("http://localhost:8000"))
    assert "code=" in issued["Location"]
    return str(issued["Location"]).removeprefix(f"http://{world.a.host}")


def test_a_code_works_in_the_browser_that_asked_and_once(world: World) -> None:
    clients = jars(world, signed_in(world, world.owner_a))
    address = enter_until_the_code(world, clients)
    victim = Client(headers={"host": world.a.host})
    assert victim.get(address).status_code == 410
    victim.get("/enter")  # has begun a hand-off of its own
    assert victim.get(address).status_code == 410
    mine = clients[world.a.host]
    cookie = mine.cookies["comanda"].value
    assert mine.get(address)["Location"] == "/staff/"
    assert mine.get(address)["Location"] == "/staff/"  # the back button
    replay = Client(headers={"host": world.a.host})
    replay.cookies["comanda"] = cookie
    assert replay.get(address).status_code == 410


def test_a_code_is_for_one_cafeteria_and_one_minute(world: World) -> None:
    clients = jars(world, signed_in(world, world.owner_a))
    address = enter_until_the_code(world, clients)
    Cafeteria.objects.filter(pk=world.b.ref.id).update(owner_id=world.owner_a)
    clients[world.b.host].get("/enter")
    assert clients[world.b.host].get(address).status_code == 410
    Handoff.objects.update(expires_at="2020-01-01T00:00:00Z")
    assert clients[world.a.host].get(address).status_code == 410


def test_a_code_is_worthless_once_the_cafeteria_has_another_owner(world: World) -> None:
    clients = jars(world, signed_in(world, world.owner_a))
    address = enter_until_the_code(world, clients)
    Cafeteria.objects.filter(pk=world.a.ref.id).update(owner_id=world.owner_b)
    assert clients[world.a.host].get(address).status_code == 410


@pytest.mark.parametrize("role", ["stranger", "admin"])
def test_nobody_else_gets_a_code(world: World, role: str) -> None:
    client = signed_in(world, {"stranger": world.owner_b, "admin": world.admin}[role])
    expected = {"stranger": 404, "admin": 403}[role]
    path = f"/home/{world.a.ref.id}/enter"
    assert [client.post(path).status_code, client.get(f"{path}?state={'0' * 64}").status_code] == [expected, expected]
    assert Handoff.objects.count() == 0


def test_a_suspended_one_cannot_be_entered(world: World) -> None:
    client = signed_in(world, world.owner_a)
    suspend_cafeteria(cafeteria_id=world.a.ref.id)
    assert client.post(f"/home/{world.a.ref.id}/enter").status_code == 404
    assert "/enter" not in client.get("/home").content.decode()


def test_whoever_had_the_owners_address_before_gets_nothing_of_it(world: World) -> None:
    """An address at a cafeteria is never proven: its holder must not become the owner with the old password."""
    squatter = world.a.client()
    email = User.objects.get(pk=world.owner_a).email
    squatter.post(
        "/api/v1/auth/register", {"email": email, "password": "seven green kettles", "full_name": "X"}, content_type="application/json"
    )
    form = {"username": email, "password": "seven green kettles"}
    held = squatter.post("/api/v1/auth/login", form).json()["access_token"]
    follow(jars(world, platform := signed_in(world, world.owner_a)), platform.post(f"/home/{world.a.ref.id}/enter")["Location"])
    with tenant_scope(world.a.ref):
        assert Person.objects.get(email=email).role == "owner"
    assert squatter.get("/api/v1/auth/me", headers={"authorization": f"Bearer {held}"}).status_code == 401
    assert squatter.post("/api/v1/auth/login", form).status_code == 401


def test_going_from_one_form_to_the_other_keeps_where_one_was_going_and_nothing_else(browser: Client) -> None:
    plain, asked = (browser.get(path).content.decode() for path in ("/sign-in", "/sign-in?next=/home/open"))
    assert 'href="/sign-up"' in plain
    assert 'href="/sign-up?next=%2Fhome%2Fopen"' in asked
