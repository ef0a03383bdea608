"""Mercado Pago's business day against ours, at the emulator's process."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.utils import timezone

from core.alerts.models import Alert
from core.business_day import business_date, business_span
from core.jobs import JobPostponed
from payments.ledger.models import Charge, LedgerEntry
from payments.reconciliation import actions, days, jobs
from payments.reconciliation.models import DayStatement
from payments.sellers.models import Seller
from shop.orders.models import Order
from tenants.models import Cafeteria
from tests.emulator.process import Emulator
from tests.payments.application import connected
from tests.payments.till import Till, open_till
from tests.world import World

D = Decimal


class Run:
    """What a job is handed, for jobs that only say how far they are."""

    def __init__(self, cafeteria: Any = None) -> None:
        self.cafeteria = cafeteria
        self.said: list[str] = []

    def check_cancelled(self) -> None:
        pass

    def progress(self, fraction: float, message: str = "") -> None:
        self.said.append(message)


@pytest.fixture
def till(world: World, emulator: Emulator) -> Till:
    found = open_till(world.a, emulator)
    Seller.objects.update(connected_at=timezone.now() - timedelta(days=30))
    return found


def today(till: Till) -> date:
    ref = till.place.ref
    return business_date(timezone.now(), zone=ref.zone, cutoff=ref.day_cutoff)


def stated(till: Till, day: date | None = None) -> DayStatement:
    statement = days.state_day(cafeteria_uuid=till.uuid, day=day or today(till))
    assert statement is not None
    return statement


def sold(till: Till, *, quantity: int = 1, told: bool = True) -> tuple[Order, str]:
    order = till.order(quantity=quantity)
    mp_id = till.pay(till.checkout(order))
    if told:
        till.told(mp_id)
    return order, mp_id


def open_alerts(kind: str) -> int:
    return Alert.objects.filter(kind=kind, resolved_at=None).count()


def test_a_day_that_agrees(till: Till) -> None:
    sold(till, quantity=2)
    _, mp_id = sold(till)
    till.emulator.transition(mp_id, "partially_refunded", amount=400)
    till.told(mp_id)
    statement = stated(till)
    assert (statement.state, statement.differences, statement.count) == ("agrees", [], 2)
    fees = D("188.70")
    assert (statement.their_payments, statement.their_refunds, statement.their_fees) == (D("3000.00"), D("400.00"), fees)
    assert (statement.our_payments, statement.our_refunds, statement.our_fees) == (D("3000.00"), D("400.00"), fees)
    assert statement.their_net == statement.our_net == D("2411.30")


def test_what_nobody_has_told_is_taken_in(till: Till) -> None:
    order, _ = sold(till, told=False)
    _, refunded = sold(till)
    till.emulator.transition(refunded, "refunded")
    statement = stated(till)
    assert (statement.state, statement.count, statement.our_refunds) == ("agrees", 2, D("1000.00"))
    assert till.now(order).payment_status == "paid"


def test_a_day_without_payments_was_asked_for(till: Till) -> None:
    statement = stated(till)
    assert (statement.state, statement.count, statement.their_net) == ("agrees", 0, D(0))


def test_other_sales_of_the_account_are_none_of_ours(till: Till) -> None:
    payment = till.checkout(till.order())
    till.pay(payment, external_reference="kiosk-7")
    statement = stated(till)
    assert (statement.state, statement.count, statement.their_payments) == ("agrees", 0, D(0))


def test_one_account_of_two_cafeterias(world: World, till: Till) -> None:
    """The neighbour's payments are not missing here, and the neighbour sees its own."""
    other = open_till(world.b, till.emulator)
    token = Seller.objects.get(cafeteria_uuid=till.uuid)
    Seller.objects.filter(pk=other.seller.pk).update(
        mp_user_id=token.mp_user_id, sealed_access_token=token.sealed_access_token, connected_at=token.connected_at
    )
    other.seller.refresh_from_db()
    sold(till)
    sold(other, quantity=3)
    assert (stated(till).state, stated(till).their_payments) == ("agrees", D("1000.00"))
    assert (stated(other).state, stated(other).their_payments) == ("agrees", D("3000.00"))


