import base64
import hashlib
import secrets
from threading import Thread
from typing import Any

import mercadopago
import pytest
import requests
from mercadopago.config import RequestOptions

from tests.emulator.conftest import Merchant, new_merchant
from tests.emulator.process import Emulator, PrefixedClient
from tests.emulator.receiver import Receiver

REDIRECT = "https://comanda.example/mercadopago/return"


def pkce() -> tuple[str, str]:
    verifier = secrets.token_urlsafe(48)
    return verifier, base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def exchange(emulator: Emulator, **values: Any) -> Any:
    sdk = mercadopago.SDK("none", http_client=PrefixedClient(emulator.url))
    names = {"client_id": "MERCADOPAGO_CLIENT_ID", "client_secret": "MERCADOPAGO_CLIENT_SECRET"}
    body = {name: emulator.environment[variable] for name, variable in names.items()}
    return sdk.oauth().create({**body, "grant_type": "authorization_code", **values}, RequestOptions(access_token="none"))


def refresh(emulator: Emulator, token: str) -> Any:
    return exchange(emulator, grant_type="refresh_token", refresh_token=token)


def me(emulator: Emulator, token: str) -> Any:
    return mercadopago.SDK(token, http_client=PrefixedClient(emulator.url)).user().get(RequestOptions(access_token=token))


def code(emulator: Emulator, user_id: int, **values: Any) -> str:
    client = {"client_id": emulator.environment["MERCADOPAGO_CLIENT_ID"]}
    return str(emulator.control("POST", f"/_emu/sellers/{user_id}/authorize", {**client, **values})["code"])


def test_a_code_becomes_tokens_that_act_for_the_seller(emulator: Emulator) -> None:
    seller, (verifier, challenge) = emulator.seller("MLB"), pkce()
    granted = code(emulator, seller["user_id"], code_challenge=challenge, code_challenge_method="S256", redirect_uri=REDIRECT)
    response = exchange(emulator, code=granted, code_verifier=verifier, redirect_uri=REDIRECT)
    tokens = response["response"]
    assert response["status"] == 200
    assert (tokens["user_id"], tokens["expires_in"], tokens["scope"]) == (seller["user_id"], 15552000, "offline_access read write")
    assert tokens["access_token"].startswith("APP_USR-")
    assert tokens["refresh_token"].startswith("TG-")
    shown = me(emulator, tokens["access_token"])["response"]
    assert (shown["id"], shown["site_id"], shown["nickname"]) == (seller["user_id"], "MLB", "Luna")


def test_a_form_does_as_well_as_json(emulator: Emulator) -> None:
    seller = emulator.seller()
    names = {"client_id": "MERCADOPAGO_CLIENT_ID", "client_secret": "MERCADOPAGO_CLIENT_SECRET"}
    form = {name: emulator.environment[variable] for name, variable in names.items()}
    form |= {"grant_type": "authorization_code", "code": code(emulator, seller["user_id"])}
    response = requests.post(f"{emulator.url}/oauth/token", data=form, timeout=10)
    assert response.json()["user_id"] == seller["user_id"]


def test_a_code_is_good_once(emulator: Emulator) -> None:
    granted = code(emulator, emulator.seller()["user_id"])
    assert exchange(emulator, code=granted)["status"] == 200
    again = exchange(emulator, code=granted)
    assert (again["status"], again["response"]["error"]) == (400, "invalid_grant")


def test_a_code_lives_ten_minutes(emulator: Emulator) -> None:
    user_id = emulator.seller()["user_id"]
    late = code(emulator, user_id)
    emulator.advance(minutes=9)
    soon = code(emulator, user_id)
    emulator.advance(minutes=1)
    assert [exchange(emulator, code=granted)["status"] for granted in (late, soon)] == [400, 200]


@pytest.mark.parametrize(
    "values",
    [{}, {"code_verifier": "another"}, {"code_verifier": "right", "redirect_uri": "https://evil.example/"}, {"code_verifier": "right"}],
    ids=["no verifier", "another verifier", "another address", "no address"],
)
def test_a_code_alone_is_not_enough(emulator: Emulator, values: dict[str, str]) -> None:
    verifier, challenge = pkce()
    granted = code(emulator, emulator.seller()["user_id"], code_challenge=challenge, redirect_uri=REDIRECT)
    given = {name: verifier if value == "right" else value for name, value in values.items()}
    if not given.get("code_verifier") or given["code_verifier"] == "another":
        given["redirect_uri"] = REDIRECT
    assert exchange(emulator, code=granted, **given)["response"]["error"] == "invalid_grant"
    assert exchange(emulator, code=granted, code_verifier=verifier, redirect_uri=REDIRECT)["status"] == 200


