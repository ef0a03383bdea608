import re
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from tests.emulator.process import Emulator
from tests.emulator.test_oauth import REDIRECT, exchange, me, pkce


def parameters(emulator: Emulator, challenge: str, **changes: str) -> dict[str, str]:
    query = {"client_id": emulator.environment["MERCADOPAGO_CLIENT_ID"], "response_type": "code", "platform_id": "mp", "state": "s-1"}
    query |= {"redirect_uri": REDIRECT, "code_challenge": challenge, "code_challenge_method": "S256", **changes}
    return {name: value for name, value in query.items() if value}


def send(emulator: Emulator, query: dict[str, str], **form: str) -> requests.Response:
    return requests.post(f"{emulator.url}/authorization", params=query, data=form, allow_redirects=False, timeout=10)


def returned(response: requests.Response) -> dict[str, str]:
    assert response.status_code == 303
    url = response.headers["Location"]
    assert url.startswith(REDIRECT)
    return dict(parse_qsl(urlsplit(url).query))


def test_a_known_seller_allows(emulator: Emulator) -> None:
    seller, (verifier, challenge) = emulator.seller(nickname="Sol & Luna"), pkce()
    query = parameters(emulator, challenge)
    page = requests.get(f"{emulator.url}/authorization", params=query, timeout=10)
    testids = re.findall(r'data-testid="([^"]+)"', page.text)
    sites = ["MLA", "MLB", "MLM", "MLC", "MCO", "MLU", "MPE"]
    assert testids == [f"seller-{seller['user_id']}", *(f"new-{site}" for site in sites), "allow", "deny"]
    assert "Sol &amp; Luna (Argentina)" in page.text
    answer = returned(send(emulator, query, action="allow", seller=str(seller["user_id"])))
    assert answer["state"] == "s-1"
    tokens = exchange(emulator, code=answer["code"], code_verifier=verifier, redirect_uri=REDIRECT)["response"]
    assert tokens["user_id"] == seller["user_id"]


def test_a_new_seller_allows(emulator: Emulator) -> None:
    verifier, challenge = pkce()
    answer = returned(send(emulator, parameters(emulator, challenge), action="allow", seller="new-MLC", nickname="Café Andes"))
    tokens = exchange(emulator, code=answer["code"], code_verifier=verifier, redirect_uri=REDIRECT)["response"]
    shown = me(emulator, tokens["access_token"])["response"]
    assert (shown["site_id"], shown["nickname"]) == ("MLC", "Café Andes")


def test_a_seller_denies(emulator: Emulator) -> None:
    query = parameters(emulator, pkce()[1], redirect_uri=f"{REDIRECT}?via=panel")
    answer = returned(send(emulator, query, action="deny"))
    assert answer == {"via": "panel", "error": "access_denied", "error_description": "The user denied the request", "state": "s-1"}


def test_without_a_state_none_comes_back(emulator: Emulator) -> None:
    assert "state" not in returned(send(emulator, parameters(emulator, pkce()[1], state=""), action="deny"))


def test_an_account_that_does_not_exist_cannot_allow(emulator: Emulator) -> None:
    assert send(emulator, parameters(emulator, pkce()[1]), action="allow", seller="12").status_code == 400


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"client_id": "1"}, "client_id"),
        ({"response_type": "token"}, "response_type"),
        ({"redirect_uri": ""}, "redirect_uri"),
        ({"redirect_uri": "javascript:alert(1)"}, "redirect_uri"),
        ({"code_challenge": ""}, "PKCE"),
        ({"code_challenge_method": "plain"}, "PKCE"),
        ({"code_challenge_method": ""}, "PKCE"),
    ],
)
def test_a_wrong_link_leads_nowhere(emulator: Emulator, changes: dict[str, str], reason: str) -> None:
    query = parameters(emulator, pkce()[1], **changes)
    page = requests.get(f"{emulator.url}/authorization", params=query, timeout=10)
    assert page.status_code == 400
    assert reason in page.text
    assert send(emulator, query, action="allow", seller="new-MLA").status_code == 400