def test_money_for_a_payment_that_we_do_not_have(till: Till) -> None:
    till.pay(till.checkout(till.order()), external_reference="cmd-of-nobody")
    statement = stated(till)
    assert statement.state == "differs"
    [difference] = statement.differences
    assert (difference["kind"], difference["theirs"], difference["ours"]) == ("missing_here", "1000.00", "0.00")
    assert (statement.their_payments, statement.our_payments) == (D("1000.00"), D(0))
    assert open_alerts(days.DIFFERS) == 1


def test_an_entry_that_mercado_pago_does_not_have(till: Till) -> None:
    order, mp_id = sold(till)
    Charge.objects.filter(mp_id=mp_id).update(mp_id="404404")
    statement = stated(till)
    kinds = {difference["mp_id"]: difference["kind"] for difference in statement.differences}
    assert kinds["404404"] == "missing_there"
    assert kinds.get(mp_id, "") != "missing_there"
    assert next(found["order_number"] for found in statement.differences if found["mp_id"] == "404404") == order.number


def test_what_the_search_does_not_find_is_looked_up(till: Till) -> None:
    """Its time here lies in another day than there: the search of this day knows nothing of it."""
    _, mp_id = sold(till)
    charge = Charge.objects.get(mp_id=mp_id)
    assert charge.approved_at
    before = today(till) - timedelta(days=1)
    write_entry(charge, at=charge.approved_at - timedelta(days=1), day=before, amount="0.01", key="stray")
    statement = stated(till, before)
    assert [difference["kind"] for difference in statement.differences] == ["amount"]
    assert (statement.differences[0]["theirs"], statement.differences[0]["ours"]) == ("1000.00", "1000.01")


def write_entry(charge: Charge, *, at: datetime, day: date, amount: str, key: str, kind: str = "payment", fee: str = "0") -> None:
    payment = charge.payment
    LedgerEntry.objects.create(
        cafeteria_uuid=payment.cafeteria_uuid,
        order_key=payment.order_key,
        order_id=payment.order_id,
        payment=payment,
        charge=charge,
        key=key,
        kind=kind,
        method="mercadopago",
        amount=amount,
        fee=fee,
        currency=charge.currency,
        at=at,
        business_date=day,
        recorded_at=at,
    )


@pytest.mark.parametrize(
    ("kind", "amount", "fee", "found"),
    [
        ("payment", "1.00", "0", [("amount", "1000.00", "1001.00")]),
        ("refund", "-5.00", "0", [("refunded", "0.00", "5.00")]),
        ("adjustment", "0", "0.50", [("fee", "62.90", "63.40")]),
    ],
    ids=["amount", "refunded", "fee"],
)
def test_each_difference_is_named(till: Till, kind: str, amount: str, fee: str, found: list[tuple[str, ...]]) -> None:
    _, mp_id = sold(till)
    charge = Charge.objects.get(mp_id=mp_id)
    write_entry(charge, at=timezone.now(), day=today(till), amount=amount, key=f"stray-{kind}", kind=kind, fee=fee)
    statement = stated(till)
    assert statement.state == "differs"
    assert [(difference["kind"], difference["theirs"], difference["ours"]) for difference in statement.differences] == found


def test_it_agrees_again(till: Till) -> None:
    _, mp_id = sold(till)
    charge = Charge.objects.get(mp_id=mp_id)
    write_entry(charge, at=timezone.now(), day=today(till), amount="1.00", key="wrong")
    assert stated(till).state == "differs"
    assert open_alerts(days.DIFFERS) == 1
    write_entry(charge, at=timezone.now(), day=today(till), amount="-1.00", key="put right")
    assert stated(till).state == "agrees"
    assert open_alerts(days.DIFFERS) == 0


def test_what_waits_for_a_decision_is_a_difference_until_it_is_gone(till: Till) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order), amount=999)
    till.told(mp_id)
    statement = stated(till)
    [difference] = statement.differences
    assert (difference["kind"], difference["why"], difference["theirs"]) == ("review", "amount", "999.00")
    till.emulator.transition(mp_id, "refunded")
    assert (stated(till).state, stated(till).their_payments) == ("agrees", D(0))


