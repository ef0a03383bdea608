"""Row 18 of the table in the facts: one refresh for two workers; a deauthorised account needs its owner, and nobody else is harmed."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from django.db import connections
from django.utils import timezone

from core.alerts.models import Alert
from core.jobs.periodic import periodic_jobs
from core.jobs.run import Claim, JobRun
from payments.gateway import transport
from payments.gateway.errors import GatewayUnavailable, TokenRefused
from payments.gateway.gateway import gateway
from payments.ledger.models import Charge, Payment
from payments.sellers.actions import NEEDS_RECONNECT, RENEWAL_FAILS, refresh_seller
from payments.sellers.jobs import SILENCES, refresh_tokens
from payments.sellers.models import Seller
from payments.sellers.queries import accepts_online
from tests.emulator.process import Emulator
from tests.payments.application import connected
from tests.world import World


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "sleep", lambda _seconds: None)


def run() -> JobRun:
    claim = Claim(job_id=uuid4(), token=uuid4(), kind="x", queue="long", attempt=1, cafeteria_uuid=None, arguments={})
    return JobRun(claim)


def ends_in(seller: Seller, **left: float) -> Seller:
    Seller.objects.filter(pk=seller.pk).update(expires_at=timezone.now() + timedelta(**left))
    seller.refresh_from_db()
    return seller


def refreshes(emulator: Emulator) -> int:
    return len(emulator.entries("request", path="/oauth/token"))


@pytest.fixture
def committed(committed_world: World) -> Iterator[World]:
    yield committed_world
    for place in (committed_world.a, committed_world.b):
        for model in (Seller, Alert):
            model.objects.filter(cafeteria_uuid=place.ref.uuid).delete()


def test_two_workers_at_once_refresh_once(committed: World, emulator: Emulator) -> None:
    seller = ends_in(connected(emulator, committed.a.ref.uuid), days=20)
    before, asked = seller.access_token, refreshes(emulator)
    emulator.fault("latency", None, match={"path": "oauth"}, seconds=0.5)  # long enough for all to come
    barrier = threading.Barrier(4)

    def work(_number: int) -> bool:
        try:
            barrier.wait()
            return refresh_seller(seller_id=seller.pk)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(work, range(4))) == [False, False, False, True]
    assert refreshes(emulator) == asked + 1
    seller.refresh_from_db()
    assert seller.access_token != before
    assert seller.expires_at > timezone.now() + timedelta(days=179)
    assert gateway(seller.access_token).account().user_id == seller.mp_user_id


def test_then_deauthorised_it_needs_its_owner_and_others_are_unharmed(world: World, emulator: Emulator) -> None:
    gone, other = (ends_in(connected(emulator, place.ref.uuid), days=5) for place in (world.a, world.b))
    emulator.control("POST", f"/_emu/sellers/{gone.mp_user_id}/deauthorize")
    assert refresh_tokens(run()) == {"due": 2, "refreshed": 1, "failed": 0}
    gone.refresh_from_db()
    other.refresh_from_db()
    assert (gone.status, other.status) == ("needs_reconnect", "connected")
    assert not accepts_online(world.a.ref.uuid)
    assert accepts_online(world.b.ref.uuid)
    assert [alert.cafeteria_uuid for alert in Alert.objects.filter(kind=NEEDS_RECONNECT)] == [world.a.ref.uuid]
    with pytest.raises(TokenRefused):
        gateway(gone.access_token).account()
    assert refresh_tokens(run()) == {"due": 0, "refreshed": 0, "failed": 0}


def test_a_token_with_more_than_thirty_days_is_left_alone(world: World, emulator: Emulator) -> None:
    seller = ends_in(connected(emulator, world.a.ref.uuid), days=31)
    asked = refreshes(emulator)
    assert refresh_tokens(run()) == {"due": 0, "refreshed": 0, "failed": 0}
    assert not refresh_seller(seller_id=seller.pk)
    assert not refresh_seller(seller_id=seller.pk + 1000)
    assert refreshes(emulator) == asked


def test_a_failure_changes_nothing_and_is_tried_again(world: World, emulator: Emulator) -> None:
    seller = ends_in(connected(emulator, world.a.ref.uuid), days=25)
    sealed = seller.sealed_refresh_token
    emulator.fault("status_500", None, match={"path": "oauth"})
    assert refresh_tokens(run()) == {"due": 1, "refreshed": 0, "failed": 1}
    assert not Alert.objects.exists()  # there is time
    ends_in(seller, days=19)
    refresh_tokens(run())
    [alert] = Alert.objects.all()
    assert (alert.kind, alert.cafeteria_uuid) == (RENEWAL_FAILS, world.a.ref.uuid)
    seller.refresh_from_db()
    assert (seller.status, seller.sealed_refresh_token) == ("connected", sealed)
    emulator.control("DELETE", "/_emu/faults")
    assert refresh_tokens(run()) == {"due": 1, "refreshed": 1, "failed": 0}
    alert.refresh_from_db()
    assert alert.resolved_at is not None


def test_an_unreadable_token_harms_no_other(world: World, emulator: Emulator) -> None:
    broken, fine = connected(emulator, world.a.ref.uuid), connected(emulator, world.b.ref.uuid)
    Seller.objects.filter(pk=broken.pk).update(sealed_refresh_token="not sealed")
    ends_in(broken, days=1)
    ends_in(fine, days=2)
    assert refresh_tokens(run()) == {"due": 2, "refreshed": 1, "failed": 1}


def test_a_silent_mercado_pago_is_not_asked_for_everybody(world: World, emulator: Emulator) -> None:
    model = connected(emulator, world.a.ref.uuid)
    for number in range(SILENCES + 3):
        values = {"cafeteria_uuid": uuid4(), "mp_user_id": number, "site_id": "MLA", "currency": "ARS", "webhook_key": f"k{number}"}
        moments = dict.fromkeys(("expires_at", "refreshed_at", "connected_at"), timezone.now())
        Seller.objects.create(**values, **moments, sealed_refresh_token=model.sealed_refresh_token)
    emulator.fault("connection_reset", None, match={"path": "oauth"})
    assert refresh_tokens(run()) == {"due": SILENCES + 3, "refreshed": 0, "failed": SILENCES}


def test_an_account_that_was_left_lives_on_as_long_as_it_can_be_asked_for_refunds(world: World, emulator: Emulator) -> None:
    left = ends_in(connected(emulator, world.a.ref.uuid), days=5)
    Seller.objects.filter(pk=left.pk).update(status="disconnected")
    assert refresh_tokens(run()) == {"due": 0, "refreshed": 0, "failed": 0}
    charge = charged(world.a.ref.uuid, left)
    Charge.objects.filter(pk=charge.pk).update(approved_at=timezone.now() - timedelta(days=181))
    assert refresh_tokens(run()) == {"due": 0, "refreshed": 0, "failed": 0}
    Charge.objects.filter(pk=charge.pk).update(approved_at=timezone.now() - timedelta(days=10))
    assert refresh_tokens(run()) == {"due": 1, "refreshed": 1, "failed": 0}
    left.refresh_from_db()
    assert left.status == "disconnected"


def charged(cafeteria_uuid: UUID, seller: Seller) -> Charge:
    """A payment to the seller, approved just now."""
    now, money = timezone.now(), {"amount": Decimal(10), "currency": "ARS"}
    order = {"order_key": "k", "order_number": 1, "order_id": 1, "business_date": now.date()}
    begun = {"method": "mercadopago", "reference": "r", "created_at": now, "updated_at": now}
    payment = Payment.objects.create(cafeteria_uuid=cafeteria_uuid, **money, **order, **begun)
    seen = dict.fromkeys(("created_at", "approved_at", "last_updated", "seen_at"), now)
    about = {"collector_id": seller.mp_user_id, "mp_id": "1", "status": "approved", "payment": payment}
    return Charge.objects.create(cafeteria_uuid=cafeteria_uuid, **money, **seen, **about)


def test_refreshing_while_mercado_pago_is_away_says_so(world: World, emulator: Emulator) -> None:
    seller = ends_in(connected(emulator, world.a.ref.uuid), days=5)
    emulator.fault("html_502", None, match={"path": "oauth"})
    with pytest.raises(GatewayUnavailable):
        refresh_seller(seller_id=seller.pk)


def test_the_job_comes_every_hour() -> None:
    [job] = [job for job in periodic_jobs() if job.kind == "payments.sellers.jobs.refresh_tokens"]
    assert (job.every, job.queue) == (timedelta(hours=1), "long")
