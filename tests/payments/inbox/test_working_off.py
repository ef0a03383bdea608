from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError
from django.utils import timezone
from structlog.testing import capture_logs

from core.alerts.models import Alert
from core.jobs.models import Job
from core.vault import new_key
from payments.gateway.errors import GatewayUnavailable
from payments.inbox import actions
from payments.inbox.actions import Told, prune_notifications, store_notification, wake_inbox, work_off
from payments.inbox.models import Notification
from payments.ledger.charges import record_charge
from payments.ledger.errors import NotConnected
from payments.ledger.models import Charge, LedgerEntry, Payment
from payments.reconciliation.jobs import check_payments
from payments.sellers.models import Seller
from payments.sellers.queries import accepts_online
from tests.emulator.process import Emulator
from tests.payments.till import Till, long_ago, open_till
from tests.world import World

KIND = "payments.inbox.jobs.work_off"


def rows() -> list[tuple[str, int]]:
    return list(Notification.objects.order_by("id").values_list("state", "attempts"))


def test_of_an_unknown_payment_it_is_logged_and_given_up_after_eight_attempts(till: Till) -> None:
    assert till.notify("999999").status_code == 200
    with capture_logs() as lines:
        found = [till.work() for _ in range(8)]
    assert [worked.later for worked in found] == [1] * 7 + [0]
    assert found[-1].failed == 1
    assert rows() == [("failed", 8)]
    row = Notification.objects.get()
    assert (row.error, row.finished_at is not None) == ("Mercado Pago knows no such payment of this account.", True)
    names = [line["event"] for line in lines]
    assert (names.count("notification_of_unknown"), names.count("notification_given_up")) == (1, 1)
    assert till.work() == actions.Worked()
    assert len(till.emulator.entries("request", path="/v1/payments/999999")) == 8


def test_the_pauses_between_the_attempts_grow_and_each_has_its_job(till: Till) -> None:
    till.notify("999999")
    waits = []
    for attempt in range(7):
        Notification.objects.update(try_after=long_ago(), attempts=attempt)
        begun = timezone.now()
        work_off()
        row = Notification.objects.get()
        waits.append(round((row.try_after - begun).total_seconds()))
        due = Job.objects.filter(kind=KIND).order_by("-id")[0].run_after
        assert row.try_after <= due < row.try_after + timedelta(seconds=1.1)
    assert waits == [5, 15, 45, 135, 405, 1215, 3645]


def test_a_payment_of_the_neighbour_changes_nothing_in_either(till: Till, world: World, emulator: Emulator) -> None:
    sol = open_till(world.b, emulator)
    order = sol.order()
    payment = sol.checkout(order)
    mp_id = sol.pay(payment)
    assert till.notify(mp_id).status_code == 200
    assert till.work().later == 1
    assert (sol.now(order).payment_status, Charge.objects.count(), LedgerEntry.objects.count()) == ("pending", 0, 0)
    asked = emulator.entries("request", path=f"/v1/payments/{mp_id}")
    assert [(entry["user_id"], entry["status"]) for entry in asked] == [(till.seller.mp_user_id, 404)]
    sol.told(mp_id)
    assert sol.now(order).payment_status == "paid"


def test_two_cafeterias_of_one_account_keep_apart(till: Till, world: World) -> None:
    """The key in the address says which; the other one's payment is none of its."""
    twin = Seller.objects.get(pk=till.seller.pk)
    twin.pk, twin.cafeteria_uuid, twin.webhook_key = None, world.b.ref.uuid, "twin"
    twin.save()
    sol = Till(place=world.b, emulator=till.emulator, seller=twin)
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    assert sol.told(mp_id).done == 1
    assert (till.now(order).payment_status, Charge.objects.count(), Alert.objects.count()) == ("pending", 0, 0)


def test_money_for_an_order_that_the_database_has_lost_is_told_until_it_is_given_back(till: Till) -> None:
    payment = till.checkout(till.order())
    mp_id = till.pay(payment)
    Payment.objects.filter(pk=payment.pk).delete()  # as a recovery to a moment before it
    assert till.told(mp_id).done == 1
    alert = Alert.objects.get(kind="payments.unknown", cafeteria_uuid=till.seller.cafeteria_uuid)
    assert (alert.subject, alert.severity, alert.resolved_at) == (mp_id, "critical", None)
    till.emulator.transition(mp_id, "refunded")
    assert till.told(mp_id).done == 1
    alert.refresh_from_db()
    assert alert.resolved_at is not None


