"""Development's cafeterias get an account at the stand-in, by the product's own exchange."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction

from config.demo import sellers
from config.demo.jobs import connect_test_seller
from config.demo.load import load_demo
from core.jobs.models import Job
from core.jobs.run import Claim, JobRun
from payments.sellers.actions import disconnect_seller
from payments.sellers.models import Seller
from payments.sellers.queries import accepts_online
from tenants.actions import OwnerPerson, open_cafeteria
from tenants.models import Cafeteria
from tenants.queries import ref_for
from tests.emulator.process import Emulator
from tests.world import World


@pytest.fixture
def hooked(emulator: Emulator, settings: Any) -> Emulator:
    """The settings as `make run` makes them."""
    settings.MERCADOPAGO_EMULATOR_KEY = emulator.environment["MERCADOPAGO_EMULATOR_KEY"]
    settings.CAFETERIA_OPENED = [*settings.CAFETERIA_OPENED, "config.demo.sellers.connect_test_seller"]
    return emulator


def opened(world: World, **values: Any) -> Cafeteria:
    person: OwnerPerson = {"email": "owner@people.test", "full_name": "Olga"}
    return open_cafeteria(owner_id=world.owner_a, owner_person=person, name="Café Nuevo", **values)


def waiting() -> list[Any]:
    return list(Job.objects.filter(kind=sellers.JOB).values_list("cafeteria_uuid", flat=True))


def run_for(cafeteria: Cafeteria) -> JobRun:
    claim = Claim(job_id=uuid4(), token=uuid4(), kind=sellers.JOB, queue="short", attempt=1, cafeteria_uuid=cafeteria.uuid, arguments={})
    return JobRun(claim, cafeteria=ref_for(cafeteria))


@pytest.mark.parametrize(("currency", "site"), [("ARS", "MLA"), ("CLP", "MLC")])
def test_a_new_cafeteria_takes_payments_once_it_is_committed(
    world: World, hooked: Emulator, django_capture_on_commit_callbacks: Any, currency: str, site: str
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        cafeteria = opened(world, currency=currency)
        assert not Seller.objects.exists()
    seller = Seller.objects.get(cafeteria_uuid=cafeteria.uuid)
    assert (seller.site_id, seller.currency, seller.nickname, seller.connected_by) == (site, currency, "Café Nuevo", "development")
    assert accepts_online(cafeteria.uuid)
    assert waiting() == []


def test_an_opening_that_is_rolled_back_asks_nobody(world: World, hooked: Emulator, django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True) as callbacks, transaction.atomic():
        opened(world)
        transaction.set_rollback(True)
    assert callbacks == []
    assert hooked.control("GET", "/_emu/state")["counts"]["seller"] == 1  # the platform's own


def test_while_the_stand_in_is_silent_a_job_waits(
    world: World, hooked: Emulator, django_capture_on_commit_callbacks: Any, settings: Any
) -> None:
    address, settings.MERCADOPAGO_URL = settings.MERCADOPAGO_URL, "http://127.0.0.1:9"
    with django_capture_on_commit_callbacks(execute=True):
        cafeteria = opened(world)
    assert waiting() == [cafeteria.uuid]
    sellers.connect_later(cafeteria.uuid)
    assert waiting() == [cafeteria.uuid]
    with pytest.raises(sellers.StandInSilent):
        connect_test_seller(run_for(cafeteria))
    settings.MERCADOPAGO_URL = address
    assert connect_test_seller(run_for(cafeteria)) == {"connected": True}
    assert connect_test_seller(run_for(cafeteria)) == {"connected": False}
    assert accepts_online(cafeteria.uuid)


def test_who_has_left_is_not_connected_again(world: World, hooked: Emulator) -> None:
    sellers.connect(world.a.ref.uuid)
    disconnect_seller(cafeteria_uuid=world.a.ref.uuid, person=world.a.caller())
    assert not sellers.connect(world.a.ref.uuid)
    assert not accepts_online(world.a.ref.uuid)


def test_a_wrong_key_is_silence(world: World, hooked: Emulator, settings: Any) -> None:
    settings.MERCADOPAGO_EMULATOR_KEY = "wrong"
    with pytest.raises(sellers.StandInSilent, match="HTTPError"):
        sellers.connect(world.a.ref.uuid)


def test_the_demo_that_was_there_is_connected_by_jobs(world: World, hooked: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    slug = world.a.ref.slug
    there = [type("Demo", (), {"slug": slug})()]
    monkeypatch.setattr("config.demo.load.demo_cafeterias", lambda: there)
    monkeypatch.setattr("config.demo.load._is_missing", lambda _cafeteria: False)
    assert not load_demo(say=lambda _message: None, progress=lambda _fraction, _message: None)
    assert waiting() == [world.a.ref.uuid]
    sellers.connect(world.a.ref.uuid)
    Job.objects.filter(kind=sellers.JOB).update(state="succeeded")
    load_demo(say=lambda _message: None, progress=lambda _fraction, _message: None)
    assert len(waiting()) == 1
