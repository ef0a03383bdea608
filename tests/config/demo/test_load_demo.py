"""The demo, loaded for real: once a test, in a transaction that is rolled back."""

import io
import time
from collections import Counter
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Count, Sum
from django.test import override_settings

from accounts.models import User
from accounts.realm import platform_realm
from config.demo import ADMIN, OWNERS, PASSWORD, demo_cafeterias, sign_ins
from core.identity.actions import sign_in
from shop.menu.models import Product
from shop.orders.models import Order
from shop.people.models import Person
from shop.people.realm import realm_of_cafeteria
from tenants.actions import close_cafeteria
from tenants.models import Cafeteria
from tenants.queries import ref_by_slug
from tenants.scope import tenant_scope
from tests.world import World


def load() -> str:
    out = io.StringIO()
    call_command("load_demo", stdout=out)
    return out.getvalue().strip()


@pytest.fixture
def demo(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the bakery's past sales, which take a few seconds."""
    without_sales = tuple(replace(cafeteria, sales=None) for cafeteria in demo_cafeterias())
    monkeypatch.setattr("config.demo.load.demo_cafeterias", lambda: without_sales)
    assert load() == "The demo is loaded."


def test_the_three_cafeterias_stand_with_their_menus(demo: None) -> None:
    for cafeteria, products in zip(demo_cafeterias(), (78, 24, 24), strict=True):
        ref = ref_by_slug(cafeteria.slug)
        assert (ref.currency, ref.timezone, ref.day_cutoff) == (cafeteria.currency, cafeteria.timezone, cafeteria.day_cutoff)
        with tenant_scope(ref):
            assert Product.objects.count() == products


def test_the_bakery_has_its_history_and_today_a_board(world: World) -> None:
    assert load() == "The demo is loaded."
    with tenant_scope(ref_by_slug("la-espiga")):
        imported = Order.objects.filter(channel="imported")
        facts = imported.aggregate(tickets=Count("id"), total=Sum("total"))
        lines = imported.aggregate(pieces=Sum("items__quantity"), total=Sum("items__subtotal"))
        board = Counter(Order.objects.exclude(channel="imported").values_list("status", flat=True))
        paid = list(Order.objects.exclude(channel="imported").filter(payment_status="paid").values_list("status", flat=True))
    # 12,070 lines and 5,623 tickets in the file; 571 lines sold nothing, and 62 tickets have no other.
    assert (facts["tickets"], lines["pieces"]) == (5_561, 11_499)
    assert facts["total"] == lines["total"] > 0
    assert board == {"completed": 1, "ready": 1, "preparing": 2, "pending": 2}
    assert paid == ["completed"]


def test_everybody_who_is_named_can_sign_in(demo: None) -> None:
    emails = [secret.partition(" / ")[0] for _, _, secret in sign_ins()]
    for person in (ADMIN, *OWNERS):
        signed_in = sign_in(platform_realm, email=person.email, password=PASSWORD, address="192.0.2.1")
        assert User.objects.get(pk=signed_in.who.account_id).role == person.role
        emails.remove(person.email)
    for cafeteria in demo_cafeterias():
        ref = ref_by_slug(cafeteria.slug)
        for person in cafeteria.people:
            signed_in = sign_in(realm_of_cafeteria(ref), email=person.email, password=PASSWORD, address="192.0.2.1")
            assert signed_in.audience == ref.audience
            emails.remove(person.email)
        with tenant_scope(ref):
            roles = Counter(Person.objects.values_list("role", flat=True))
        assert roles == {"owner": 1, "manager": 1, "cashier": 1, "kitchen": 1, "customer": 1}
    assert emails == []


def test_again_it_does_nothing_quickly(demo: None) -> None:
    with tenant_scope(ref_by_slug("altamar")):
        Product.objects.filter(name="Espresso").update(price=1)
    begin = time.perf_counter()
    assert load() == "The demo is there already."
    assert time.perf_counter() - begin < 1
    with tenant_scope(ref_by_slug("altamar")):
        assert Product.objects.get(name="Espresso").price == 1


def test_a_run_that_was_killed_is_finished_by_the_next(demo: None) -> None:
    with tenant_scope(ref_by_slug("araucaria")):
        Order.objects.all().delete()
        Product.objects.all().delete()
        Person.objects.exclude(role="owner").delete()
    assert load() == "The demo is loaded."
    with tenant_scope(ref_by_slug("araucaria")):
        assert (Product.objects.count(), Person.objects.count(), Order.objects.count()) == (24, 5, 4)


def test_a_closed_cafeteria_and_somebody_elses_are_left_alone(demo: None, world: World) -> None:
    close_cafeteria(cafeteria_id=ref_by_slug("altamar").id)
    Cafeteria.objects.filter(slug="araucaria").update(owner_id=world.owner_a)
    with tenant_scope(ref_by_slug("araucaria")):
        Person.objects.filter(role="manager").update(email="somebody@else.test")
    assert load() == "The demo is there already."


@override_settings(DEVELOPMENT=False)
def test_outside_development_it_refuses(world: World) -> None:
    with pytest.raises(CommandError, match="for development only"):
        load()
    assert not Cafeteria.objects.filter(slug="la-espiga").exists()
