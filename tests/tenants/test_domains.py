"""A cafeteria's own domains: who may have which, that its site answers there at once, and what the proxy is told of them."""

import threading
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from core.audit.models import AuditEntry
from core.shares import Buckets
from tenants import domains
from tenants.actions import add_domain, close_cafeteria, remove_domain, suspend_cafeteria
from tenants.domains import checked_domain
from tenants.errors import CafeteriaNotFound, DomainReserved, DomainTaken, InvalidDomain, NoSuchDomain, TooManyDomains
from tenants.models import Cafeteria, Domain
from tests.world import Place, World

NAME = "www.cafe-luna.example"


@pytest.fixture(autouse=True)
def _full_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domains, "looks", Buckets(rate=1_000, clock=lambda: 0.0))


def name_at(host: str) -> tuple[int, bytes]:
    response = Client(headers={"host": host}).get("/api/v1/products")
    return response.status_code, response.content


def asked(host: str, **headers: str) -> int:
    return int(Client(headers={"host": "web:8000", **headers}).get("/internal/known-host", {"domain": host}).status_code)


def revision(place: Place) -> int:
    return Cafeteria.objects.get(pk=place.ref.id).revision


def test_the_site_answers_on_its_domain_and_no_longer_when_it_is_removed(world: World, django_capture_on_commit_callbacks: Any) -> None:
    assert name_at(NAME)[0] == 404
    before = revision(world.a)
    with django_capture_on_commit_callbacks(execute=True):
        added = add_domain(cafeteria_id=world.a.ref.id, domain=f" {NAME.upper()}. ")
    assert added.domain == NAME
    assert name_at(NAME) == name_at(world.a.host)
    assert name_at(f"{NAME}.:8443") == name_at(world.a.host)
    with django_capture_on_commit_callbacks(execute=True):
        remove_domain(cafeteria_id=world.a.ref.id, domain=NAME)
    assert name_at(NAME)[0] == 404
    assert revision(world.a) == before + 2
    entries = AuditEntry.objects.filter(cafeteria_uuid=world.a.ref.uuid, target=NAME).order_by("id").values_list("action", flat=True)
    assert list(entries) == ["cafeteria.domain_added", "cafeteria.domain_removed"]


def test_another_process_that_still_knows_the_domain_looks_again(world: World) -> None:
    """Its cache lives for half a minute: the scope notices the newer revision."""
    add_domain(cafeteria_id=world.a.ref.id, domain=NAME)
    assert name_at(NAME)[0] == 200
    remove_domain(cafeteria_id=world.a.ref.id, domain=NAME)  # whose commit, which empties this process's cache, has not come
    response = Client(headers={"host": NAME, "authorization": f"Bearer {world.a.token('customer')}"}).get("/api/v1/auth/me")
    assert response.status_code == 404


def test_adding_it_again_changes_nothing(world: World) -> None:
    first = add_domain(cafeteria_id=world.a.ref.id, domain=NAME)
    before = revision(world.a)
    assert add_domain(cafeteria_id=world.a.ref.id, domain=NAME) == first
    assert revision(world.a) == before


def test_a_taken_domain_is_refused(world: World) -> None:
    add_domain(cafeteria_id=world.b.ref.id, domain=NAME)
    with pytest.raises(DomainTaken):
        add_domain(cafeteria_id=world.a.ref.id, domain=NAME)
    with pytest.raises(NoSuchDomain):
        remove_domain(cafeteria_id=world.a.ref.id, domain=NAME)
    assert Domain.objects.get(domain=NAME).tenant_id == world.b.ref.id


