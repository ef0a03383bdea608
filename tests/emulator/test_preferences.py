from typing import Any

import pytest

from tests.emulator.conftest import Merchant, new_merchant, preference_body
from tests.emulator.process import Emulator


def test_a_preference_is_made_shown_and_changed(merchant: Merchant) -> None:
    made = merchant.preference(binary_mode=True, metadata={"order_id": "91"})
    body = made["response"]
    assert made["status"] == 201
    assert body["id"].startswith(f"{merchant.user_id}-")
    assert body["collector_id"] == merchant.user_id
    assert body["init_point"].endswith(f"/checkout/v1/redirect?pref_id={body['id']}")
    assert body["date_created"].endswith("-04:00")
    assert merchant.sdk.preference().get(body["id"], merchant.options())["response"] == body

    ends = {"expires": True, "expiration_date_to": "2026-11-01T12:30:00.000-03:00"}
    changed = merchant.sdk.preference().update(body["id"], ends, merchant.options())["response"]
    assert {name: changed[name] for name in ends} == ends
    assert changed["items"] == body["items"]


def test_preferences_are_found_by_their_reference(merchant: Merchant) -> None:
    wanted = merchant.sells(external_reference="one")
    merchant.sells(external_reference="two")
    found = merchant.sdk.preference().search({"external_reference": "one"}, merchant.options())["response"]
    assert [preference["id"] for preference in found["elements"]] == [wanted]
    assert found["total"] == 1
    assert merchant.sdk.preference().search({}, merchant.options())["response"]["paging"] == {"total": 2, "limit": 30, "offset": 0}


def test_another_sellers_preference_is_not_there(merchant: Merchant) -> None:
    other = new_merchant(merchant.emulator)
    response = other.sdk.preference().get(merchant.sells(), other.options())
    assert response["status"] == 404
    assert response["response"]["cause"][0]["code"] == 2000


ITEM = {"title": "Pedido", "quantity": 1, "currency_id": "ARS", "unit_price": 10}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no items": ({"items": []}, "invalid_items"),
    "items that are text": ({"items": "one"}, "invalid_items"),
    "no title": ({"items": [{**ITEM, "title": ""}]}, "invalid_items"),
    "no quantity": ({"items": [{**ITEM, "quantity": 0}]}, "invalid_items"),
    "another currency": ({"items": [{**ITEM, "currency_id": "BRL"}]}, "invalid_items"),
    "free": ({"items": [{**ITEM, "unit_price": 0}]}, "invalid_items"),
    "price as text": ({"items": [{**ITEM, "unit_price": "10"}]}, "invalid_unit_price"),
    "three decimals": ({"items": [{**ITEM, "unit_price": 10.125}]}, "invalid_unit_price"),
    "long reference": ({"external_reference": "x" * 65}, "invalid_external_reference"),
    "odd reference": ({"external_reference": "pedido 91"}, "invalid_external_reference"),
    "long descriptor": ({"statement_descriptor": "CAFETERIA LUNA"}, "invalid_statement_descriptor"),
    "odd descriptor": ({"statement_descriptor": "CAFÉ"}, "invalid_statement_descriptor"),
    "number as address": ({"back_urls": {"success": 5}}, "invalid_success"),
    "text as addresses": ({"back_urls": "https://luna.example"}, "invalid_back_urls"),
    "text as methods": ({"payment_methods": "cash"}, "invalid_payment_methods"),
    "text as excluded": ({"payment_methods": {"excluded_payment_types": ["ticket"]}}, "invalid_payment_methods"),
    "items of text": ({"items": ["one"]}, "invalid_items"),
    "true quantity": ({"items": [{**ITEM, "quantity": True}]}, "invalid_items"),
    "true price": ({"items": [{**ITEM, "unit_price": True}]}, "invalid_unit_price"),
    "no address": ({"back_urls": {"success": "luna"}}, "invalid_success"),
    "odd auto_return": ({"auto_return": "never"}, "invalid_auto_return"),
    "no zone": ({"expiration_date_to": "2026-11-01T12:30:00"}, "invalid_expiration_date_to"),
    "no date": ({"expiration_date_from": "soon"}, "invalid_expiration_date_from"),
    "negative fee": ({"marketplace_fee": -1}, "invalid_marketplace_fee"),
    "fee above the total": ({"marketplace_fee": 5000}, "invalid_marketplace_fee"),
}


