"""The product's settings for an emulator, and what a test begins with: a connected seller."""

from typing import Any
from uuid import UUID

from core.identity.callers import Caller
from payments.gateway.application import exchange_code
from payments.sellers.actions import connect_seller
from payments.sellers.models import Seller
from tests.emulator.process import Emulator

NAMES = ("MERCADOPAGO_CLIENT_ID", "MERCADOPAGO_CLIENT_SECRET", "MERCADOPAGO_WEBHOOK_SECRET", "MERCADOPAGO_ACCESS_TOKEN")


def point_to(emulator: Emulator, settings: Any) -> None:
    """Let the product talk to this emulator: by base URLs alone."""
    settings.MERCADOPAGO_URL = settings.MERCADOPAGO_AUTH_URL = emulator.url
    for name in NAMES:
        setattr(settings, name, emulator.environment[name])


def environment_of(emulator: Emulator) -> dict[str, str]:
    """The same for a process."""
    address = {"MERCADOPAGO_URL": emulator.url, "MERCADOPAGO_AUTH_URL": emulator.url}
    return address | {name: emulator.environment[name] for name in NAMES}


def code_of(emulator: Emulator, user_id: int, **pkce: str) -> str:
    """What the seller's "allow" gives."""
    client = {"client_id": emulator.environment["MERCADOPAGO_CLIENT_ID"], **pkce}
    return str(emulator.control("POST", f"/_emu/sellers/{user_id}/authorize", client)["code"])


def connected(emulator: Emulator, cafeteria_uuid: UUID, *, site: str = "MLA", by: Caller | None = None, **values: Any) -> Seller:
    """A new seller at the emulator, connected to the cafeteria by the product's own exchange."""
    user_id = emulator.seller(site, **values)["user_id"]
    tokens = exchange_code(code_of(emulator, user_id), "", "")
    return connect_seller(cafeteria_uuid=cafeteria_uuid, tokens=tokens, by=by, label="test")
