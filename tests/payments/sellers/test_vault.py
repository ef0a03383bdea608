"""A token that no key opens: lost, or of a process with the wrong keys? Nobody is offered what cannot be paid, none is lost by mistake."""

from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F
from django.utils import timezone

from accounts.models import User
from core.alerts.models import Alert
from core.audit.models import AuditEntry
from core.jobs.models import Job
from core.jobs.periodic import periodic_jobs
from core.jobs.run import Claim, JobRun
from core.vault import fingerprint, new_key, seal
from ops.console.words import trouble_of
from payments.gateway.errors import GatewayUnavailable
from payments.ledger.errors import NotConnected
from payments.ledger.models import Payment, Refund
from payments.ledger.sending import send_refund
from payments.reconciliation.actions import check_payment, sweep_seller
from payments.sellers.actions import NEEDS_RECONNECT, disconnect_seller, finish_connection
from payments.sellers.errors import ConnectionOver, KeysUnknown, TokenLocked
from payments.sellers.jobs import look_over_vault, mail_owner
from payments.sellers.models import Connecting, Seller
from payments.sellers.queries import accepts_online
from payments.sellers.vault import KEYS_UNKNOWN, keys_are_known, look_over_accounts, token_of
from tests.accounts.second_factor.phone import enrolled
from tests.core.identity.test_recovery import mailbox
from tests.core.notices.collectors import Mailbox
from tests.emulator.process import Emulator
from tests.payments.application import connected
from tests.payments.sellers.test_connection import allow, began, finish
from tests.payments.till import Till, open_till
from tests.world import World

__all__ = ["mailbox"]  # a fixture


def run() -> JobRun:
    claim = Claim(job_id=uuid4(), token=uuid4(), kind="x", queue="short", attempt=1, cafeteria_uuid=None, arguments={})
    return JobRun(claim)


def sealed_with_another_key(seller: Seller, settings: Any) -> None:
    """As after a key that was taken out of VAULT_KEYS too early."""
    kept, access, refresh = settings.VAULT_KEYS, seller.access_token, seller.refresh_token
    settings.VAULT_KEYS = [new_key()]
    Seller.objects.filter(pk=seller.pk).update(sealed_access_token=seal(access), sealed_refresh_token=seal(refresh))
    settings.VAULT_KEYS = kept


def looked_over() -> dict[str, Any]:
    found = look_over_vault(run())
    assert isinstance(found, dict)
    return dict(found)


def opened(kind: str) -> list[Alert]:
    return list(Alert.objects.filter(kind=kind, resolved_at=None).order_by("pk"))


def statuses(*sellers: Seller) -> list[tuple[str, str]]:
    return [Seller.objects.values_list("status", "reason").get(pk=seller.pk) for seller in sellers]


def asked(command: str, *arguments: str) -> tuple[str, str]:
    """(what it printed, with what it failed)."""
    out = StringIO()
    try:
        call_command(command, *arguments, stdout=out)
    except CommandError as error:
        return out.getvalue(), str(error)
    return out.getvalue(), ""


# --- One token is lost -------------------------------------------------------------------------------------------------------


def test_a_lost_token_hides_online_payment_before_anybody_has_marked_it(world: World, emulator: Emulator, settings: Any) -> None:
    lost, fine = connected(emulator, world.a.ref.uuid), connected(emulator, world.b.ref.uuid)
    sealed_with_another_key(lost, settings)
    assert (accepts_online(world.a.ref.uuid), accepts_online(world.b.ref.uuid)) == (False, True)
    assert statuses(lost, fine) == [("connected", ""), ("connected", "")]
    assert not opened(KEYS_UNKNOWN)  # the other one opens