def test_what_is_none_of_ours_is_done_with(till: Till) -> None:
    mp_id = till.pay(till.checkout(till.order()), external_reference="from-their-own-shop")
    assert till.told(mp_id).done == 1
    assert not Alert.objects.exists()
    assert (Charge.objects.count(), Notification.objects.get().state) == (0, "done")


def test_many_notifications_of_one_payment_ask_once(till: Till) -> None:
    mp_id = till.pay(till.checkout(till.order()))
    for _ in range(6):
        till.notify(mp_id)
    assert till.work().done == 6
    assert len(till.emulator.entries("request", path=f"/v1/payments/{mp_id}")) == 1


def test_a_chargeback_is_about_its_payments(till: Till) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    till.emulator.transition(mp_id, "charged_back")
    waiting = till.emulator.control("GET", "/_emu/state")["deliveries"]
    [chargeback] = {found["resource"] for found in waiting if found["topic"] == "chargebacks"}
    assert till.notify(chargeback, topic="chargebacks").status_code == 200
    assert till.work().done == 1
    assert till.now(order).payment_status == "charged_back"


@pytest.mark.parametrize("kind", ["status_500", "status_429", "html_502", "truncated_json", "connection_reset"])
def test_a_fault_puts_it_off_and_it_comes_again(till: Till, kind: str) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.notify(mp_id)
    till.emulator.fault(kind, 1, match={"path": "/v1/payments"})
    assert till.work() == actions.Worked(later=1)
    assert (rows(), till.now(order).payment_status) == ([("new", 1)], "pending")
    assert till.work() == actions.Worked(done=1)
    assert (rows(), till.now(order).payment_status) == ([("done", 2)], "paid")


def test_a_revoked_connection_hides_online_payment_and_harms_nobody_else(till: Till, world: World, emulator: Emulator) -> None:
    sol = open_till(world.b, emulator)
    order, theirs = till.order(), sol.order()
    mp_id, other = till.pay(till.checkout(order)), sol.pay(sol.checkout(theirs))
    emulator.control("POST", f"/_emu/sellers/{till.seller.mp_user_id}/deauthorize")
    till.notify(mp_id)
    sol.notify(other)
    worked = till.work()
    assert (worked.later, worked.done) == (1, 1)
    till.seller.refresh_from_db()
    assert till.seller.status == "needs_reconnect"
    assert (accepts_online(till.uuid), accepts_online(sol.uuid)) == (False, True)
    assert till.open_alerts() == [("payments.needs_reconnect", str(till.seller.mp_user_id))]
    assert (till.now(order).payment_status, sol.now(theirs).payment_status) == ("pending", "paid")
    with pytest.raises(NotConnected):
        till.checkout(till.order())
    assert sol.checkout(sol.order()).init_point


def test_a_locked_vault_puts_it_off_and_keeps_nobody_else(till: Till, settings: Any) -> None:
    till.notify("77")
    keys, settings.VAULT_KEYS = settings.VAULT_KEYS, [new_key()]
    store_notification(key=None, told=Told(topic="subscription_preapproval", action="", data_id="a1", user_id=None, request_id=""))
    settings.NOTIFICATION_HANDLERS = {"subscription_preapproval": f"{__name__}.note"}
    HANDLED.clear()
    worked = till.work()
    assert (worked.done, worked.later, HANDLED) == (1, 1, [("subscription_preapproval", "a1")])
    settings.VAULT_KEYS = keys
    assert till.work().later == 1  # an unknown payment, and asked for


