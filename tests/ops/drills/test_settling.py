"""After a recovery the last seconds are lost: nothing that was given in them may mean something else now."""

from datetime import time, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F
from django.test import Client
from django.utils import timezone

from core.audit.models import AuditEntry
from core.jobs.models import Job
from ops.drills.actions import IDS_A_SECOND, IDS_SKIPPED, NUMBERS_A_MINUTE, NUMBERS_SKIPPED, settle_recovery
from payments.ledger.models import Payment
from shop.orders.models import DayCounter
from tenants.models import Cafeteria
from tenants.scope import tenant_scope
from tests.emulator.process import Emulator
from tests.payments.till import open_till
from tests.world import World


@pytest.mark.parametrize("cutoff", [time(4), time(23, 59)], ids=["of-the-demo", "a-day-or-two-behind-utc"])
def test_ids_and_numbers_go_on_after_those_of_the_lost_time(world: World, luna: Client, cutoff: time) -> None:
    of_cafeteria = {"timezone": "Etc/GMT+12", "day_cutoff": cutoff, "revision": F("revision") + 1}
    Cafeteria.objects.filter(pk=world.a.ref.id).update(**of_cafeteria)
    before = luna.post("/api/v1/orders", world.a.order(guest={"name": "Ana"}), "application/json").json()
    settle_recovery(moment=timezone.now() - timedelta(seconds=40))
    after = luna.post("/api/v1/orders", world.a.order(guest={"name": "Ana"}), "application/json").json()
    assert after["id"] > before["id"] + IDS_SKIPPED
    assert after["number"] == before["number"] + NUMBERS_SKIPPED + 1


def test_of_a_long_time_more_is_lost_and_its_days_are_over(world: World, luna: Client) -> None:
    before = luna.post("/api/v1/orders", world.a.order(guest={"name": "Ana"}), "application/json").json()
    with tenant_scope(world.a.ref):
        DayCounter.objects.all().delete()  # Recovered to a moment before this day had begun.
    settle_recovery(moment=timezone.now() - timedelta(hours=30))
    after = luna.post("/api/v1/orders", world.a.order(guest={"name": "Ana"}), "application/json").json()
    assert after["id"] > before["id"] + IDS_SKIPPED + 30 * 3600 * IDS_A_SECOND
    assert after["number"] > 24 * 60 * NUMBERS_A_MINUTE


def test_who_was_signed_in_signs_in_again(world: World) -> None:
    cashier = world.a.client("cashier")
    assert cashier.get("/api/v1/auth/me").status_code == 200
    settle_recovery(moment=timezone.now())
    assert cashier.get("/api/v1/auth/me").status_code == 401


def test_mercado_pago_is_asked_about_what_was_open(world: World, emulator: Emulator) -> None:
    till = open_till(world.a, emulator)
    payment = till.checkout(till.order())
    Payment.objects.filter(pk=payment.pk).update(next_check_at=timezone.now() + timedelta(hours=1))
    out = StringIO()
    call_command("settle_recovery", "--moment", "2026-11-24T12:00:00", stdout=out)
    payment.refresh_from_db()
    assert payment.next_check_at is not None
    assert payment.next_check_at <= timezone.now()
    assert Job.objects.filter(kind="payments.reconciliation.jobs.sweep").exists()
    assert "about 1 open payments" in out.getvalue()
    assert AuditEntry.objects.get(action="recovery.settled").data["moment"] == "2026-11-24T12:00:00+00:00"


def test_a_moment_that_is_none_is_refused_before_anything_is_done(world: World) -> None:
    with pytest.raises(CommandError, match="no moment"):
        call_command("settle_recovery", "--moment", "yesterday")
    assert not AuditEntry.objects.filter(action="recovery.settled").exists()