def test_another_currency_has_no_place_in_the_sums(till: Till) -> None:
    till.told(till.pay(till.checkout(till.order()), currency="BRL"))
    statement = stated(till)
    assert (statement.state, statement.their_payments, statement.differences[0]["currency"]) == ("differs", D(0), "BRL")


def test_what_a_bank_took_back_went_back(till: Till) -> None:
    _, mp_id = sold(till)
    till.emulator.transition(mp_id, "charged_back")
    statement = stated(till)
    assert (statement.state, statement.their_refunds, statement.our_refunds) == ("agrees", D("1000.00"), D("1000.00"))


@pytest.mark.parametrize("kind", ["status_500", "truncated_json"])
def test_an_error_is_no_day_without_payments(till: Till, kind: str) -> None:
    sold(till)
    assert stated(till).their_payments == D("1000.00")
    till.emulator.fault(kind, None)
    failed = stated(till)
    assert (failed.state, failed.error, failed.their_payments) == ("failed", "payments_unavailable", D("1000.00"))
    assert open_alerts(days.UNASKED) == 1
    till.emulator.control("DELETE", "/_emu/faults")
    assert (stated(till).state, stated(till).error) == ("agrees", "")
    assert open_alerts(days.UNASKED) == 0


def test_a_refused_token_is_no_day_without_payments(till: Till) -> None:
    till.emulator.control("POST", f"/_emu/sellers/{till.seller.mp_user_id}/deauthorize")
    failed = stated(till)
    assert (failed.state, failed.error, failed.count) == ("failed", "needs_reconnect", 0)
    assert Seller.objects.get(pk=till.seller.pk).status == "needs_reconnect"
    assert days.state_day(cafeteria_uuid=till.uuid, day=today(till)) is None  # Nobody is connected, and nothing was sold.


def test_an_account_that_was_left_still_answers_for_its_days(till: Till) -> None:
    sold(till)
    Seller.objects.filter(pk=till.seller.pk).update(status="disconnected")
    connected(till.emulator, till.uuid, nickname="NUEVA")
    statement = stated(till)
    assert (statement.state, statement.their_payments) == ("agrees", D("1000.00"))