def test_only_s256_will_do(emulator: Emulator) -> None:
    seller = emulator.seller()
    body = {"client_id": emulator.environment["MERCADOPAGO_CLIENT_ID"], "code_challenge": "x", "code_challenge_method": "plain"}
    assert emulator.request("POST", f"/_emu/sellers/{seller['user_id']}/authorize", body).status_code == 400


@pytest.mark.parametrize("wrong", [{"client_id": "1"}, {"client_secret": "guess"}])
def test_the_application_has_to_prove_itself(emulator: Emulator, wrong: dict[str, str]) -> None:
    response = exchange(emulator, code=code(emulator, emulator.seller()["user_id"]), **wrong)
    assert (response["status"], response["response"]["error"]) == (400, "invalid_client")


def test_other_grants_are_not_known(emulator: Emulator) -> None:
    assert exchange(emulator, grant_type="password")["response"]["error"] == "unsupported_grant_type"


def test_refreshing_gives_new_tokens_once(emulator: Emulator) -> None:
    first = emulator.connect(emulator.seller()["user_id"])
    second = refresh(emulator, first["refresh_token"])["response"]
    assert second["user_id"] == first["user_id"]
    assert {second["access_token"], second["refresh_token"]}.isdisjoint({first["access_token"], first["refresh_token"]})
    reused = refresh(emulator, first["refresh_token"])
    assert (reused["status"], reused["response"]["error"]) == (400, "invalid_grant")
    assert refresh(emulator, second["refresh_token"])["status"] == 200


def test_two_that_refresh_at_once_get_one_new_token(emulator: Emulator) -> None:
    token, statuses = emulator.connect(emulator.seller()["user_id"])["refresh_token"], []
    threads = [Thread(target=lambda: statuses.append(refresh(emulator, token)["status"])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 400, 400, 400]


def test_a_token_lives_180_days(emulator: Emulator) -> None:
    tokens = emulator.connect(emulator.seller()["user_id"])
    emulator.advance(days=179)
    assert me(emulator, tokens["access_token"])["status"] == 200
    emulator.advance(days=1)
    response = me(emulator, tokens["access_token"])
    assert response == {
        "status": 401,
        "response": {"message": "invalid access token", "error": "unauthorized", "status": 401, "cause": []},
    }


@pytest.mark.parametrize("token", ["", "unknown", "APP_USR-1"])
def test_without_a_token_nothing_is_told(emulator: Emulator, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for path in ("/users/me", "/v1/payments/search", "/preapproval/search"):
        assert requests.get(f"{emulator.url}{path}", headers=headers, timeout=10).status_code == 401


def test_a_seller_can_take_it_back(emulator: Emulator, receiver: Receiver) -> None:
    emulator.settings(app_webhook_url=receiver.url)
    merchant, other = new_merchant(emulator), new_merchant(emulator)
    tokens = emulator.connect(merchant.user_id)
    own = emulator.control("POST", f"/_emu/sellers/{merchant.user_id}/deauthorize")
    assert own == {"revoked": 2}
    assert me(emulator, merchant.token)["status"] == 401
    assert me(emulator, tokens["access_token"])["status"] == 401
    assert refresh(emulator, tokens["refresh_token"])["response"]["error"] == "invalid_grant"
    assert me(emulator, other.token)["status"] == 200
    emulator.flush()
    told = [(post.body["action"], post.body["user_id"]) for post in receiver.received if post.query["type"] == "mp-connect"]
    assert sorted(told) == sorted(
        [
            ("application.authorized", merchant.user_id),
            ("application.authorized", other.user_id),
            ("application.authorized", merchant.user_id),
            ("application.deauthorized", merchant.user_id),
        ]
    )


def test_two_sellers_from_many_threads_never_meet(emulator: Emulator) -> None:
    merchants = [new_merchant(emulator) for _ in range(2)]
    wrong: list[Any] = []

    def work(merchant: Merchant) -> None:
        for number in range(20):
            made = merchant.preference(external_reference=f"{merchant.user_id}-{number}")["response"]
            if made["collector_id"] != merchant.user_id:
                wrong.append(made)

    threads = [Thread(target=work, args=(merchant,)) for merchant in merchants * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    made = emulator.entries("request", method="POST", path="/checkout/preferences")
    seen = {(entry["user_id"], entry["authorization"]) for entry in made}
    assert (len(made), seen) == (80, {(merchant.user_id, merchant.token[-6:]) for merchant in merchants})
