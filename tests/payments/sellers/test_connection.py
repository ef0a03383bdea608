from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from core.alerts.models import Alert
from core.audit.models import AuditEntry
from core.identity.callers import Caller
from core.vault import VaultLocked, new_key, seal
from payments.gateway.data import Tokens
from payments.gateway.errors import GatewayUnavailable
from payments.sellers.actions import (
    NEEDS_RECONNECT,
    begin_connection,
    connect_seller,
    disconnect_seller,
    finish_connection,
    hash_state,
    mark_needs_reconnect,
)
from payments.sellers.errors import (
    ConnectionOfAnother,
    ConnectionOver,
    ConnectionRefused,
    NothingConnected,
    NotSetUp,
    SiteNotServed,
    WrongCurrency,
)
from payments.sellers.models import Connecting, Seller
from payments.sellers.queries import accepts_online, active_seller, seller_of
from tenants.errors import CafeteriaNotFound
from tests.emulator.process import Emulator
from tests.payments.application import code_of, connected
from tests.world import Place, World


def owner(place: Place, role: str = "owner") -> Caller:
    return place.caller(role)


def began(place: Place) -> dict[str, str]:
    """What the owner brings to Mercado Pago."""
    url = begin_connection(cafeteria_uuid=place.ref.uuid, person=owner(place))
    return {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}


def allow(emulator: Emulator, asked: dict[str, str], user_id: int) -> str:
    """The code that comes back."""
    pkce = {name: asked[name] for name in ("code_challenge", "code_challenge_method", "redirect_uri")}
    return code_of(emulator, user_id, **pkce)


def finish(place: Place, state: str, code: str, role: str = "owner") -> Seller:
    return finish_connection(cafeteria_uuid=place.ref.uuid, state=state, code=code, person=owner(place, role))


def test_an_account_is_connected_with_pkce(world: World, emulator: Emulator) -> None:
    user_id = emulator.seller()["user_id"]
    asked = began(world.a)
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == "http://localhost:8000/mercadopago/callback"
    assert not accepts_online(world.a.ref.uuid)
    seller = finish(world.a, asked["state"], allow(emulator, asked, user_id))
    assert (seller.mp_user_id, seller.currency, seller.status, seller.connected_by) == (user_id, "ARS", "connected", "owner@people.test")
    assert seller.expires_at > timezone.now() + timedelta(days=179)
    assert accepts_online(world.a.ref.uuid)
    assert not accepts_online(world.b.ref.uuid)
    assert AuditEntry.objects.filter(action="payments.connected", cafeteria_uuid=world.a.ref.uuid, target=str(user_id)).exists()


def test_nothing_of_a_token_is_in_the_database_in_clear(world: World, emulator: Emulator) -> None:
    seller = connected(emulator, world.a.ref.uuid)
    row = repr(Seller.objects.values().get(pk=seller.pk)) + repr(list(AuditEntry.objects.values()))
    assert seller.access_token.startswith("APP_USR-")
    assert seller.access_token not in row
    assert seller.refresh_token not in row


def test_a_state_works_once(world: World, emulator: Emulator) -> None:
    user_id = emulator.seller()["user_id"]
    asked = began(world.a)
    finish(world.a, asked["state"], allow(emulator, asked, user_id))
    with pytest.raises(ConnectionOver):
        finish(world.a, asked["state"], allow(emulator, asked, user_id))


def test_a_state_is_of_one_person_of_one_cafeteria(world: World, emulator: Emulator) -> None:
    asked = began(world.a)
    code = allow(emulator, asked, emulator.seller()["user_id"])
    for place, role in ((world.a, "manager"), (world.b, "owner")):
        with pytest.raises(ConnectionOfAnother):
            finish(place, asked["state"], code, role)
    assert not Seller.objects.exists()
    finish(world.a, asked["state"], code)  # it was not used up by them


def test_a_state_lives_ten_minutes_and_an_invented_one_not_at_all(world: World, emulator: Emulator) -> None:
    asked = began(world.a)
    Connecting.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    for state in (asked["state"], "invented", ""):
        with pytest.raises(ConnectionOver):
            finish(world.a, state, "TG-code")
    began(world.a)
    assert Connecting.objects.count() == 1  # the old one is swept away