def test_the_job_marks_it_and_tells_owner_and_operators(world: World, emulator: Emulator, settings: Any, mailbox: Mailbox) -> None:
    lost, fine = connected(emulator, world.a.ref.uuid), connected(emulator, world.b.ref.uuid)
    sealed_with_another_key(lost, settings)
    found = looked_over()
    assert found == {"accounts": 2, "locked": 1, "marked": 1, "taken_back": 0, "are_known": True, "locked_factors": 0}
    assert statuses(lost, fine) == [("needs_reconnect", "locked"), ("connected", "")]
    [alert] = opened(NEEDS_RECONNECT)
    assert (alert.cafeteria_uuid, alert.severity) == (world.a.ref.uuid, "critical")
    assert "VAULT_KEYS" in alert.detail
    assert AuditEntry.objects.filter(action="payments.needs_reconnect", cafeteria_uuid=world.a.ref.uuid, actor_label="vault").exists()
    [job] = Job.objects.filter(kind="payments.sellers.jobs.mail_owner")
    assert mail_owner(run(), **job.arguments) == {"sent": True}
    [message] = mailbox.mails
    assert message["To"] == User.objects.get(pk=world.owner_a).email
    assert "conectá Mercado Pago de nuevo" in str(message["Subject"])
    assert f"http://{world.a.host}/staff/payments" in message.get_content()
    assert looked_over()["marked"] == 0


def test_whoever_needs_the_token_first_marks_it(world: World, emulator: Emulator, settings: Any) -> None:
    till, _other = open_till(world.a, emulator), connected(emulator, world.b.ref.uuid)
    payment = till.checkout(till.order())
    sealed_with_another_key(till.seller, settings)
    till.seller.refresh_from_db()
    with pytest.raises(TokenLocked):
        check_payment(payment)
    assert statuses(till.seller) == [("needs_reconnect", "locked")]
    with pytest.raises(TokenLocked):
        sweep_seller(till.seller)
    assert len(opened(NEEDS_RECONNECT)) == 1


def test_connecting_again_ends_it(world: World, emulator: Emulator, settings: Any) -> None:
    lost = connected(emulator, world.a.ref.uuid)
    connected(emulator, world.b.ref.uuid)
    sealed_with_another_key(lost, settings)
    look_over_accounts()
    state = began(world.a)
    finish(world.a, state["state"], allow(emulator, state, lost.mp_user_id))
    assert statuses(lost) == [("connected", "")]
    assert accepts_online(world.a.ref.uuid)
    assert not opened(NEEDS_RECONNECT)


def test_a_key_that_comes_back_undoes_the_mark(world: World, emulator: Emulator, settings: Any) -> None:
    lost = connected(emulator, world.a.ref.uuid)
    settings.VAULT_KEYS = [new_key(), *settings.VAULT_KEYS]
    connected(emulator, world.b.ref.uuid)
    both, settings.VAULT_KEYS = settings.VAULT_KEYS, settings.VAULT_KEYS[:1]
    assert look_over_accounts().marked == 1
    settings.VAULT_KEYS = both
    found = look_over_accounts()
    assert (found.taken_back, found.locked) == (1, 0)
    assert statuses(lost) == [("connected", "")]
    assert accepts_online(world.a.ref.uuid)
    assert not opened(NEEDS_RECONNECT)
    assert mail_owner(run(), seller_id=lost.pk) == {"sent": False}  # Nothing is to be done any more.


def test_what_mercado_pago_refuses_is_not_taken_back(world: World, emulator: Emulator) -> None:
    seller = connected(emulator, world.a.ref.uuid)
    Seller.objects.filter(pk=seller.pk).update(status="needs_reconnect", reason="refused")
    assert look_over_accounts().taken_back == 0
    assert statuses(seller) == [("needs_reconnect", "refused")]


def test_the_owner_gets_one_mail_a_day_however_often_it_is_lost_and_found(world: World, emulator: Emulator, settings: Any) -> None:
    lost = connected(emulator, world.a.ref.uuid)
    connected(emulator, world.b.ref.uuid)
    sealed = lost.sealed_access_token
    for _ in range(3):
        sealed_with_another_key(lost, settings)
        assert look_over_accounts().marked == 1
        Seller.objects.filter(pk=lost.pk).update(sealed_access_token=sealed)
        assert look_over_accounts().taken_back == 1
    assert Job.objects.filter(kind="payments.sellers.jobs.mail_owner").count() == 1


# --- The process has keys that nobody knows ----------------------------------------------------------------------------------


