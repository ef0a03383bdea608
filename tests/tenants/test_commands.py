"""The commands and the jobs around cafeterias."""

import io
import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import User
from shop.people.models import Person
from tenants import jobs
from tenants.models import Cafeteria
from tenants.queries import ref_by_id, ref_by_slug
from tenants.scope import tenant_scope
from tests.world import World


def status(world: World) -> str:
    return Cafeteria.objects.get(pk=world.a.ref.id).status


def test_suspend_resume_close(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    slug = world.a.ref.slug
    call_command("suspend_cafeteria", slug)
    assert status(world) == "suspended"
    assert f"{slug} is suspended." in capsys.readouterr().out
    call_command("resume_cafeteria", slug)
    assert status(world) == "open"
    call_command("close_cafeteria", slug, "--yes")
    assert status(world) == "closed"
    assert Cafeteria.objects.get(pk=world.b.ref.id).status == "open"


@pytest.mark.parametrize("command", ["resume_cafeteria", "suspend_cafeteria"])
def test_what_cannot_be_is_said(world: World, command: str) -> None:
    with pytest.raises(CommandError, match=r"nobody: There is no cafeteria here\."):
        call_command(command, "nobody")
    call_command("close_cafeteria", world.a.ref.slug, "--yes")
    with pytest.raises(CommandError, match="A cafeteria that is closed cannot be"):
        call_command(command, world.a.ref.slug)


@pytest.mark.parametrize(("typed", "after"), [("luna", "closed"), ("", "open"), ("sol", "open"), ("yes", "open")])
def test_closing_asks_for_the_slug(world: World, monkeypatch: pytest.MonkeyPatch, typed: str, after: str) -> None:
    monkeypatch.setattr("builtins.input", lambda _question: typed)
    if after == "closed":
        call_command("close_cafeteria", world.a.ref.slug)
    else:
        with pytest.raises(CommandError, match="Nothing was done"):
            call_command("close_cafeteria", world.a.ref.slug)
    assert status(world) == after


def test_closing_with_nobody_to_ask(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(CommandError, match="there is nobody to ask"):
        call_command("close_cafeteria", world.a.ref.slug)
    assert status(world) == "open"


def test_a_piped_list_is_whole(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    name = "Confitería de las Violetas y los Jazmines del Paraguay"
    Cafeteria.objects.filter(pk=world.a.ref.id).update(name=name)
    call_command("cafeterias")
    [line] = [line for line in capsys.readouterr().out.splitlines() if name in line]
    assert "http://luna.localhost:8000" in line


def test_the_list(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("cafeterias", "--json")
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = next(row for row in rows if row["id"] == world.a.ref.id)
    assert (found["slug"], found["status"], found["url"]) == ("luna", "open", "http://luna.localhost:8000")
    call_command("suspend_cafeteria", "luna")
    capsys.readouterr()
    call_command("cafeterias", "--status", "suspended", "--json")
    assert [json.loads(line)["slug"] for line in capsys.readouterr().out.splitlines()] == ["luna"]
    call_command("cafeterias")
    table = capsys.readouterr().out
    assert "luna" in table
    assert "suspended" in table


def test_opening_one_for_an_owner(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    owner = User.objects.get(pk=world.owner_a)
    call_command("open_cafeteria", "Café del Río", "--owner", f" {owner.email.upper()} ", "--currency", "UYU")
    assert "Café del Río is open at http://cafe-del-rio.localhost:8000" in capsys.readouterr().out
    with tenant_scope(ref_by_slug("cafe-del-rio")) as ref:
        assert (ref.currency, Person.objects.get().platform_user_id) == ("UYU", owner.pk)
    with pytest.raises(CommandError, match="is taken"):
        call_command("open_cafeteria", "Otro", "--owner", owner.email, "--slug", "cafe-del-rio")
    with pytest.raises(CommandError, match="Nobody has an account"):
        call_command("open_cafeteria", "Otro", "--owner", "nobody@example.com")


def running(world: World) -> Any:
    return SimpleNamespace(cafeteria=ref_by_id(world.a.ref.id), check_cancelled=lambda: None, progress=lambda *_: None)


def test_the_jobs_call_the_actions_and_bear_being_called_twice(world: World) -> None:
    for _ in range(2):
        jobs.close_cafeteria(running(world))
        assert status(world) == "closed"
    assert jobs.drop_closed_cafeteria(running(world)) == {"dropped": False}
    Cafeteria.objects.filter(pk=world.a.ref.id).update(closed_at=timezone.now() - timedelta(days=31))
    assert jobs.drop_closed_cafeteria(running(world)) == {"dropped": True}
    assert jobs.migrate_fleet(running(world)) == {"migrated": 0, "failed": {}}