def test_what_the_platform_is_told_goes_to_who_wants_it_or_nowhere(till: Till, settings: Any) -> None:
    for topic, handler in (("subscription_preapproval", "note"), ("subscription_authorized_payment", "refuse")):
        store_notification(key=None, told=Told(topic=topic, action="", data_id="a1", user_id=None, request_id=""))
        settings.NOTIFICATION_HANDLERS = {topic: f"{__name__}.{handler}"}
        HANDLED.clear()
        worked = till.work()
        assert (worked.done, worked.later) == ((1, 0) if handler == "note" else (0, 1))
        assert [(topic, "a1")] == HANDLED
    settings.NOTIFICATION_HANDLERS = {}
    assert till.work().done == 1


HANDLED: list[tuple[str, str]] = []


def note(*, topic: str, data_id: str) -> None:
    HANDLED.append((topic, data_id))


def refuse(*, topic: str, data_id: str) -> None:
    note(topic=topic, data_id=data_id)
    raise GatewayUnavailable


def test_a_fault_of_ours_in_one_keeps_nobody_from_the_others(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [till.order() for _ in range(3)]
    mp_ids = [till.pay(till.checkout(order)) for order in orders]

    def poisoned(**facts: Any) -> Any:
        if facts["snapshot"].mp_id == mp_ids[0]:
            raise DataError("value too long")
        return record_charge(**facts)

    monkeypatch.setattr("payments.inbox.actions.record_charge", poisoned)
    for mp_id in mp_ids:
        till.notify(mp_id)
    with capture_logs() as lines:
        assert till.work() == actions.Worked(done=2, later=1)
        assert [till.work().failed for _ in range(7)] == [0] * 6 + [1]
    assert [till.now(order).payment_status for order in orders] == ["pending", "paid", "paid"]
    assert Notification.objects.get(data_id=mp_ids[0]).error == "DataError"
    assert "notification_not_worked_off" in {line["event"] for line in lines}


def test_a_seller_that_is_gone_ends_it(till: Till) -> None:
    till.notify("77")
    Notification.objects.update(seller_id=0)
    assert till.work().done == 1


def test_what_was_claimed_by_a_worker_that_was_killed_comes_again(till: Till) -> None:
    order = till.order()
    till.notify(till.pay(till.checkout(order)))
    Notification.objects.update(try_after=long_ago())
    assert len(actions._claim()) == 1  # and then the machine stops
    assert work_off().done == 0
    Notification.objects.update(claimed_until=long_ago())
    assert work_off().done == 1
    assert (rows(), till.now(order).payment_status) == ([("done", 2)], "paid")


def test_one_job_a_span_whoever_asks(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    Job.objects.filter(kind=KIND).delete()
    monkeypatch.setattr("payments.inbox.actions.time.time", lambda: 1_800_000_000.1)
    for _ in range(5):
        till.notify("77")
    [job] = Job.objects.filter(kind=KIND)
    assert job.run_after.timestamp() == 1_800_000_000.5
    wake_inbox(after=1.0)
    assert sorted(Job.objects.filter(kind=KIND).values_list("idempotency_key", flat=True)) == ["3600000001", "3600000003"]


def test_when_the_time_is_over_another_job_goes_on(till: Till) -> None:
    till.notify("77")
    Job.objects.filter(kind=KIND).delete()
    assert work_off(seconds=0) == actions.Worked()
    assert (rows(), Job.objects.filter(kind=KIND).count()) == ([("new", 0)], 1)


def test_a_lost_job_is_found_by_the_minutes_check(till: Till) -> None:
    till.notify("77")
    Job.objects.filter(kind=KIND).delete()
    Payment.objects.update(next_check_at=None)
    assert check_payments(None) == {"checked": 0, "failed": 0, "expired": 0}  # type: ignore[arg-type]
    assert Job.objects.filter(kind=KIND).count() == 1


def test_what_was_worked_off_long_ago_is_erased(till: Till) -> None:
    for data_id, state, days in (("1", "done", 91), ("2", "failed", 91), ("3", "ignored", 91), ("4", "new", 91), ("5", "done", 89)):
        till.notify(data_id)
        received = timezone.now() - timedelta(days=days)
        Notification.objects.filter(data_id=data_id).update(state=state, received_at=received)
    assert prune_notifications(days=90) == 3
    assert sorted(Notification.objects.values_list("data_id", flat=True)) == ["4", "5"]
    assert Alert.objects.filter(kind="payments.reconciliation").count() == 0