def test_wrong_keys_in_one_process_mark_nobody(world: World, emulator: Emulator, settings: Any) -> None:
    sellers = [connected(emulator, place.ref.uuid) for place in (world.a, world.b)]
    right, settings.VAULT_KEYS = settings.VAULT_KEYS, [new_key()]
    assert not keys_are_known()
    assert not any(accepts_online(place.ref.uuid) for place in (world.a, world.b))
    found = look_over_accounts()
    assert (found.locked, found.marked, found.are_known) == (2, 0, False)
    with pytest.raises(KeysUnknown):
        token_of(sellers[0])
    assert statuses(*sellers) == [("connected", "")] * 2
    assert not Job.objects.filter(kind="payments.sellers.jobs.mail_owner").exists()
    [alert] = opened(KEYS_UNKNOWN)  # one, not one for each
    assert (alert.cafeteria_uuid, alert.subject, alert.severity, alert.count) == (None, fingerprint(), "critical", 1)
    assert "--give-up" in str(trouble_of(KEYS_UNKNOWN).remedy)
    settings.VAULT_KEYS = right
    assert all(accepts_online(place.ref.uuid) for place in (world.a, world.b))  # at once, without anybody's doing


def test_its_alert_ends_when_nobody_has_told_of_these_keys_for_a_while(world: World, emulator: Emulator, settings: Any) -> None:
    connected(emulator, world.a.ref.uuid)
    right, settings.VAULT_KEYS = settings.VAULT_KEYS, [new_key()]
    look_over_accounts()
    settings.VAULT_KEYS = right
    look_over_accounts()
    assert len(opened(KEYS_UNKNOWN)) == 1  # The other process may still be there.
    Alert.objects.filter(kind=KEYS_UNKNOWN).update(last_at=F("last_at") - timedelta(hours=1, minutes=1))
    look_over_accounts()
    assert not opened(KEYS_UNKNOWN)


def test_a_process_that_tells_on_counts_at_most_once_a_minute(world: World, emulator: Emulator, settings: Any) -> None:
    connected(emulator, world.a.ref.uuid)
    settings.VAULT_KEYS = [new_key()]
    for _ in range(3):
        assert not accepts_online(world.a.ref.uuid)
    assert [alert.count for alert in opened(KEYS_UNKNOWN)] == [1]
    Alert.objects.filter(kind=KEYS_UNKNOWN).update(last_at=F("last_at") - timedelta(minutes=2))
    accepts_online(world.a.ref.uuid)
    assert [alert.count for alert in opened(KEYS_UNKNOWN)] == [2]


def test_whoever_knows_that_they_are_lost_says_so(world: World, emulator: Emulator, settings: Any) -> None:
    sellers = [connected(emulator, place.ref.uuid) for place in (world.a, world.b)]
    settings.VAULT_KEYS = [new_key()]
    look_over_accounts()
    assert "have to connect again: 2." in asked("rotate_vault_keys", "--give-up")[0]
    assert statuses(*sellers) == [("needs_reconnect", "locked")] * 2
    assert not opened(KEYS_UNKNOWN)
    assert {alert.cafeteria_uuid for alert in opened(NEEDS_RECONNECT)} == {world.a.ref.uuid, world.b.ref.uuid}
    state = began(world.a)
    finish(world.a, state["state"], allow(emulator, state, sellers[0].mp_user_id))
    assert accepts_online(world.a.ref.uuid)
    assert look_over_accounts().are_known


def test_a_connection_through_a_process_with_wrong_keys_marks_no_fleet(world: World, emulator: Emulator, settings: Any) -> None:
    """Its keys have sealed something then, and still open far less than half."""
    model = connected(emulator, world.b.ref.uuid)
    for number in range(3):
        other = Seller.objects.get(pk=model.pk)
        other.pk, other.cafeteria_uuid, other.webhook_key = None, uuid4(), f"key-{number}"
        other.save(force_insert=True)
    settings.VAULT_KEYS = [new_key()]
    connected(emulator, world.a.ref.uuid)
    assert accepts_online(world.a.ref.uuid)
    found = look_over_accounts()
    assert (found.locked, found.marked, found.are_known) == (4, 0, False)


# --- Money under way ---------------------------------------------------------------------------------------------------------


def test_no_order_waits_for_a_payment_that_cannot_begin(till: Till, settings: Any) -> None:
    order = till.order()
    settings.VAULT_KEYS = [new_key()]
    with pytest.raises(NotConnected):
        till.checkout(order)
    assert not Payment.objects.filter(cafeteria_uuid=till.uuid).exists()


