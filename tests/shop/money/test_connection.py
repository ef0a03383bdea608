from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from core.vault import new_key
from payments.sellers.actions import mark_needs_reconnect
from payments.sellers.models import Seller
from payments.sellers.vault import look_over_accounts
from tests.emulator.process import Emulator
from tests.payments.application import code_of, connected
from tests.shop.pages import visitor
from tests.world import World

PAGE = "/staff/payments"


def text(client: Client, page: str = PAGE) -> str:
    response = client.get(page)
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("manager", 200), ("cashier", 403), ("customer", 403), (None, 302)])
def test_managers_may_look(world: World, role: str | None, status: int) -> None:
    assert visitor(world.a, role).get(PAGE).status_code == status


def test_only_the_owner_connects_and_leaves(world: World, emulator: Emulator) -> None:
    connected(emulator, world.a.ref.uuid)
    manager = visitor(world.a, "manager")
    for address in ("connect", "disconnect"):
        assert manager.post(f"{PAGE}/{address}").status_code == 403
    for address in ("connected?state=x&code=y", "leave"):
        assert manager.get(f"{PAGE}/{address}").status_code == 403
    assert "Desconectar" not in text(manager)


def test_the_owner_goes_to_mercado_pago_and_comes_back_connected(world: World, emulator: Emulator) -> None:
    owner, user_id = visitor(world.a, "owner"), emulator.seller(nickname="CAFELUNA")["user_id"]
    assert "Conectar Mercado Pago" in text(owner)
    away = owner.post(f"{PAGE}/connect")
    assert away.status_code == 302
    assert away["Location"].startswith(f"{emulator.url}/authorization?")
    asked = {name: value for name, [value] in parse_qs(urlsplit(away["Location"]).query).items()}
    pkce = {name: asked[name] for name in ("code_challenge", "code_challenge_method", "redirect_uri")}
    back = {"state": asked["state"], "code": code_of(emulator, user_id, **pkce)}
    passed_on = Client(headers={"host": "localhost:8000"}).get("/mercadopago/callback", back)
    address = urlsplit(passed_on["Location"])
    assert address.netloc == world.a.host
    done = owner.get(f"{address.path}?{address.query}")
    assert (done.status_code, done["Location"]) == (302, PAGE)
    page = text(owner)
    assert "CAFELUNA está conectada" in page
    assert str(user_id) in page
    again = owner.get(f"{address.path}?{address.query}")
    assert again["Location"] == PAGE
    assert "Esta conexión ya se usó" in text(owner)


def test_a_denial_and_a_silent_mercado_pago_are_said(world: World, emulator: Emulator) -> None:
    owner = visitor(world.a, "owner")
    owner.get(f"{PAGE}/connected?state=x&error=access_denied")
    assert "No se conectó nada" in text(owner)
    asked = parse_qs(urlsplit(owner.post(f"{PAGE}/connect")["Location"]).query)
    emulator.fault("status_500", None)
    owner.get(f"{PAGE}/connected", {"state": asked["state"][0], "code": "TG-x"})
    assert "Mercado Pago no responde" in text(owner)
    assert not Seller.objects.exists()


def test_the_connection_is_left_after_asking(world: World, emulator: Emulator) -> None:
    connected(emulator, world.a.ref.uuid, nickname="CAFELUNA")
    owner = visitor(world.a, "owner")
    assert "¿Desconectar Mercado Pago?" in text(owner, f"{PAGE}/leave")
    assert Seller.objects.get().status == "connected"
    assert owner.post(f"{PAGE}/disconnect")["Location"] == PAGE
    assert "La cuenta está desconectada" in text(owner)
    assert Seller.objects.get().status == "disconnected"
    assert owner.get(f"{PAGE}/leave")["Location"] == PAGE
    owner.post(f"{PAGE}/disconnect")
    assert "No hay ninguna cuenta conectada" in text(owner)


def test_a_refused_connection_asks_for_another(world: World, emulator: Emulator) -> None:
    seller = connected(emulator, world.a.ref.uuid)
    mark_needs_reconnect(seller_id=seller.pk)
    page = text(visitor(world.a, "owner"))
    assert "Mercado Pago ya no acepta la conexión" in page
    assert "Conectar de nuevo" in page
    assert "Conectar de nuevo" not in text(visitor(world.a, "manager"))


def test_a_connection_that_the_platform_cannot_read_is_paused_then_asked_for(world: World, emulator: Emulator, settings: Any) -> None:
    connected(emulator, world.a.ref.uuid)
    owner = visitor(world.a, "owner")
    settings.VAULT_KEYS = [new_key()]
    page = text(owner)
    assert "El pago en línea está en pausa" in page
    assert "Conectar de nuevo" not in page  # It may be one process that has the wrong keys.
    look_over_accounts(give_up=True)
    page = text(owner)
    assert "La plataforma ya no puede leer la conexión" in page
    assert "Conectar de nuevo" in page
    assert "El pago en línea está en pausa" not in page
    assert f'action="{PAGE}/connect"' not in text(visitor(world.a, "manager"))


def test_an_account_that_cannot_be_used_says_why(world: World, emulator: Emulator) -> None:
    seller = connected(emulator, world.a.ref.uuid)
    Seller.objects.filter(pk=seller.pk).update(expires_at=timezone.now() - timedelta(days=1), live_mode=False)
    page = text(visitor(world.a, "owner"))
    assert "No funciona" in page
    assert "Es una cuenta de prueba" in page


def test_without_an_application_there_is_nothing_to_tap(world: World, settings: Any) -> None:
    settings.MERCADOPAGO_CLIENT_ID = ""
    owner = visitor(world.a, "owner")
    assert "todavía no está configurada" in text(owner)
    assert f'action="{PAGE}/connect"' not in text(owner)
    assert owner.post(f"{PAGE}/connect")["Location"] == PAGE


def test_the_platforms_share_is_said_when_there_is_one(world: World, settings: Any) -> None:
    owner = visitor(world.a, "owner")
    settings.PLATFORM_FEE_PERCENT = Decimal("2.50")
    assert "se queda con el 2,5 %" in text(owner)
    settings.PLATFORM_FEE_PERCENT = Decimal(0)
    assert "se queda con" not in text(owner)


def test_another_cafeterias_account_is_not_shown(world: World, emulator: Emulator) -> None:
    theirs = connected(emulator, world.b.ref.uuid, nickname="OTRA")
    page = text(visitor(world.a, "owner"))
    assert "OTRA" not in page
    assert str(theirs.mp_user_id) not in page


def test_the_form_may_be_sent_on_to_mercado_pago(world: World, settings: Any) -> None:
    policy = visitor(world.a, "owner").get(PAGE)["Content-Security-Policy"]
    targets = policy.split("form-action ", 1)[1].split(";")[0].split()
    assert "https://auth.mercadopago.com" in targets
    assert {f"https://www.mercadopago.{end}" for end in ("com", "com.ar", "com.br", "cl", "com.co", "com.mx", "com.pe", "com.uy")} <= set(
        targets
    )
