"""What Mercado Pago tells of subscriptions: in bursts, out of order, and never believed."""

from typing import Any

import pytest

from billing.looking import note_change
from billing.models import Invoice, Preapproval
from billing.records import record_snapshots
from core.audit.models import AuditEntry
from payments.gateway.errors import ChargeNotFound
from payments.gateway.subscriptions import PreapprovalRequest, Subscriptions
from payments.inbox.models import Notification
from tests.billing.desk import BACK, PAYER, Desk

AGREED, BILL = "subscription_preapproval", "subscription_authorized_payment"


def tell(desk: Desk, topic: str, data_id: Any, times: int = 1) -> None:
    assert [desk.notify(topic, str(data_id)) for _ in range(times)] == [200] * times
    desk.work()


def told() -> Notification:
    """The one notification of subscriptions; others of other tests may be there."""
    return Notification.objects.get(topic__in=(AGREED, BILL))


def test_an_agreement_is_taken_in_once_however_often_it_is_told(desk: Desk) -> None:
    row = desk.subscribe()
    desk.agree(row)
    tell(desk, AGREED, row.mp_id, times=6)
    tell(desk, AGREED, row.mp_id)
    assert desk.status == "active"
    assert desk.audited().count("subscription.authorized") == 1
    assert set(Notification.objects.filter(topic=AGREED).values_list("state", flat=True)) == {"done"}
    asked = desk.emulator.entries("request", method="GET", path=f"/preapproval/{row.mp_id}")
    assert len(asked) == 2  # a burst is asked about once


def test_a_bill_is_taken_in_once_however_often_it_is_told(desk: Desk) -> None:
    row = desk.subscribed()
    bill = desk.charge(row)
    tell(desk, BILL, bill["id"], times=3)
    tell(desk, BILL, bill["id"])
    assert desk.invoices() == [("paid", "approved")]
    assert desk.audited().count("subscription.paid") == 1


def test_a_bill_told_before_the_agreement_brings_it_along(desk: Desk) -> None:
    row = desk.subscribe()
    desk.agree(row)
    bill = desk.charge(row)
    tell(desk, BILL, bill["id"])
    row.refresh_from_db()
    assert (row.status, desk.status, desk.invoices()) == ("authorized", "active", [("paid", "approved")])
    tell(desk, AGREED, row.mp_id)
    assert (desk.status, desk.audited().count("subscription.authorized")) == ("active", 1)


def test_the_newest_snapshot_wins(desk: Desk) -> None:
    row = desk.subscribed()
    outside = Subscriptions()
    declined = outside.invoice(str(desk.charge(row, "rejected")["id"]))
    agreed = outside.preapproval(str(row.mp_id))
    paid = outside.invoice(str(desk.charge(row)["id"]))
    paused = outside.change_status(str(row.mp_id), "paused")
    for snapshots, bills in (([paused], [paid]), ([agreed], [declined]), ([paused], [paid])):
        with desk.at():
            record_snapshots(subscription_id=desk.subscription.pk, preapprovals=snapshots, invoices=bills)
        row.refresh_from_db()
        assert (row.status, desk.invoices()) == ("paused", [("paid", "approved")])


def test_processed_is_never_taken_for_paid(desk: Desk) -> None:
    row = desk.subscribed()
    bill = desk.charge(row, "rejected")
    desk.pass_time(days=10)
    tell(desk, BILL, bill["id"])
    assert Subscriptions().invoice(str(bill["id"])).status == "processed"
    assert (desk.invoices(), desk.subscription.paid_until) == ([("unpaid", "rejected")], None)


def test_while_mercado_pago_is_down_a_notification_waits(desk: Desk) -> None:
    row = desk.subscribe()
    desk.agree(row)
    desk.emulator.fault("status_500", None)
    tell(desk, AGREED, row.mp_id)
    assert (desk.status, told().state) == ("trial", "new")
    desk.emulator.control("DELETE", "/_emu/faults")
    desk.work()
    assert (desk.status, told().state) == ("active", "done")


def test_all_dropped_an_hour_finds_it(desk: Desk) -> None:
    row = desk.subscribe()
    desk.agree(row)
    desk.charge(row)
    desk.hour()
    assert (desk.status, desk.invoices()) == ("active", [("paid", "approved")])


@pytest.mark.parametrize("reference", ["", "sub-nonsense", "sub-00000000000000000000000000000001", "order-7"])
def test_what_we_did_not_make_changes_nothing(desk: Desk, reference: str) -> None:
    """The platform's account may have subscriptions of other kinds."""
    desk.subscribe()
    request = PreapprovalRequest(
        reference=reference, reason="Other", payer_email=PAYER, back_url=BACK, amount=desk.account.price, currency="ARS"
    )
    made = Subscriptions().create_preapproval(request, key=f"other-{reference}")
    desk.emulator.control("POST", f"/_emu/preapprovals/{made.mp_id}/authorize", {})
    bill = desk.emulator.control("POST", f"/_emu/preapprovals/{made.mp_id}/charge", {"outcome": "approved"})
    before = AuditEntry.objects.count()
    tell(desk, AGREED, made.mp_id)
    tell(desk, BILL, bill["id"])
    assert (desk.status, Invoice.objects.count(), Preapproval.objects.filter(mp_id=made.mp_id).count()) == ("trial", 0, 0)
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize("topic", [AGREED, BILL])
def test_an_unknown_id_comes_again_a_bounded_number_of_times(desk: Desk, topic: str) -> None:
    with pytest.raises(ChargeNotFound):
        note_change(topic=topic, data_id="404404")
    tell(desk, topic, "404404")
    for _attempt in range(8):
        desk.work()
    assert told().state == "failed"


def test_a_snapshot_of_another_cafeterias_preapproval_is_left_aside(desk: Desk) -> None:
    row = desk.subscribed()
    desk.charge(row)
    outside = Subscriptions()
    agreed, bills = outside.preapproval(str(row.mp_id)), outside.invoices(str(row.mp_id))
    other = type(desk.subscription).objects.create(
        cafeteria_uuid=row.key, plan="house", trial_ends_at=desk.subscription.trial_ends_at, created_at=row.created_at
    )
    with desk.at():
        found = record_snapshots(subscription_id=other.pk, preapprovals=[agreed], invoices=bills)
    assert (found.status, found.paid_until, Invoice.objects.count()) == ("trial", None, 0)
