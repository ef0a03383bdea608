"""The pages as a browser uses them: forms, buttons by their data-testid, redirects."""

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from tests.emulator.conftest import Merchant, new_merchant
from tests.emulator.process import Emulator
from tests.emulator.receiver import Receiver
from tests.emulator.test_subscriptions import RECURRING, Platform


def address(emulator: Emulator, preference: str) -> str:
    return f"{emulator.url}/checkout/v1/redirect?pref_id={preference}"


def press(url: str, action: str) -> requests.Response:
    return requests.post(url, data={"action": action}, allow_redirects=False, timeout=30)


def marks(response: requests.Response) -> list[str]:
    return re.findall(r'data-testid="([^"]+)"', response.text)


def link(response: requests.Response, testid: str) -> str:
    found = re.search(rf'href="([^"]+)" data-testid="{testid}"', response.text)
    assert found, response.text
    return found[1].replace("&amp;", "&")


def told(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def test_the_page_shows_what_is_sold_by_whom_for_how_much(merchant: Merchant) -> None:
    items = [{"title": "Café <b>", "quantity": 2, "unit_price": 1200.25}, {"title": "Medialuna", "quantity": 1, "unit_price": 800}]
    response = requests.get(address(merchant.emulator, merchant.sells(items=items)), timeout=10)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert {"seller", "title", "items", "total", "pay", "reject", "pending", "back", "pay-twice"} == set(marks(response))
    for text in ("Luna", "Café &lt;b&gt;", "ARS 3.200,50", "Medialuna", "Emulador de Mercado Pago", 'lang="es"', "width=device-width"):
        assert text in response.text
    assert "<b>" not in response.text.split("<h1", 1)[1].split("</h1>")[0]


def test_with_auto_return_the_buyer_is_sent_back_at_once(merchant: Merchant) -> None:
    preference = merchant.sells(auto_return="approved")
    response = press(address(merchant.emulator, preference), "pay")
    assert response.status_code == 303
    url = response.headers["Location"]
    assert url.startswith("https://luna.example/volver/success?")
    query = told(url)
    payment = merchant.payment(query["payment_id"])
    assert query == {
        "collection_id": str(payment["id"]),
        "collection_status": "approved",
        "payment_id": str(payment["id"]),
        "status": "approved",
        "external_reference": "t7f3-01J9",
        "payment_type": "credit_card",
        "merchant_order_id": str(payment["order"]["id"]),
        "preference_id": preference,
        "site_id": "MLA",
        "processing_mode": "aggregator",
        "merchant_account_id": "null",
    }


def test_without_auto_return_there_is_a_link(merchant: Merchant) -> None:
    response = press(address(merchant.emulator, merchant.sells()), "pay")
    assert (response.status_code, marks(response)) == (200, ["message", "return"])
    assert told(link(response, "return"))["status"] == "approved"


def test_a_return_address_keeps_its_own_query(merchant: Merchant) -> None:
    preference = merchant.sells(auto_return="all", back_urls={"success": "https://luna.example/?order=91"})
    url = press(address(merchant.emulator, preference), "pay").headers["Location"]
    assert told(url)["order"] == "91"


@pytest.mark.parametrize(("action", "path", "status"), [("reject", "failure", "rejected"), ("pending", "pending", "pending")])
def test_auto_return_approved_sends_only_the_approved_back(merchant: Merchant, action: str, path: str, status: str) -> None:
    response = press(address(merchant.emulator, merchant.sells(auto_return="approved")), action)
    assert response.status_code == 200
    url = link(response, "return")
    assert url.startswith(f"https://luna.example/volver/{path}?")
    assert told(url)["status"] == status
    everything = press(address(merchant.emulator, merchant.sells(auto_return="all")), action)
    assert everything.headers["Location"].startswith(f"https://luna.example/volver/{path}?")


def test_after_a_rejection_another_card_pays_in_the_same_checkout(merchant: Merchant) -> None:
    preference = merchant.sells(external_reference="again")
    url = address(merchant.emulator, preference)
    rejected = press(url, "reject")
    assert {"message", "pay", "return"} <= set(marks(rejected))
    press(url, "pay")
    found = merchant.sdk.payment().search({"external_reference": "again", "criteria": "asc"}, merchant.options())["response"]["results"]
    assert [payment["status"] for payment in found] == ["rejected", "approved"]
    assert len({payment["order"]["id"] for payment in found}) == 1


def test_pay_twice_pays_twice(merchant: Merchant) -> None:
    press(address(merchant.emulator, merchant.sells(external_reference="twice")), "pay-twice")
    found = merchant.sdk.payment().search({"external_reference": "twice"}, merchant.options())["response"]["results"]
    assert [payment["status"] for payment in found] == ["approved", "approved"]


def test_where_cash_is_excluded_what_is_pending_is_under_review(merchant: Merchant) -> None:
    methods = {"excluded_payment_types": [{"id": "ticket"}, {"id": "atm"}]}
    response = press(address(merchant.emulator, merchant.sells(payment_methods=methods)), "pending")
    assert told(link(response, "return"))["status"] == "in_process"


def test_binary_mode_knows_no_pending(merchant: Merchant) -> None:
    url = address(merchant.emulator, merchant.sells(binary_mode=True))
    assert 'data-testid="pending" disabled' in requests.get(url, timeout=10).text
    assert press(url, "pending").status_code == 400
    assert press(url, "dance").status_code == 400


def test_back_pays_nothing(merchant: Merchant) -> None:
    url = press(address(merchant.emulator, merchant.sells()), "back").headers["Location"]
    query = told(url)
    assert url.startswith("https://luna.example/volver/failure?")
    assert (query["payment_id"], query["status"], query["external_reference"]) == ("null", "null", "t7f3-01J9")
    assert merchant.sdk.payment().search({}, merchant.options())["response"]["paging"]["total"] == 0


def test_a_shop_without_addresses_gets_nobody_back(merchant: Merchant) -> None:
    url = address(merchant.emulator, merchant.sells(back_urls={}))
    assert [marks(press(url, action)) for action in ("pay", "back")] == [["message"], ["message"]]


def test_an_expired_preference_shows_an_error(merchant: Merchant) -> None:
    preference = merchant.sells()
    expired = {"expires": True, "expiration_date_to": "2020-01-01T00:00:00.000-03:00"}
    merchant.sdk.preference().update(preference, expired, merchant.options())
    url = address(merchant.emulator, preference)
    for response in (requests.get(url, timeout=10), press(url, "pay")):
        assert (response.status_code, marks(response)) == (410, ["message", "return"])
    pays = {"preference_id": preference}
    assert merchant.emulator.request("POST", "/_emu/payments", pays).status_code == 400
    assert merchant.emulator.pay(preference, force=True)["status"] == "approved"


def test_a_preference_expires_and_begins_by_the_clock(merchant: Merchant) -> None:
    now = merchant.emulator.control("GET", "/_emu/state")["now"]
    begins = merchant.sells(expires=True, expiration_date_from="2999-01-01T00:00:00.000-03:00")
    ends = merchant.sells(expires=True, expiration_date_to=f"{int(now[:4]) + 1}{now[4:].replace('-02-29', '-02-28')}")
    statuses = [requests.get(address(merchant.emulator, preference), timeout=10).status_code for preference in (begins, ends)]
    assert statuses == [410, 200]
    merchant.emulator.advance(days=367)
    assert requests.get(address(merchant.emulator, ends), timeout=10).status_code == 410


def test_an_unknown_preference_is_an_error(emulator: Emulator) -> None:
    url = address(emulator, "none")
    assert [requests.get(url, timeout=10).status_code, press(url, "pay").status_code] == [404, 404]


def test_the_webhook_may_come_before_the_redirect(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.settings(**{"return": "webhook_before_redirect"})
    press(address(notified.emulator, notified.sells()), "pay")
    assert len(receiver.received) == 2


def test_the_redirect_may_come_before_the_webhook(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.settings(**{"return": "redirect_before_webhook", "return_delay": 600})
    assert press(address(notified.emulator, notified.sells(auto_return="approved")), "pay").status_code == 303
    assert receiver.received == []
    notified.emulator.advance(seconds=600)
    assert len(receiver.received) == 2


def test_the_buyer_may_close_the_tab(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.settings(**{"return": "close_tab"})
    response = press(address(notified.emulator, notified.sells(auto_return="approved")), "pay")
    assert (response.status_code, marks(response)) == (200, ["message"])
    receiver.wait(2)


def test_by_hand_nobody_waits_for_the_webhook(notified: Merchant, receiver: Receiver) -> None:
    notified.emulator.settings(webhooks="manual")
    assert press(address(notified.emulator, notified.sells()), "pay").status_code == 200
    assert receiver.received == []


@pytest.mark.parametrize(("action", "card"), [("confirm", "approved"), ("confirm-bad-card", "rejected")])
def test_a_cafeteria_subscribes(emulator: Emulator, action: str, card: str) -> None:
    platform = Platform(emulator)
    trial = {"frequency": 14, "frequency_type": "days"}
    made = platform.create(auto_recurring={**RECURRING, "free_trial": trial})["response"]
    url = f"{emulator.url}/subscriptions/checkout?preapproval_id={made['id']}"
    shown = requests.get(url, timeout=10)
    assert marks(shown) == ["title", "total", "confirm", "confirm-bad-card", "back"]
    assert "ARS 29.900,00" in shown.text
    assert "Gratis los primeros 14 días" in shown.text
    response = press(url, action)
    assert response.headers["Location"] == f"https://luna.example/plan?preapproval_id={made['id']}"
    assert platform.get(made["id"])["status"] == "authorized"
    assert [requests.get(url, timeout=10).status_code, press(url, action).status_code] == [404, 404]
    emulator.settings(billing="auto")
    emulator.advance(days=15)
    assert platform.invoices(made["id"])[0]["payment"]["status"] == card


def test_a_cafeteria_that_goes_back_has_not_subscribed(emulator: Emulator) -> None:
    platform = Platform(emulator)
    made: dict[str, Any] = platform.create()["response"]
    press(f"{emulator.url}/subscriptions/checkout?preapproval_id={made['id']}", "back")
    assert platform.get(made["id"])["status"] == "pending"


def test_prices_are_written_as_their_country_does(emulator: Emulator) -> None:
    merchant = new_merchant(emulator, "MLC")
    response = requests.get(address(emulator, merchant.sells(items=[{"title": "Café", "quantity": 1, "unit_price": 12990}])), timeout=10)
    assert "CLP 12.990<" in response.text