@pytest.mark.parametrize("code", ["TG-invented", "another-challenge"])
def test_a_code_that_is_not_for_this_connection_is_refused(world: World, emulator: Emulator, code: str) -> None:
    asked = began(world.a)
    if code == "another-challenge":
        code = allow(emulator, {**asked, "code_challenge": "x" * 43}, emulator.seller()["user_id"])
    with pytest.raises(ConnectionRefused):
        finish(world.a, asked["state"], code)
    assert not Seller.objects.exists()


def test_an_account_of_another_country_is_refused(world: World, emulator: Emulator) -> None:
    with pytest.raises(WrongCurrency) as refused:
        connected(emulator, world.a.ref.uuid, site="MLB")
    assert str(refused.value).startswith("This Mercado Pago account is paid in BRL, and this cafeteria sells in ARS.")
    assert not Seller.objects.exists()


def test_a_country_without_a_currency_of_ours_is_refused(world: World, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("payments.sellers.actions", fromlist=["x"]).SITE_CURRENCIES, "MLU")
    with pytest.raises(SiteNotServed):
        connected(emulator, world.a.ref.uuid, site="MLU")


def test_a_platform_without_an_application_connects_nobody(world: World, settings: Any) -> None:
    settings.MERCADOPAGO_CLIENT_ID = ""
    with pytest.raises(NotSetUp):
        began(world.a)


def test_while_mercado_pago_is_away_nothing_is_connected(world: World, emulator: Emulator) -> None:
    asked = began(world.a)
    code = allow(emulator, asked, emulator.seller()["user_id"])
    emulator.fault("status_500", None, match={"path": "users/me"})
    with pytest.raises(GatewayUnavailable):
        finish(world.a, asked["state"], code)
    assert not Seller.objects.exists()


def test_another_account_takes_over_and_the_first_stays_for_its_refunds(world: World, emulator: Emulator) -> None:
    first = connected(emulator, world.a.ref.uuid)
    second = connected(emulator, world.a.ref.uuid)
    first.refresh_from_db()
    active = active_seller(world.a.ref.uuid)
    assert active is not None
    assert (first.status, active.pk) == ("disconnected", second.pk)
    found = seller_of(world.a.ref.uuid, first.mp_user_id)
    assert found is not None
    assert found.access_token == first.access_token
    assert seller_of(world.b.ref.uuid, first.mp_user_id) is None


def test_leaving_keeps_the_tokens_and_coming_back_keeps_the_address(world: World, emulator: Emulator) -> None:
    seller = connected(emulator, world.a.ref.uuid)
    disconnect_seller(cafeteria_uuid=world.a.ref.uuid, person=owner(world.a))
    assert active_seller(world.a.ref.uuid) is None
    assert not accepts_online(world.a.ref.uuid)
    with pytest.raises(NothingConnected):
        disconnect_seller(cafeteria_uuid=world.a.ref.uuid, person=owner(world.a))
    assert seller_of(world.a.ref.uuid, seller.mp_user_id) == seller
    asked = began(world.a)
    again = finish(world.a, asked["state"], allow(emulator, asked, seller.mp_user_id))
    assert (again.pk, again.webhook_key, again.status) == (seller.pk, seller.webhook_key, "connected")
    assert again.access_token != seller.access_token


def test_a_refused_token_hides_online_payment_until_it_is_connected_again(world: World, emulator: Emulator) -> None:
    seller = connected(emulator, world.a.ref.uuid)
    connected(emulator, world.b.ref.uuid)
    assert not mark_needs_reconnect(seller_id=seller.pk, refused_token="APP_USR-an-older-one")
    assert accepts_online(world.a.ref.uuid)
    assert mark_needs_reconnect(seller_id=seller.pk)
    assert not mark_needs_reconnect(seller_id=seller.pk)
    assert not accepts_online(world.a.ref.uuid)
    assert accepts_online(world.b.ref.uuid)
    opened = Alert.objects.filter(kind=NEEDS_RECONNECT, resolved_at__isnull=True)
    assert [alert.cafeteria_uuid for alert in opened] == [world.a.ref.uuid]
    asked = began(world.a)
    finish(world.a, asked["state"], allow(emulator, asked, seller.mp_user_id))
    assert accepts_online(world.a.ref.uuid)
    assert not opened.all().exists()