@pytest.mark.parametrize(("values", "error"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_wrong_is_refused(merchant: Merchant, values: dict[str, Any], error: str) -> None:
    response = merchant.preference(**values)
    assert (response["status"], response["response"]["error"]) == (400, error)


@pytest.mark.parametrize("url", ["http://luna.example/", "https://localhost/", "https://luna.localhost/", "https://127.0.0.1/", ""])
def test_auto_return_needs_a_public_https_address(merchant: Merchant, url: str) -> None:
    response = merchant.preference(auto_return="approved", back_urls={"success": url})
    message = "auto_return invalid. back_url.success must be defined"
    assert response == {
        "status": 400,
        "response": {"message": message, "error": "invalid_auto_return", "status": 400, "cause": None},
    }
    assert merchant.preference(back_urls={"success": url})["status"] == 201


@pytest.mark.parametrize(("site", "currency"), [("MLC", "CLP"), ("MCO", "COP")])
def test_money_without_decimals_is_whole(emulator: Emulator, site: str, currency: str) -> None:
    merchant = new_merchant(emulator, site)
    prices = {
        price: merchant.preference(items=[{**ITEM, "currency_id": currency, "unit_price": price}])["status"] for price in (990, 990.5)
    }
    assert prices == {990: 201, 990.5: 400}


def test_the_currency_follows_the_site(emulator: Emulator) -> None:
    merchant = new_merchant(emulator, "MLB")
    item = {"title": "Café", "quantity": 2, "unit_price": 7.5}
    payment = emulator.pay(merchant.sells(items=[item]))
    assert (payment["currency_id"], payment["transaction_amount"]) == ("BRL", 15)


def test_a_marketplace_fee_needs_the_token_of_a_connection(emulator: Emulator) -> None:
    seller = emulator.seller()
    alone = Merchant(emulator, seller["user_id"], seller["access_token"], "")
    assert alone.preference(marketplace_fee=90.0)["response"]["error"] == "invalid_marketplace_fee"
    connected = Merchant(emulator, seller["user_id"], emulator.connect(seller["user_id"])["access_token"], "")
    assert connected.preference(marketplace_fee=90.0)["status"] == 201


def test_the_same_key_and_body_is_answered_as_before(merchant: Merchant) -> None:
    first, again = merchant.preference(key="attempt-1"), merchant.preference(key="attempt-1")
    assert again == first
    assert merchant.preference(key="attempt-2")["response"]["id"] != first["response"]["id"]


def test_the_same_key_with_another_body_is_a_conflict(merchant: Merchant) -> None:
    merchant.preference(key="attempt-1")
    assert merchant.preference(key="attempt-1", external_reference="another")["status"] == 409


def test_a_key_belongs_to_its_seller(merchant: Merchant) -> None:
    other = new_merchant(merchant.emulator)
    assert merchant.preference(key="attempt-1")["response"]["id"] != other.preference(key="attempt-1")["response"]["id"]


def test_a_refused_request_does_not_use_its_key_up(merchant: Merchant) -> None:
    assert merchant.preference(key="attempt-1", items=[])["status"] == 400
    assert merchant.preference(key="attempt-1")["status"] == 201


def test_an_item_takes_the_sites_currency_when_it_names_none(merchant: Merchant) -> None:
    body = preference_body(items=[{"title": "Café", "quantity": 1, "unit_price": 10}])
    assert merchant.preference(**body)["response"]["items"][0]["currency_id"] == "ARS"
