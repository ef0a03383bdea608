from typing import Any

import mercadopago
import pytest
from mercadopago.config import RequestOptions

from tests.emulator.conftest import new_merchant
from tests.emulator.process import Emulator, PrefixedClient
from tests.emulator.receiver import Receiver
from tests.emulator.test_webhooks import is_signed

RECURRING = {"frequency": 1, "frequency_type": "months", "transaction_amount": 29900, "currency_id": "ARS"}
BODY = {"reason": "Comanda", "external_reference": "tenant-7", "payer_email": "ana@luna.example", "back_url": "https://luna.example/plan"}


class Platform:
    """The platform's own account, which bills cafeterias."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.token = emulator.environment["MERCADOPAGO_ACCESS_TOKEN"]
        self.sdk: Any = mercadopago.SDK(self.token, http_client=PrefixedClient(emulator.url))

    def options(self) -> RequestOptions:
        return RequestOptions(access_token=self.token, connection_timeout=10.0, retry_on=[])

    def create(self, **values: Any) -> Any:
        body = {**BODY, "auto_recurring": RECURRING, "status": "pending", **values}
        return self.sdk.preapproval().create({name: value for name, value in body.items() if value is not None}, self.options())

    def subscribes(self, card: str = "approved", **values: Any) -> str:
        """The id of one that has been authorized."""
        identifier = str(self.create(**values)["response"]["id"])
        self.emulator.control("POST", f"/_emu/preapprovals/{identifier}/authorize", {"card": card})
        return identifier

    def charge(self, identifier: str, outcome: str = "approved") -> dict[str, Any]:
        return dict(self.emulator.control("POST", f"/_emu/preapprovals/{identifier}/charge", {"outcome": outcome}))

    def get(self, identifier: str) -> dict[str, Any]:
        return dict(self.sdk.preapproval().get(identifier, self.options())["response"])

    def update(self, identifier: str, **values: Any) -> Any:
        return self.sdk.preapproval().update(identifier, values, self.options())

    def invoices(self, identifier: str) -> list[dict[str, Any]]:
        return list(self.sdk.invoice().search({"preapproval_id": identifier}, self.options())["response"]["results"])


@pytest.fixture
def platform(emulator: Emulator) -> Platform:
    return Platform(emulator)


def test_a_preapproval_waits_for_its_payer(platform: Platform) -> None:
    response = platform.create(auto_recurring={**RECURRING, "free_trial": {"frequency": 14, "frequency_type": "days"}})
    made = response["response"]
    assert (response["status"], made["status"]) == (201, "pending")
    assert made["init_point"].endswith(f"/subscriptions/checkout?preapproval_id={made['id']}")
    assert (made["external_reference"], made["auto_recurring"]["transaction_amount"]) == ("tenant-7", 29900)
    assert made["next_payment_date"] > made["date_created"]
    assert platform.get(made["id"]) == made
    assert platform.emulator.request("POST", f"/_emu/preapprovals/{made['id']}/charge").status_code == 409


REFUSED: dict[str, dict[str, Any]] = {
    "no reason": {"reason": None},
    "no payer": {"payer_email": None},
    "no e-mail": {"payer_email": "ana"},
    "no address": {"back_url": None},
    "odd address": {"back_url": "luna"},
    "authorized without a card": {"status": "authorized"},
    "nothing recurring": {"auto_recurring": None},
    "no frequency": {"auto_recurring": {**RECURRING, "frequency": 0}},
    "odd unit": {"auto_recurring": {**RECURRING, "frequency_type": "weeks"}},
    "odd trial": {"auto_recurring": {**RECURRING, "free_trial": {"frequency": 14}}},
    "another currency": {"auto_recurring": {**RECURRING, "currency_id": "BRL"}},
    "free": {"auto_recurring": {**RECURRING, "transaction_amount": 0}},
}


@pytest.mark.parametrize("values", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_wrong_is_refused(platform: Platform, values: dict[str, Any]) -> None:
    assert platform.create(**values)["status"] == 400


def test_an_instalment_that_is_paid(platform: Platform) -> None:
    identifier = platform.subscribes()
    before = platform.get(identifier)
    invoice = platform.charge(identifier)
    assert (invoice["status"], invoice["retry_attempt"], invoice["payment"]["status"]) == ("processed", 0, "approved")
    assert platform.sdk.invoice().get(invoice["id"], platform.options())["response"] == invoice
    after = platform.get(identifier)
    assert (after["summarized"]["charged_quantity"], after["summarized"]["charged_amount"]) == (1, 29900)
    assert after["next_payment_date"] > before["next_payment_date"]
    payment = platform.sdk.payment().get(invoice["payment"]["id"], platform.options())["response"]
    assert (payment["operation_type"], payment["external_reference"]) == ("recurring_payment", "tenant-7")


def test_a_decline_is_tried_four_more_times_in_ten_days_and_then_is_processed_and_not_paid(platform: Platform) -> None:
    identifier = platform.subscribes()
    invoice = platform.charge(identifier, "rejected")
    seen = [(invoice["status"], invoice["retry_attempt"], invoice["payment"]["status"])]
    for _ in range(4):
        assert invoice["next_retry_date"]
        platform.emulator.advance(days=2.5)
        invoice = platform.invoices(identifier)[0]
        seen.append((invoice["status"], invoice["retry_attempt"], invoice["payment"]["status"]))
    assert seen == [*(("recycling", attempt, "rejected") for attempt in range(4)), ("processed", 4, "rejected")]
    assert invoice["next_retry_date"] is None
    platform.emulator.advance(days=10)
    assert [invoice["retry_attempt"] for invoice in platform.invoices(identifier)] == [4]


def test_one_leap_of_the_clock_makes_all_retries_at_their_times(platform: Platform) -> None:
    identifier = platform.subscribes()
    platform.charge(identifier, "rejected")
    platform.emulator.advance(days=30)
    invoice = platform.invoices(identifier)[0]
    assert (invoice["status"], invoice["retry_attempt"]) == ("processed", 4)
    filters = {"external_reference": "tenant-7", "criteria": "asc"}
    payments = platform.sdk.payment().search(filters, platform.options())["response"]["results"]
    assert (len(payments), len({payment["date_created"][:10] for payment in payments})) == (5, 5)


def test_a_declined_instalment_can_be_paid_on_the_next_attempt(platform: Platform) -> None:
    identifier = platform.subscribes()
    declined = platform.charge(identifier, "rejected")
    paid = platform.charge(identifier)
    assert (paid["id"], paid["status"], paid["retry_attempt"]) == (declined["id"], "processed", 1)
    assert paid["payment"]["status"] == "approved"
    platform.emulator.advance(days=11)
    assert platform.invoices(identifier) == [paid]


def test_three_declined_instalments_end_the_subscription(platform: Platform) -> None:
    identifier = platform.subscribes()
    for number in range(3):
        assert platform.get(identifier)["status"] == "authorized", number
        platform.charge(identifier, "rejected")
        platform.emulator.advance(days=11)
    assert platform.get(identifier)["status"] == "cancelled"
    assert [invoice["status"] for invoice in platform.invoices(identifier)] == ["processed"] * 3


def test_a_paid_instalment_begins_the_count_anew(platform: Platform) -> None:
    identifier = platform.subscribes()
    for outcome in ("rejected", "rejected", "approved", "rejected"):
        platform.charge(identifier, outcome)
        platform.emulator.advance(days=11)
    assert platform.get(identifier)["status"] == "authorized"


def test_a_pause_stops_the_retries(platform: Platform) -> None:
    identifier = platform.subscribes()
    platform.charge(identifier, "rejected")
    assert platform.update(identifier, status="paused")["response"]["status"] == "paused"
    platform.emulator.advance(days=30)
    assert platform.invoices(identifier)[0]["retry_attempt"] == 0
    platform.update(identifier, status="authorized")
    platform.emulator.advance(seconds=0)
    assert platform.invoices(identifier)[0]["retry_attempt"] == 1


def test_an_end_ends_open_invoices_and_is_final(platform: Platform) -> None:
    identifier = platform.subscribes()
    platform.charge(identifier, "rejected")
    assert platform.update(identifier, status="cancelled")["status"] == 200
    assert platform.invoices(identifier)[0]["status"] == "cancelled"
    assert platform.update(identifier, status="authorized")["status"] == 400
    assert platform.update(identifier, reason="again")["status"] == 400


def test_the_price_can_change_and_the_payer_alone_authorizes(platform: Platform) -> None:
    identifier = str(platform.create()["response"]["id"])
    recurring = {"transaction_amount": 35000, "currency_id": "ARS"}
    changed = platform.update(identifier, auto_recurring=recurring, reason="Comanda Plus")["response"]
    assert (changed["auto_recurring"]["transaction_amount"], changed["reason"]) == (35000, "Comanda Plus")
    assert platform.update(identifier, status="authorized")["status"] == 400
    assert platform.update(identifier, auto_recurring={"currency_id": "BRL"})["status"] == 400
    assert platform.update(identifier, auto_recurring={"transaction_amount": -1})["status"] == 400
    platform.emulator.control("POST", f"/_emu/preapprovals/{identifier}/authorize")
    assert platform.emulator.request("POST", f"/_emu/preapprovals/{identifier}/authorize").status_code == 409
    assert platform.charge(identifier)["transaction_amount"] == 35000


def test_the_clock_charges_by_itself_if_told_to(platform: Platform) -> None:
    platform.emulator.settings(billing="auto")
    trial = {"frequency": 14, "frequency_type": "days"}
    identifier = platform.subscribes(auto_recurring={**RECURRING, "free_trial": trial})
    platform.emulator.advance(days=13)
    assert platform.invoices(identifier) == []
    platform.emulator.advance(days=1)
    assert [invoice["payment"]["status"] for invoice in platform.invoices(identifier)] == ["approved"]
    platform.emulator.advance(days=62)
    assert len(platform.invoices(identifier)) == 3


def test_a_bad_card_ends_it_all_by_itself(platform: Platform) -> None:
    platform.emulator.settings(billing="auto")
    identifier = platform.subscribes(card="rejected", auto_recurring={**RECURRING, "frequency": 30, "frequency_type": "days"})
    platform.emulator.advance(days=90)
    assert platform.get(identifier)["status"] == "cancelled"
    assert [invoice["status"] for invoice in platform.invoices(identifier)] == ["processed"] * 3


def test_the_application_is_told_at_its_own_address_without_a_reference(platform: Platform, receiver: Receiver) -> None:
    platform.emulator.settings(app_webhook_url=receiver.url)
    identifier = platform.subscribes()
    invoice = platform.charge(identifier)
    platform.emulator.flush()
    told = sorted((post.query["type"], post.query["data.id"], post.body["action"]) for post in receiver.received)
    assert told == sorted(
        [
            ("subscription_preapproval", identifier, "created"),
            ("subscription_preapproval", identifier, "updated"),
            ("subscription_authorized_payment", str(invoice["id"]), "created"),
        ]
    )
    assert all(is_signed(post) and "tenant-7" not in str(post.body) for post in receiver.received)


def test_subscriptions_are_found_and_those_of_others_are_not(platform: Platform) -> None:
    identifier, other = platform.subscribes(), new_merchant(platform.emulator)
    platform.create(external_reference="tenant-8")
    invoice = platform.charge(identifier)
    filters = {"external_reference": "tenant-7", "status": "authorized"}
    found = platform.sdk.preapproval().search(filters, platform.options())["response"]
    assert ([preapproval["id"] for preapproval in found["results"]], found["paging"]["total"]) == ([identifier], 1)
    assert other.sdk.preapproval().get(identifier, other.options())["status"] == 404
    assert other.sdk.invoice().get(invoice["id"], other.options())["status"] == 404
    assert other.sdk.invoice().search({"preapproval_id": identifier}, other.options())["response"]["results"] == []


@pytest.mark.parametrize("path", ["authorize", "charge"])
def test_an_outcome_is_approved_or_rejected(platform: Platform, path: str) -> None:
    identifier = platform.create()["response"]["id"]
    body = {"card": "pending", "outcome": "pending"}
    assert platform.emulator.request("POST", f"/_emu/preapprovals/{identifier}/{path}", body).status_code == 400
    assert platform.emulator.request("POST", f"/_emu/preapprovals/none/{path}").status_code == 404
