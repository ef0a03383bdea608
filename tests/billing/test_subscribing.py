"""Trials, subscribing, changing, cancelling: what an owner does, against the emulator's process."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from billing import actions
from billing.errors import AlreadySubscribed, BillingNotSetUp, NotSubscribed, PaymentDue
from billing.models import Invoice, Preapproval, Subscription
from billing.plans import plan_by_code, price_of
from core.jobs.models import Job
from payments.gateway.errors import GatewayRefused, GatewayUnavailable
from payments.gateway.subscriptions import Subscriptions
from tenants.actions import close_cafeteria, open_cafeteria
from tests.billing.desk import BACK, PAYER, Desk, open_desk
from tests.emulator.process import running_emulator
from tests.payments.application import point_to
from tests.world import World


def change(desk: Desk, plan: str) -> Subscription:
    with desk.at():
        return actions.change_plan(cafeteria=desk.cafeteria, plan=plan_by_code(plan), person=desk.owner)


def cancel(desk: Desk) -> Subscription:
    with desk.at():
        return actions.cancel_subscription(cafeteria=desk.cafeteria, person=desk.owner)


def go_free(desk: Desk) -> Subscription:
    with desk.at():
        return actions.choose_free_plan(cafeteria=desk.cafeteria, person=desk.owner)


# --- Trials ------------------------------------------------------------------------------------------------------------------


def test_a_trial_begins_when_a_cafeteria_opens_and_asks_for_no_card(world: World) -> None:
    person = {"email": "new@owners.test", "full_name": "Nueva"}
    cafeteria = open_cafeteria(owner_id=world.owner_a, owner_person=person, name="Nueva")  # type: ignore[arg-type]
    subscription = Subscription.objects.get(cafeteria_uuid=cafeteria.uuid)
    assert (subscription.plan, subscription.status, subscription.preapprovals.count()) == ("house", "trial", 0)
    assert timedelta(days=13, hours=23) < subscription.trial_ends_at - timezone.now() <= timedelta(days=14)


def test_a_trial_that_ends_gives_a_week_and_then_the_site_is_suspended(desk: Desk) -> None:
    desk.pass_time(days=13)
    desk.hour()
    assert (desk.status, desk.alerts()) == ("trial", set())
    desk.pass_time(days=1, minutes=1)
    desk.hour()
    assert (desk.status, desk.site(), desk.alerts()) == ("past_due", 200, {"billing.past_due"})
    desk.pass_time(days=6, hours=23)
    desk.hour()
    assert (desk.status, desk.site()) == ("past_due", 200)
    desk.pass_time(hours=2)
    desk.hour()
    assert (desk.status, desk.site()) == ("suspended", 503)


@pytest.mark.parametrize(("enforced", "token"), [(False, "APP_USR-x"), (True, "")])
def test_where_nobody_can_pay_or_must_a_trial_has_no_end(desk: Desk, settings: Any, enforced: bool, token: str) -> None:
    settings.BILLING_ENFORCED, settings.MERCADOPAGO_ACCESS_TOKEN = enforced, token
    desk.pass_time(days=400)
    desk.hour()
    assert (desk.status, desk.site(), desk.alerts()) == ("trial", 200, set())


def test_a_cafeteria_from_before_there_were_plans_has_a_week_at_least(desk: Desk) -> None:
    Subscription.objects.all().delete()
    desk.pass_time(days=100)
    assert desk.apply_policy()["begun"] >= 2
    desk.hour()
    assert desk.status == "trial"
    with desk.at():
        assert timedelta(days=6) < desk.subscription.trial_ends_at - timezone.now() <= timedelta(days=7)
    assert desk.apply_policy()["begun"] == 0


# --- Subscribing -------------------------------------------------------------------------------------------------------------


def test_what_is_left_of_the_trial_comes_first(desk: Desk) -> None:
    row = desk.subscribe("corner")
    assert (row.status, row.amount, row.currency, row.free_days) == ("pending", Decimal(59900), "ARS", 14)
    assert (desk.status, desk.subscription.plan) == ("trial", "house")  # nothing is agreed yet
    desk.agree(row)
    desk.look()
    assert (desk.status, desk.subscription.plan) == ("active", "corner")
    desk.pass_time(days=10)
    assert desk.look().looked == 1
    assert desk.invoices() == []


def test_a_paid_month_is_covered_to_its_end(desk: Desk) -> None:
    row = desk.subscribed()
    desk.end_trial()
    desk.charge(row)
    desk.hour()
    assert (desk.status, desk.invoices()) == ("active", [("paid", "approved")])
    paid_until = desk.subscription.paid_until
    assert paid_until is not None
    with desk.at():
        assert timedelta(days=27) < paid_until - timezone.now() < timedelta(days=32)
    assert desk.account.next_payment_at is not None


def test_two_taps_make_one_preapproval(desk: Desk) -> None:
    first, second = desk.subscribe(), desk.subscribe()
    assert (first.pk, first.mp_id, first.init_point) == (second.pk, second.mp_id, second.init_point)
    assert len(Subscriptions().preapprovals_of(first.reference)) == 1
    assert len(desk.emulator.entries("request", method="POST", path="/preapproval")) == 1
    assert desk.audited().count("subscription.begun") == 1


def test_killed_before_the_answer_was_kept_the_next_tap_gets_the_same_one(desk: Desk) -> None:
    row = desk.subscribe()
    Preapproval.objects.filter(pk=row.pk).update(mp_id=None, init_point="", status="new", last_modified=None)
    again = desk.subscribe()
    assert (again.pk, again.mp_id, again.init_point) == (row.pk, row.mp_id, row.init_point)
    posts = desk.emulator.entries("request", method="POST", path="/preapproval")
    assert [entry["idempotency_key"] for entry in posts] == [str(row.key)] * 2
    assert len(Subscriptions().preapprovals_of(row.reference)) == 1


@pytest.mark.parametrize("told", [True, False])
def test_killed_before_the_answer_was_kept_and_agreed_all_the_same_it_is_found(desk: Desk, told: bool) -> None:
    row = desk.subscribe()
    desk.agree(row)
    Preapproval.objects.filter(pk=row.pk).update(mp_id=None, init_point="", status="new", last_modified=None)
    if told:
        assert desk.notify("subscription_preapproval", str(row.mp_id)) == 200
        desk.work()
    else:
        desk.look()
    row.refresh_from_db()
    assert (row.status, desk.status, desk.theirs(row)) == ("authorized", "active", "authorized")


@pytest.mark.parametrize("kind", ["status_500", "connection_reset", "truncated_json"])
def test_while_mercado_pago_is_down_nothing_is_lost_and_nothing_is_made_twice(desk: Desk, kind: str) -> None:
    desk.emulator.fault(kind, None, match={"method": "POST", "path": "preapproval"})
    with pytest.raises(GatewayUnavailable):
        desk.subscribe()
    assert desk.status == "trial"
    desk.emulator.control("DELETE", "/_emu/faults")
    row = desk.subscribe()
    assert (row.status, Preapproval.objects.count()) == ("pending", 1)
    assert len(Subscriptions().preapprovals_of(row.reference)) == 1


def test_another_choice_ends_the_one_that_waits(desk: Desk) -> None:
    first = desk.subscribe("house")
    second = desk.subscribe("corner")
    assert second.pk != first.pk
    desk.look()
    assert (desk.theirs(first), desk.theirs(second)) == ("cancelled", "pending")


def test_what_mercado_pago_refuses_is_over_and_the_next_one_is_new(desk: Desk) -> None:
    with pytest.raises(GatewayRefused):
        desk.subscribe(payer="no address")
    row = desk.subscribe()
    assert [found.status for found in Preapproval.objects.order_by("pk")] == ["refused", "pending"]
    assert row.payer_email == PAYER


def test_who_is_subscribed_is_not_charged_by_a_second_one(desk: Desk) -> None:
    desk.subscribed()
    with pytest.raises(AlreadySubscribed):
        desk.subscribe("corner")
    assert len(desk.emulator.entries("request", method="POST", path="/preapproval")) == 1


def test_where_the_platform_has_no_account_nobody_subscribes(desk: Desk, settings: Any) -> None:
    settings.MERCADOPAGO_ACCESS_TOKEN = ""
    with pytest.raises(BillingNotSetUp):
        desk.subscribe()


def test_agreed_after_the_trial_the_first_payment_is_awaited(desk: Desk) -> None:
    desk.end_trial()
    desk.hour()
    assert desk.status == "past_due"
    row = desk.subscribed()
    assert (row.free_days, desk.status) == (0, "pending")
    desk.charge(row)
    desk.look()
    assert (desk.status, desk.subscription.grace_until) == ("active", None)


def test_to_agree_again_and_again_gives_no_more_grace(desk: Desk) -> None:
    desk.end_trial()
    desk.hour()
    grace = desk.subscription.grace_until
    desk.subscribed(card="rejected")
    assert (desk.status, desk.subscription.grace_until) == ("pending", grace)
    desk.pass_time(days=8)
    desk.hour()
    assert (desk.status, desk.site()) == ("suspended", 503)


def test_one_that_is_agreed_late_does_not_go_on_beside_the_newer(desk: Desk) -> None:
    first = desk.subscribe("house")
    second = desk.subscribe("corner")
    desk.agree(first)
    desk.agree(second)
    desk.look()
    desk.look()
    assert (desk.theirs(first), desk.theirs(second), desk.subscription.plan) == ("cancelled", "authorized", "corner")


def test_the_same_month_paid_twice_is_told(desk: Desk) -> None:
    old = desk.subscribed()
    desk.end_trial()
    desk.charge(old)
    desk.look()
    assert desk.alerts() == set()
    new = Preapproval.objects.create(
        subscription=desk.subscription,
        plan="house",
        amount=Decimal(24900),
        currency="ARS",
        reason="Comanda",
        payer_email=PAYER,
        back_url=BACK,
        created_at=timezone.now(),
    )
    actions._made(new)
    desk.agree(new)
    desk.charge(new)
    desk.look()
    assert desk.alerts() == {"billing.double_charge"}


# --- Changing ----------------------------------------------------------------------------------------------------------------


def test_another_plan_holds_at_once_and_costs_from_the_next_payment_on(desk: Desk) -> None:
    row = desk.subscribed("house")
    assert change(desk, "corner").plan == "corner"
    assert desk.charge(row)["transaction_amount"] == 59900
    assert desk.account.price == Decimal(59900)
    assert change(desk, "corner").plan == "corner"


def test_a_change_that_mercado_pago_did_not_answer_goes_on_by_itself(desk: Desk) -> None:
    row = desk.subscribed("house")
    desk.emulator.fault("status_500", None, match={"method": "PUT"})
    with pytest.raises(GatewayUnavailable):
        change(desk, "corner")
    assert (desk.subscription.plan, desk.account.wanted_plan) == ("house", plan_by_code("corner"))
    desk.emulator.control("DELETE", "/_emu/faults")
    desk.look()
    assert (desk.subscription.plan, desk.account.wanted_plan) == ("corner", None)
    assert desk.charge(row)["transaction_amount"] == 59900


def test_without_a_subscription_there_is_nothing_to_change_or_cancel(desk: Desk) -> None:
    with pytest.raises(NotSubscribed):
        change(desk, "corner")
    for row in (None, desk.subscribe()):  # what is not agreed to is no subscription yet
        with pytest.raises(NotSubscribed):
            cancel(desk)
        assert (row is None or desk.theirs(row) == "pending", desk.subscription.cancelled_at) == (True, None)


# --- Ending ------------------------------------------------------------------------------------------------------------------


def test_what_is_cancelled_works_to_the_end_of_what_is_paid(desk: Desk) -> None:
    row = desk.subscribed()
    desk.end_trial()
    desk.charge(row)
    desk.look()
    assert cancel(desk).status == "cancelled"
    assert desk.theirs(row) == "cancelled"
    desk.pass_time(days=27)
    desk.hour()
    assert (desk.status, desk.site()) == ("cancelled", 200)
    desk.pass_time(days=5)
    desk.hour()
    assert (desk.status, desk.site()) == ("suspended", 503)
    new = desk.subscribed()
    desk.charge(new)
    desk.hour()
    assert (desk.status, desk.site()) == ("active", 200)


def test_what_is_cancelled_while_mercado_pago_is_down_ends_later(desk: Desk) -> None:
    row = desk.subscribed()
    desk.emulator.fault("status_500", None)
    cancel(desk)
    assert desk.account.unended
    assert Job.objects.filter(kind="billing.jobs.end_preapproval").exists()
    desk.emulator.control("DELETE", "/_emu/faults")
    assert desk.theirs(row) == "authorized"
    desk.look()
    assert (desk.theirs(row), desk.account.unended, desk.status) == ("cancelled", False, "trial")


def test_who_cancels_and_subscribes_again_pays_only_after_what_is_covered(desk: Desk) -> None:
    row = desk.subscribed()
    desk.end_trial()
    desk.charge(row)
    desk.look()
    cancel(desk)
    desk.pass_time(days=10)
    again = desk.subscribed()
    assert 16 < again.free_days < 23
    assert (desk.status, desk.subscription.cancelled_at) == ("active", None)


def test_cancelled_at_mercado_pago_it_works_to_the_end_and_then_has_grace(desk: Desk) -> None:
    row = desk.subscribed()
    desk.end_trial()
    desk.charge(row)
    Subscriptions().change_status(str(row.mp_id), "cancelled")
    desk.hour()
    assert (desk.status, desk.site()) == ("cancelled", 200)
    desk.pass_time(days=32)
    desk.hour()
    assert (desk.status, desk.site()) == ("past_due", 200)
    desk.pass_time(days=8)
    desk.hour()
    assert (desk.status, desk.site()) == ("suspended", 503)


def test_paused_at_mercado_pago_it_works_to_the_end_and_goes_on_when_it_is_taken_up(desk: Desk) -> None:
    row = desk.subscribed()
    desk.end_trial()
    desk.charge(row)
    Subscriptions().change_status(str(row.mp_id), "paused")
    desk.hour()
    assert (desk.status, desk.account.is_paused, desk.account.next_payment_at) == ("active", True, None)
    desk.pass_time(days=32)
    desk.hour()
    assert desk.status == "past_due"
    Subscriptions().change_status(str(row.mp_id), "authorized")
    desk.charge(row)
    desk.hour()
    assert (desk.status, desk.account.is_paused) == ("active", False)


def test_the_free_plan_follows_what_is_paid_and_lasts(desk: Desk) -> None:
    row = desk.subscribed()
    desk.end_trial()
    desk.charge(row)
    desk.look()
    assert (go_free(desk).plan, desk.subscription.next_plan, desk.theirs(row)) == ("house", "counter", "cancelled")
    desk.pass_time(days=33)
    desk.hour()
    assert (desk.status, desk.subscription.plan, desk.subscription.next_plan) == ("active", "counter", "")
    desk.pass_time(days=100)
    desk.hour()
    assert (desk.status, desk.site(), desk.alerts()) == ("active", 200, set())


def test_the_free_plan_opens_what_a_trials_end_has_closed(desk: Desk) -> None:
    desk.end_trial()
    desk.hour()
    desk.end_grace()
    desk.hour()
    assert desk.site() == 503
    go_free(desk)
    assert (desk.status, desk.subscription.plan, desk.site()) == ("active", "counter", 200)


def test_the_free_plan_is_no_way_out_of_a_month_that_is_owed(desk: Desk) -> None:
    row = desk.subscribed()
    desk.end_trial()
    desk.charge(row, "rejected")
    desk.look()
    with pytest.raises(PaymentDue):
        go_free(desk)
    assert desk.theirs(row) == "authorized"


def test_a_cafeteria_that_is_closed_is_charged_no_more(desk: Desk) -> None:
    row = desk.subscribed()
    close_cafeteria(cafeteria_id=desk.place.ref.id)
    assert desk.apply_policy()["ended"] == 1
    desk.look()
    assert desk.theirs(row) == "cancelled"
    assert desk.apply_policy()["ended"] == 0


# --- Other currencies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("currency", "site", "cents"), [("CLP", "MLC", 0), ("BRL", "MLB", 2)])
def test_a_platform_of_another_country_bills_in_its_currency(
    world: World, settings: Any, tmp_path: Path, currency: str, site: str, cents: int
) -> None:
    settings.PLATFORM_CURRENCY = currency
    with running_emulator(tmp_path, MERCADOPAGO_SITE=site) as emulator:
        point_to(emulator, settings)
        desk = open_desk(world, emulator)
        row = desk.subscribed()
        bill = desk.charge(row)
        desk.look()
    invoice = Invoice.objects.get()
    assert (bill["currency_id"], isinstance(bill["transaction_amount"], int)) == (currency, cents == 0)
    assert (invoice.amount, invoice.currency, price_of(plan_by_code("house")).as_tuple().exponent) == (Decimal(24900), currency, -cents)