def test_of_two_at_once_one_gets_it(committed_world: World) -> None:
    name = f"www.{committed_world.a.ref.slug}.example"
    gate, outcomes = threading.Barrier(2), []

    def add(place: Place) -> None:
        gate.wait(30)
        try:
            outcomes.append(add_domain(cafeteria_id=place.ref.id, domain=name).tenant_id)
        except DomainTaken:
            outcomes.append("taken")
        finally:
            connection.close()

    threads = [threading.Thread(target=add, args=(place,)) for place in (committed_world.a, committed_world.b)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    winner = Domain.objects.get(domain=name).tenant_id
    assert sorted(outcomes, key=str) == sorted([winner, "taken"], key=str)


@pytest.mark.parametrize(
    "raw",
    [
        *("", ".", "localhost", "cafe", "cafe..example", "-cafe.example", "cafe-.example", "cafe_luna.example", "cafe luna.example"),
        *("https://cafe.example", "cafe.example/menu", "cafe.example:8000", "192.0.2.7", "[::1]", "*.cafe.example", "cafe.localhost."),
        *("cafe.internal", "cafe.local", "a" * 64 + ".example", ".".join(["a" * 60] * 5), "cafe.example\x00"),
    ],
)
def test_what_is_no_domain_is_refused(raw: str) -> None:
    with pytest.raises(InvalidDomain):
        checked_domain(raw)


@pytest.mark.parametrize("raw", ["comanda.example", "luna.comanda.example", "a.b.Comanda.Example."])
def test_the_platforms_own_domain_is_refused(settings: Any, raw: str) -> None:
    settings.BASE_DOMAIN = "comanda.example"
    with pytest.raises(DomainReserved):
        checked_domain(raw)
    assert checked_domain("notcomanda.example") == "notcomanda.example"


def test_other_alphabets_are_stored_as_browsers_send_them(world: World) -> None:
    assert add_domain(cafeteria_id=world.a.ref.id, domain="Café.example").domain == "xn--caf-dma.example"
    remove_domain(cafeteria_id=world.a.ref.id, domain="café.example")
    assert not Domain.objects.filter(tenant_id=world.a.ref.id).exists()


def test_there_is_an_end_to_them(world: World) -> None:
    for number in range(domains.MOST):
        add_domain(cafeteria_id=world.a.ref.id, domain=f"{number}.example.com")
    with pytest.raises(TooManyDomains):
        add_domain(cafeteria_id=world.a.ref.id, domain="one-more.example.com")


def test_a_closed_cafeteria_gets_none(world: World) -> None:
    close_cafeteria(cafeteria_id=world.a.ref.id)
    with pytest.raises(CafeteriaNotFound):
        add_domain(cafeteria_id=world.a.ref.id, domain=NAME)


def test_the_proxy_is_told_which_hosts_are_ours(world: World) -> None:
    add_domain(cafeteria_id=world.a.ref.id, domain=NAME)
    slug = world.a.ref.slug
    known = {host: asked(host) for host in (NAME, NAME.upper(), "localhost", "www.localhost", f"{slug}.localhost")}
    assert known == dict.fromkeys(known, 200)
    unknown = {host: asked(host) for host in ("other.example", "nobody.localhost", f"x.{slug}.localhost", "", "a" * 300, "..", "[::1]")}
    assert unknown == dict.fromkeys(unknown, 404)


def test_a_paused_cafeteria_keeps_its_certificate_and_a_closed_one_does_not(world: World) -> None:
    suspend_cafeteria(cafeteria_id=world.a.ref.id)
    close_cafeteria(cafeteria_id=world.b.ref.id)
    assert (asked(f"{world.a.ref.slug}.localhost"), asked(f"{world.b.ref.slug}.localhost")) == (200, 404)


def test_nobody_asks_through_the_proxy(world: World) -> None:
    host = f"{world.a.ref.slug}.localhost"
    assert (asked(host), asked(host, **{"x-forwarded-for": "203.0.113.9"})) == (200, 404)


def test_a_flood_of_strangers_names_ends_at_the_bucket(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domains, "looks", Buckets(rate=1.5, clock=lambda: 0.0))
    assert [asked(f"{number}.example") for number in range(5)] == [404, 404, 404, 429, 429]
    assert asked("localhost") == 200  # costs nothing, so it goes on


def test_the_command_adds_shows_and_removes(world: World) -> None:
    out = StringIO()
    slug = world.a.ref.slug
    call_command("domains", slug, "--add", NAME, stdout=out)
    assert out.getvalue() == f"http://{slug}.localhost:8000\nhttps://{NAME}\n"
    with pytest.raises(CommandError, match=f"{world.b.ref.slug}: The domain .* belongs to another cafeteria"):
        call_command("domains", world.b.ref.slug, "--add", NAME)
    call_command("domains", slug, "--remove", NAME, stdout=(after := StringIO()))
    assert after.getvalue() == f"http://{slug}.localhost:8000\n"
    with pytest.raises(CommandError, match="There is no cafeteria"):
        call_command("domains", "nobody-there")
