from typing import Any

import pytest
import requests

from tests.emulator.conftest import Merchant
from tests.emulator.process import Emulator


@pytest.mark.parametrize("headers", [{}, {"X-Emulator-Key": "guess"}, {"X-Emulator-Key": "ñ"}], ids=["none", "wrong", "odd"])
def test_nothing_is_done_without_the_key(emulator: Emulator, headers: dict[str, str]) -> None:
    encoded = {name: value.encode() for name, value in headers.items()}
    for method, path in (("GET", "/_emu/state"), ("POST", "/_emu/sellers"), ("DELETE", "/_emu/all")):
        assert requests.request(method, f"{emulator.url}{path}", headers=encoded, timeout=10).status_code == 401
    assert emulator.control("GET", "/_emu/state")["counts"]["seller"] == 1


def test_a_seller_has_a_number_a_name_and_a_token(emulator: Emulator) -> None:
    seller = emulator.seller("MLU", nickname="Sol", user_id=44444)
    assert seller == {
        "user_id": 44444,
        "nickname": "Sol",
        "site_id": "MLU",
        "email": "seller.44444@mercadopago.example",
        "access_token": seller["access_token"],
    }
    assert emulator.request("POST", "/_emu/sellers", {"user_id": 44444}).status_code == 409
    assert emulator.seller()["user_id"] != emulator.seller()["user_id"]


REFUSED: dict[str, tuple[str, dict[str, Any], int]] = {
    "unknown site": ("/_emu/sellers", {"site_id": "MLX"}, 400),
    "odd number": ("/_emu/sellers", {"user_id": "me"}, 400),
    "unknown seller": ("/_emu/sellers/1/authorize", {"client_id": "6004399184"}, 404),
    "another application": ("/_emu/sellers/1/authorize", {"client_id": "1"}, 400),
    "nobody to deauthorize": ("/_emu/sellers/1/deauthorize", {}, 404),
    "unknown preference": ("/_emu/payments", {"preference_id": "none"}, 404),
    "unknown payment": ("/_emu/payments/1/transition", {"status": "approved"}, 404),
    "time backwards": ("/_emu/clock/advance", {"seconds": -1}, 400),
    "no time": ("/_emu/clock/advance", {}, 400),
    "unknown setting": ("/_emu/settings", {"colour": "red"}, 400),
    "odd choice": ("/_emu/settings", {"webhooks": "never"}, 400),
    "no workers": ("/_emu/settings", {"workers": 0}, 400),
    "no timeout": ("/_emu/settings", {"webhook_timeout": 0}, 400),
    "odd address": ("/_emu/settings", {"app_webhook_url": None}, 400),
    "unknown command": ("/_emu/dance", {}, 404),
}


@pytest.mark.parametrize(("path", "body", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_what_makes_no_sense_is_refused(emulator: Emulator, path: str, body: dict[str, Any], status: int) -> None:
    assert emulator.request("POST", path, body).status_code == status


def test_an_outcome_has_to_be_one(merchant: Merchant) -> None:
    body = {"preference_id": merchant.sells(), "outcome": "maybe"}
    assert merchant.emulator.request("POST", "/_emu/payments", body).status_code == 400


def test_the_log_tells_of_requests_in_pages(merchant: Merchant) -> None:
    merchant.sells()
    requests.get(f"{merchant.emulator.url}/users/me?x=1", headers={"Authorization": "Bearer nobody-knows-it"}, timeout=10)
    log = merchant.emulator.control("GET", "/_emu/log")
    made, refused = log["entries"][-2:]
    assert (made["method"], made["path"], made["status"]) == ("POST", "/checkout/preferences", 201)
    assert (made["user_id"], made["authorization"]) == (merchant.user_id, merchant.token[-6:])
    assert made["idempotency_key"]
    assert (refused["status"], refused["user_id"], refused["authorization"], refused["query"]) == (401, None, "ows-it", {"x": "1"})
    assert log["last"] == refused["seq"]
    after = merchant.emulator.control("GET", f"/_emu/log?since={made['seq']}")
    assert after == {"entries": [refused], "last": refused["seq"]}
    assert merchant.emulator.control("GET", f"/_emu/log?since={refused['seq']}") == {"entries": [], "last": refused["seq"]}
    assert merchant.emulator.request("GET", "/_emu/log?since=yesterday").status_code == 400


def test_the_log_names_nobodys_secret(merchant: Merchant) -> None:
    merchant.sells()
    assert merchant.token not in merchant.emulator.request("GET", "/_emu/log").text


def test_the_state_counts(merchant: Merchant) -> None:
    merchant.emulator.pay(merchant.sells())
    state = merchant.emulator.control("GET", "/_emu/state")
    assert (state["counts"]["payment"], state["counts"]["preference"], state["pending_deliveries"]) == (1, 1, 0)
    assert state["settings"]["webhooks"] == "auto"


def test_the_clock_goes_forward_and_stays(emulator: Emulator) -> None:
    before = emulator.control("GET", "/_emu/state")["now"]
    emulator.advance(days=400)
    emulator.control("DELETE", "/_emu/all")
    assert int(emulator.control("GET", "/_emu/state")["now"][:4]) > int(before[:4])


def test_after_all_is_deleted_only_the_platform_is_left_and_no_number_comes_back(merchant: Merchant) -> None:
    emulator = merchant.emulator
    payment = emulator.pay(merchant.sells())
    emulator.settings(webhooks="manual")
    emulator.fault("drop")
    emulator.control("DELETE", "/_emu/all")
    state = emulator.control("GET", "/_emu/state")
    assert (state["counts"], state["settings"]["webhooks"]) == ({"seller": 1, "token": 1}, "auto")
    assert emulator.control("GET", "/_emu/faults") == []
    seller = emulator.seller()
    again = Merchant(emulator, seller["user_id"], seller["access_token"], "")
    assert emulator.pay(again.sells())["id"] > payment["id"]