def test_more_than_a_page_in_one_moment(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as a search answers at once, and more of the same moment than a page holds."""
    monkeypatch.setattr("payments.gateway.mercadopago.PAGE", 2)
    monkeypatch.setattr(days, "PAGE", 2)
    monkeypatch.setattr(days, "AT_A_TIME", 3)
    for _ in range(7):
        sold(till, told=False)
    statement = stated(till)
    assert (statement.state, statement.count, statement.our_payments) == ("agrees", 7, D("7000.00"))


def test_the_day_ends_at_the_cafeterias_cutoff(till: Till) -> None:
    """A payment belongs to the day of its moment by the cafeteria's clock: the day before it knows nothing of it."""
    sold(till)
    day = today(till)
    assert stated(till, day - timedelta(days=1)).count == 0
    assert stated(till, day + timedelta(days=1)).count == 0
    assert stated(till, day).count == 1


def test_a_cutoff_that_was_moved(till: Till) -> None:
    """The entry keeps the day that it was written under; the statement goes by the moment."""
    _, mp_id = sold(till)
    charge = Charge.objects.get(mp_id=mp_id)
    assert charge.approved_at
    local = charge.approved_at.astimezone(till.place.ref.zone)
    later = (local + timedelta(minutes=1)).time().replace(second=0, microsecond=0)
    if later < local.time():  # midnight is near
        later = time(23, 59)
    Cafeteria.objects.filter(uuid=till.uuid).update(day_cutoff=later)
    day = business_date(charge.approved_at, zone=till.place.ref.zone, cutoff=later)
    assert (stated(till, day).state, stated(till, day).count) == ("agrees", 1)
    after = stated(till, day + timedelta(days=1))
    assert (after.state, after.count) == ("agrees", 0)


def test_which_days_are_due(till: Till) -> None:
    ref, day = till.place.ref, today(till)
    now = business_span(day, zone=ref.zone, cutoff=ref.day_cutoff)[0]
    wanted = [day - timedelta(days=number) for number in range(1, 8)]
    assert days.due_days(ref, now=now) == wanted
    keep = {"cafeteria_uuid": ref.uuid, "currency": "ARS"}
    DayStatement.objects.create(**keep, business_date=wanted[0], state="agrees", checked_at=now)
    DayStatement.objects.create(**keep, business_date=wanted[1], state="differs", checked_at=now)
    DayStatement.objects.create(**keep, business_date=wanted[2], state="failed", checked_at=now)
    DayStatement.objects.create(**keep, business_date=wanted[3], state="agrees", checked_at=now - timedelta(days=5))  # before its end
    assert days.due_days(ref, now=now) == wanted[1:]
    before = now - timedelta(seconds=1)
    assert days.due_days(ref, now=before)[0] == wanted[1]


def test_the_job_states_every_cafeterias_days(world: World, till: Till) -> None:
    other = open_till(world.b, till.emulator)
    Seller.objects.update(connected_at=timezone.now() - timedelta(days=30))
    gone = connected(till.emulator, world.b.ref.uuid, nickname="X")
    Seller.objects.filter(pk=gone.pk).update(cafeteria_uuid=uuid4())
    run = Run()
    counted = jobs.state_days(run)  # type: ignore[arg-type]
    assert counted == {"cafeterias": 3, "agrees": 7, "differs": 0, "failed": 0, "broken": 0}
    assert run.said[-1] == "3 / 3"
    again = jobs.state_days(run)  # type: ignore[arg-type]
    assert again == {"cafeterias": 3, "agrees": 0, "differs": 0, "failed": 0, "broken": 0}
    assert other.seller.pk != till.seller.pk


def test_one_that_fails_keeps_nobody_else_from_being_asked(world: World, till: Till) -> None:
    other = open_till(world.b, till.emulator)
    Seller.objects.update(connected_at=timezone.now() - timedelta(days=30))
    till.emulator.control("POST", f"/_emu/sellers/{till.seller.mp_user_id}/deauthorize")
    counted = jobs.state_days(Run())  # type: ignore[arg-type]
    assert counted == {"cafeterias": 2, "agrees": 7, "differs": 0, "failed": 1, "broken": 0}
    assert DayStatement.objects.filter(cafeteria_uuid=other.uuid, state="agrees").count() == 7


def test_a_database_that_fails_for_one_keeps_nobody_else_from_being_asked(
    world: World, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = open_till(world.b, till.emulator)
    Seller.objects.update(connected_at=timezone.now() - timedelta(days=30))
    whole = days.state_due_days

    def broken(cafeteria_uuid: Any) -> list[DayStatement]:
        if cafeteria_uuid == till.uuid:
            raise OperationalError("deadlock detected")
        return whole(cafeteria_uuid)

    monkeypatch.setattr(days, "state_due_days", broken)
    counted: Any = jobs.state_days(Run())  # type: ignore[arg-type]
    assert (counted["broken"], counted["agrees"]) == (1, 7)
    assert DayStatement.objects.filter(cafeteria_uuid=other.uuid).count() == 7


def test_a_silent_mercado_pago_is_asked_later(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "SILENCES", 1)
    till.emulator.fault("status_500", None)
    with pytest.raises(JobPostponed):
        jobs.state_days(Run())  # type: ignore[arg-type]
    assert [statement.state for statement in DayStatement.objects.all()] == ["failed"]


def test_one_day_again_because_somebody_asked(till: Till) -> None:
    sold(till)
    assert jobs.state_day(Run(till.place.ref), day=today(till).isoformat()) == {"state": "agrees"}  # type: ignore[arg-type]
    assert jobs.state_day(Run(till.place.ref), day="2020-01-01") == {"state": None}  # type: ignore[arg-type]
    assert datetime.now(UTC) - DayStatement.objects.get().checked_at < timedelta(minutes=1)


def test_a_closed_cafeteria_is_left_in_peace(till: Till) -> None:
    Cafeteria.objects.filter(uuid=till.uuid).update(status="closed")
    assert days.state_due_days(till.uuid) == []
