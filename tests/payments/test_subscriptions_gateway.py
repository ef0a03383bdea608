"""The platform's own account at Mercado Pago, against the emulator's process."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from payments.gateway import transport
from payments.gateway.errors import ChargeNotFound, GatewayRefused, GatewayUnavailable
from payments.gateway.subscriptions import PreapprovalRequest, Subscriptions, is_set_up, preapproval_body, read_invoice, read_preapproval
from tests.emulator.process import Emulator
from tests.processes import wait_for

PRICE = Decimal("24900.50")
FAULTS = ["status_500", "status_429", "html_502", "truncated_json", "connection_reset", "commit_then_timeout"]
HASTY = {"commit_then_timeout": 1.0}  # seconds: of the others nobody has to wait for the end
MOMENT = "2026-11-01T12:30:00.000-04:00"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "sleep", lambda _seconds: None)


@pytest.fixture
def platform(emulator: Emulator) -> Subscriptions:
    return Subscriptions()


def request(**changes: Any) -> PreapprovalRequest:
    values = {
        "reference": "sub-1",
        "reason": "Comanda Salón: Café Ñandú",
        "payer_email": "ana@owners.test",
        "back_url": "http://localhost:8000/home/1/plan/agreed",
        "amount": PRICE,
        "currency": "ARS",
    }
    return PreapprovalRequest(**{**values, **changes})


def authorize(emulator: Emulator, mp_id: str, card: str = "approved") -> None:
    emulator.control("POST", f"/_emu/preapprovals/{mp_id}/authorize", {"card": card})


def charge(emulator: Emulator, mp_id: str, outcome: str = "approved") -> str:
    return str(emulator.control("POST", f"/_emu/preapprovals/{mp_id}/charge", {"outcome": outcome})["id"])


def test_a_preapproval_is_agreed_charged_changed_and_ended(emulator: Emulator, platform: Subscriptions) -> None:
    made = platform.create_preapproval(request(), key="key-1")
    assert (made.status, made.reference, made.amount, made.currency) == ("pending", "sub-1", PRICE, "ARS")
    assert made.init_point.endswith(made.mp_id)
    authorize(emulator, made.mp_id)
    invoice = platform.invoice(charge(emulator, made.mp_id))
    assert (invoice.preapproval_id, invoice.status, invoice.payment_status) == (made.mp_id, "processed", "approved")
    assert (invoice.amount, invoice.currency, invoice.retry_attempt, invoice.next_retry_at) == (PRICE, "ARS", 0, None)
    assert platform.invoices(made.mp_id) == [invoice]
    agreed = platform.preapproval(made.mp_id)
    assert agreed.status == "authorized"
    assert agreed.last_modified > made.last_modified
    assert agreed.next_payment_at is not None
    assert agreed.next_payment_at > datetime.now(UTC) + timedelta(days=27)
    assert platform.change_amount(made.mp_id, amount=Decimal(59900), currency="ARS", reason="More").amount == Decimal(59900)
    assert platform.change_status(made.mp_id, "paused").status == "paused"
    assert platform.change_status(made.mp_id, "authorized").status == "authorized"
    assert platform.change_status(made.mp_id, "cancelled").status == "cancelled"
    with pytest.raises(GatewayRefused):
        platform.change_status(made.mp_id, "authorized")


def test_the_same_key_gives_the_same_one_and_the_reference_finds_it(platform: Subscriptions) -> None:
    first, second = (platform.create_preapproval(request(), key="key-1") for _ in range(2))
    assert first.mp_id == second.mp_id
    assert [found.mp_id for found in platform.preapprovals_of("sub-1")] == [first.mp_id]
    assert platform.preapprovals_of("sub-2") == []


def test_free_days_come_before_the_first_payment(platform: Subscriptions) -> None:
    assert preapproval_body(request(free_days=9))["auto_recurring"]["free_trial"] == {"frequency": 9, "frequency_type": "days"}
    assert "free_trial" not in preapproval_body(request())["auto_recurring"]
    made = platform.create_preapproval(request(free_days=9), key="key-9")
    assert made.next_payment_at is not None
    assert timedelta(days=8) < made.next_payment_at - datetime.now(UTC) < timedelta(days=10)


def test_whole_currencies_are_asked_for_without_decimals() -> None:
    recurring = preapproval_body(request(amount=Decimal("24900.00"), currency="CLP"))["auto_recurring"]
    assert (recurring["transaction_amount"], isinstance(recurring["transaction_amount"], int)) == (24900, True)
    with pytest.raises(ValueError, match="decimals"):
        preapproval_body(request(amount=Decimal("0.5"), currency="COP"))


def test_all_pages_of_the_invoices_are_read(emulator: Emulator, platform: Subscriptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payments.gateway.subscriptions.PAGE", 2)
    made = platform.create_preapproval(request(), key="key-1")
    authorize(emulator, made.mp_id)
    charged = [charge(emulator, made.mp_id) for _ in range(5)]
    assert sorted(invoice.mp_id for invoice in platform.invoices(made.mp_id)) == sorted(charged)


@pytest.mark.parametrize("kind", FAULTS)
def test_what_is_not_answered_is_unavailable_never_no_invoices(emulator: Emulator, kind: str) -> None:
    emulator.fault(kind, None, match={"path": "authorized_payments"}, seconds=2.5)
    with pytest.raises(GatewayUnavailable):
        Subscriptions(attempts=1, timeout=HASTY.get(kind, 10.0)).invoices("any")
    wait_for(lambda: len(emulator.entries("request", path="/authorized_payments/search")) == 1)


@pytest.mark.parametrize("kind", FAULTS)
def test_a_preapproval_is_made_once_through_every_fault(emulator: Emulator, platform: Subscriptions, kind: str) -> None:
    emulator.fault(kind, 2, match={"method": "POST", "path": "preapproval"}, seconds=2.5)
    made = Subscriptions(timeout=HASTY.get(kind, 10.0)).create_preapproval(request(), key="key-1")
    wait_for(lambda: len(emulator.entries("request", method="POST", path="/preapproval")) == 3)
    assert [found.mp_id for found in platform.preapprovals_of("sub-1")] == [made.mp_id]


def test_an_unknown_id_is_not_found_and_a_bad_token_is_the_platforms_own_trouble(emulator: Emulator, settings: Any) -> None:
    for call in (Subscriptions().preapproval, Subscriptions().invoice):
        with pytest.raises(ChargeNotFound):
            call("12345")
    settings.MERCADOPAGO_ACCESS_TOKEN = "APP_USR-nobody"
    with pytest.raises(GatewayRefused) as refused:
        Subscriptions().invoices("any")
    assert refused.value.their_code == "unauthorized"
    assert repr(Subscriptions()) == "Subscriptions()"


@pytest.mark.parametrize("token", ["", "APP_USR-x"])
def test_without_a_token_nobody_is_billed(settings: Any, token: str) -> None:
    settings.MERCADOPAGO_ACCESS_TOKEN = token
    assert is_set_up() == bool(token)


PREAPPROVAL = {"id": "a", "status": "pending", "auto_recurring": {"transaction_amount": 1, "currency_id": "ARS"}, "date_created": MOMENT}
INVOICE = {"id": 1, "preapproval_id": "a", "status": "scheduled", "transaction_amount": 1, "currency_id": "ARS", "date_created": MOMENT}


@pytest.mark.parametrize("missing", ["id", "status", "auto_recurring", "date_created"])
def test_a_preapproval_that_cannot_be_read_is_no_answer(missing: str) -> None:
    assert read_preapproval(PREAPPROVAL).last_modified == datetime(2026, 11, 1, 16, 30, tzinfo=UTC)
    with pytest.raises(GatewayUnavailable):
        read_preapproval({name: value for name, value in PREAPPROVAL.items() if name != missing})


@pytest.mark.parametrize("missing", ["id", "preapproval_id", "status", "transaction_amount", "currency_id", "date_created"])
def test_an_invoice_that_cannot_be_read_is_no_answer(missing: str) -> None:
    assert (read_invoice(INVOICE).payment_status, read_invoice(INVOICE).debit_at.day) == ("", 1)
    with pytest.raises(GatewayUnavailable):
        read_invoice({name: value for name, value in INVOICE.items() if name != missing})


@pytest.mark.parametrize("body", [None, [], "text", 5])
def test_what_is_no_object_is_no_answer(body: Any) -> None:
    for read in (read_preapproval, read_invoice):
        with pytest.raises(GatewayUnavailable):
            read(body)
