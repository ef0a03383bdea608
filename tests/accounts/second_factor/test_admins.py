"""Where admins need a second factor, one without it gets as far as setting it up."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from accounts.second_factor.codes import is_on
from accounts.support import grant_support
from core.audit.models import AuditEntry
from core.jobs.models import Job
from tests.accounts.second_factor.phone import email_of, enrolled, platform, read_phone
from tests.accounts.second_factor.test_codes import caller_of
from tests.accounts.second_factor.test_pages import SET_UP, mails, signed_in_with_code
from tests.accounts.test_pages import signed_in
from tests.core.identity.test_recovery import mailbox
from tests.core.notices.collectors import Mailbox
from tests.world import World

__all__ = ["mailbox"]  # a fixture
pytestmark = pytest.mark.django_db


@pytest.fixture
def needed(settings: Settings) -> None:
    settings.ADMIN_SECOND_FACTOR = True


def test_an_admin_is_led_to_set_it_up_before_the_console_opens(world: World, needed: None) -> None:
    client = signed_in(world, world.admin)
    led = client.get("/console/cafeterias?page=2")
    assert led["Location"] == "/second-factor/set-up?next=%2Fconsole%2Fcafeterias%3Fpage%3D2"
    assert client.post(f"/console/cafeterias/{world.a.ref.id}/close", {"typed": world.a.ref.slug})["Location"] == SET_UP
    page = client.get(led["Location"]).content.decode()
    done = client.post(led["Location"], {"code": read_phone(page, world.admin).code(), "next": "/console/cafeterias"})
    assert 'href="/console/cafeterias"' in done.content.decode()
    assert client.get("/console/cafeterias").status_code == 200
    assert client.get("/home").status_code == 200


def test_every_page_for_admins_waits_for_it(world: World, needed: None) -> None:
    client = signed_in(world, world.admin)
    paths = ("/console/", "/console/alerts", "/console/jobs", "/console/migrations", "/console/restores", "/console/backups")
    assert {client.get(path).get("Location", "").partition("?")[0] for path in paths if client.get(path).status_code != 404} == {SET_UP}


def test_an_admin_without_it_enters_no_cafeteria_that_would_let_them_in(world: World, needed: None) -> None:
    grant_support(cafeteria_id=world.a.ref.id, life="hour", caller=caller_of(world, world.owner_a))
    enter = f"/home/{world.a.ref.id}/enter"
    assert signed_in(world, world.admin).post(enter)["Location"] == SET_UP
    phone, _ = enrolled(world.admin)
    assert signed_in_with_code(world.admin, phone).post(enter)["Location"].endswith("/enter")


def test_the_api_says_so_and_does_nothing(world: World, needed: None) -> None:
    client, place = world.platform_client(world.admin), f"/api/v1/businesses/{world.a.ref.id}"
    answers = [
        client.get("/api/v1/ops/status"),
        client.post(f"/api/v1/ops/businesses/{world.a.ref.id}/backups"),
        client.get("/api/v1/businesses?status=all"),
        client.patch(place, {"name": "x"}, content_type="application/json"),
        client.delete(place),
        client.post(f"{place}/token"),
    ]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "second_factor_missing")}
    assert "http://localhost:8000/second-factor" in answers[0].json()["detail"]
    assert client.get("/api/v1/auth/me").status_code == 200
    assert client.post("/api/v1/auth/logout").status_code == 204
    assert client.get("/api/v1/auth/me").status_code == 401


def test_with_it_the_api_is_open_and_owners_are_not_asked(world: World, needed: None) -> None:
    enrolled(world.admin)
    assert world.platform_client(world.admin).get("/api/v1/businesses?status=all").status_code == 200
    owner = world.platform_client(world.owner_a).patch(f"/api/v1/businesses/{world.a.ref.id}", {}, content_type="application/json")
    assert owner.status_code == 200
    assert signed_in(world, world.owner_a).get("/home").status_code == 200


def test_an_admin_moves_it_but_does_not_turn_it_off(world: World, needed: None) -> None:
    phone, _ = enrolled(world.admin)
    client = signed_in_with_code(world.admin, phone)
    assert "/second-factor/off" not in client.get("/second-factor").content.decode()
    assert client.post("/second-factor/off").status_code == 409
    assert is_on(world.admin)
    other = read_phone(client.get(SET_UP).content.decode(), world.admin)
    assert client.post(SET_UP, {"code": other.code()}).status_code == 200


def test_where_it_is_not_needed_an_admin_may_do_without(world: World) -> None:
    client = signed_in(world, world.admin)
    assert client.get("/console/cafeterias").status_code == 200
    phone, _ = enrolled(world.admin)
    client = signed_in_with_code(world.admin, phone)
    assert client.post("/second-factor/off").status_code == 302
    assert not is_on(world.admin)


def test_an_operator_takes_it_from_whoever_has_lost_the_phone(world: World, mailbox: Mailbox) -> None:
    phone, _ = enrolled(world.admin)
    inside, email, out = signed_in_with_code(world.admin, phone), email_of(world.admin), StringIO()
    call_command("reset_two_factor", f" {email.upper()} ", stdout=out)
    assert email in out.getvalue()
    assert not is_on(world.admin)
    assert inside.get("/home")["Location"].startswith("/sign-in")
    assert signed_in(world, world.admin).get("/home").status_code == 200
    entry = AuditEntry.objects.get(action="second_factor.reset")
    assert (entry.actor_kind, entry.target, entry.data) == ("command", email, {})
    [(subject, text)] = mails(mailbox)
    assert (subject, "/password/forgotten" in text) == ("Se quitó la verificación en dos pasos", True)


@pytest.mark.parametrize(("email", "words"), [("nobody@example.test", "Nobody has an account"), ("x", "Nobody has an account")])
def test_a_reset_of_nobody_says_so(world: World, email: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("reset_two_factor", email)


def test_a_reset_of_what_is_not_there_ends_no_session(world: World) -> None:
    client = signed_in(world, world.admin)
    with pytest.raises(CommandError, match="Nothing was changed"):
        call_command("reset_two_factor", email_of(world.admin))
    assert client.get("/home").status_code == 200
    assert not Job.objects.filter(kind="accounts.jobs.mail_second_factor_notice").exists()


def test_nothing_is_there_for_a_guest() -> None:
    client: Client = platform()
    assert {client.get(path)["Location"].partition("?")[0] for path in ("/second-factor", SET_UP, "/console/")} == {"/sign-in"}