def test_online_payment_needs_the_currency_and_a_living_token(world: World, emulator: Emulator, django_assert_num_queries: Any) -> None:
    seller = connected(emulator, world.a.ref.uuid)
    with django_assert_num_queries(1):
        assert accepts_online(world.a.ref.uuid)
    Seller.objects.filter(pk=seller.pk).update(currency="UYU")
    assert not accepts_online(world.a.ref.uuid)
    Seller.objects.filter(pk=seller.pk).update(currency="ARS", expires_at=timezone.now())
    assert not accepts_online(world.a.ref.uuid)


# --- The way back ------------------------------------------------------------------------------------------------------------


def test_the_callback_passes_on_to_the_cafeteria_that_began(world: World, emulator: Emulator) -> None:
    state = began(world.b)["state"]
    response = Client(headers={"host": "localhost:8000"}).get(
        "/mercadopago/callback", {"state": state, "code": "TG-1", "next": "https://evil.test"}
    )
    assert response.status_code == 302
    assert response["Location"] == f"http://{world.b.host}/staff/payments/connected?state={state}&code=TG-1"
    assert "no-store" in response["Cache-Control"]


def test_the_callback_passes_a_refusal_on_and_knows_no_strangers(world: World, emulator: Emulator) -> None:
    client, state = Client(headers={"host": "localhost:8000"}), began(world.a)["state"]
    refused = client.get("/mercadopago/callback", {"state": state, "error": "access_denied"})
    assert refused["Location"].endswith(f"?state={state}&error=access_denied")
    for query in ({}, {"state": "invented", "code": "TG-1"}, {"state": hash_state(state), "code": "TG-1"}):
        assert client.get("/mercadopago/callback", query).status_code == 409


# --- Keys of the vault -------------------------------------------------------------------------------------------------------


def test_rotating_seals_everything_with_the_newest_key(world: World, emulator: Emulator, settings: Any, capsys: Any) -> None:
    seller = connected(emulator, world.a.ref.uuid)
    access, refresh = seller.access_token, seller.refresh_token
    asked = began(world.b)
    old, new = settings.VAULT_KEYS, new_key()
    settings.VAULT_KEYS = [new, *old]
    call_command("rotate_vault_keys")
    assert "Sealed anew: 2." in capsys.readouterr().out
    settings.VAULT_KEYS = [new]
    seller.refresh_from_db()
    assert (seller.access_token, seller.refresh_token) == (access, refresh)
    finish(world.b, asked["state"], allow(emulator, asked, emulator.seller()["user_id"]))


def test_rotating_goes_on_past_what_no_key_opens(world: World, emulator: Emulator, settings: Any) -> None:
    good, lost = connected(emulator, world.a.ref.uuid), connected(emulator, world.b.ref.uuid)
    old, new = settings.VAULT_KEYS, new_key()
    settings.VAULT_KEYS = [new_key()]
    Seller.objects.filter(pk=lost.pk).update(sealed_access_token=seal("gone"))
    settings.VAULT_KEYS = [new, *old]
    with pytest.raises(CommandError, match="1 could not be opened"):
        call_command("rotate_vault_keys")
    settings.VAULT_KEYS = [new]
    good.refresh_from_db()
    assert good.access_token.startswith("APP_USR-")
    lost.refresh_from_db()
    with pytest.raises(VaultLocked):
        _ = lost.access_token


def test_tokens_that_open_another_account_or_none_connect_nothing(world: World, emulator: Emulator) -> None:
    seller = connected(emulator, world.a.ref.uuid)
    tokens = Tokens(
        access_token=seller.access_token, refresh_token="", expires_in=9, user_id=seller.mp_user_id + 1, public_key="", live_mode=True
    )
    for given in (tokens, replace(tokens, access_token="APP_USR-nobody")):
        with pytest.raises(ConnectionRefused):
            connect_seller(cafeteria_uuid=world.b.ref.uuid, tokens=given, by=owner(world.b))
    with pytest.raises(CafeteriaNotFound):
        connect_seller(cafeteria_uuid=uuid4(), tokens=replace(tokens, user_id=seller.mp_user_id), by=None, label="test")
    assert Seller.objects.count() == 1