def test_a_refund_waits_for_the_keys_and_is_sent_with_them(till: Till, settings: Any) -> None:
    order = till.order()
    payment = till.checkout(order)
    till.told(till.pay(payment))
    payment.refresh_from_db()
    right, settings.VAULT_KEYS = settings.VAULT_KEYS, [new_key()]
    [refund] = till.refund(payment, 100)
    with pytest.raises(GatewayUnavailable):
        send_refund(refund_id=refund.pk)
    assert Refund.objects.get(pk=refund.pk).state == "requested"
    settings.VAULT_KEYS = right
    assert send_refund(refund_id=refund.pk).state == "approved"


def test_a_refund_of_an_account_that_was_left_says_that_it_has_to_be_connected(world: World, emulator: Emulator, settings: Any) -> None:
    till, _other = open_till(world.a, emulator), connected(emulator, world.b.ref.uuid)
    payment = till.checkout(till.order())
    till.told(till.pay(payment))
    payment.refresh_from_db()
    disconnect_seller(cafeteria_uuid=till.uuid, person=world.a.caller("owner"))
    sealed_with_another_key(till.seller, settings)
    [refund] = till.refund(payment, 100)
    with pytest.raises(TokenLocked):
        send_refund(refund_id=refund.pk)
    assert statuses(till.seller) == [("disconnected", "")]


def test_notifications_are_kept_until_the_keys_are_back(till: Till, settings: Any) -> None:
    payment = till.checkout(till.order())
    mp_id = till.pay(payment)
    right, settings.VAULT_KEYS = settings.VAULT_KEYS, [new_key()]
    assert till.told(mp_id).done == 0
    settings.VAULT_KEYS = right
    check_payment(payment)
    payment.refresh_from_db()
    assert payment.status == "paid"


def test_a_connection_whose_verifier_is_lost_begins_anew(world: World, emulator: Emulator, settings: Any) -> None:
    state = began(world.a)
    code = allow(emulator, state, emulator.seller()["user_id"])
    settings.VAULT_KEYS = [new_key()]
    with pytest.raises(ConnectionOver):
        finish_connection(cafeteria_uuid=world.a.ref.uuid, state=state["state"], code=code, person=world.a.caller("owner"))


# --- What operators ask ------------------------------------------------------------------------------------------------------


def test_the_check_names_everything_and_changes_nothing(world: World, emulator: Emulator, settings: Any) -> None:
    fine, lost = connected(emulator, world.b.ref.uuid), connected(emulator, world.a.ref.uuid)
    printed, failed = asked("rotate_vault_keys", "--check")
    assert (failed, fingerprint() in printed) == ("", True)
    enrolled(world.admin)
    sealed_with_another_key(lost, settings)
    printed, failed = asked("rotate_vault_keys", "--check")
    assert f"  {world.a.ref.slug}: {lost.mp_user_id}, connected" in printed
    assert world.b.ref.slug not in printed
    assert "Second factors that no key opens: 0." in printed
    assert "--give-up" in failed
    assert statuses(lost, fine) == [("connected", ""), ("connected", "")]
    settings.VAULT_KEYS = [new_key()]
    printed, failed = asked("rotate_vault_keys", "--check")
    assert "they do not open what was sealed last" in printed
    assert "reset_two_factor" in printed
    assert not Alert.objects.exists()


def test_rotating_forgets_connections_that_nobody_can_end(world: World, emulator: Emulator, settings: Any) -> None:
    began(world.a)
    Connecting.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    settings.VAULT_KEYS = [new_key()]
    assert asked("rotate_vault_keys") == ("Sealed anew: 0.\n", "")


def test_locked_second_factors_are_told_of_until_they_open(world: World, settings: Any) -> None:
    enrolled(world.admin)
    right, settings.VAULT_KEYS = settings.VAULT_KEYS, [new_key()]
    assert looked_over()["locked_factors"] == 1
    [alert] = opened("vault.codes_locked")
    assert (alert.severity, alert.cafeteria_uuid) == ("critical", None)
    assert "reset_two_factor" in str(trouble_of(alert.kind).remedy)
    settings.VAULT_KEYS = right
    assert looked_over()["locked_factors"] == 0
    assert not opened("vault.codes_locked")


def test_the_job_comes_every_quarter_of_an_hour() -> None:
    [job] = [job for job in periodic_jobs() if job.kind == "payments.sellers.jobs.look_over_vault"]
    assert (job.every, job.queue) == (timedelta(minutes=15), "short")
