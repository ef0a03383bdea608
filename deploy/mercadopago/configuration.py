"""What the emulator is started with: the application that Comanda would have registered at Mercado Pago."""

from collections.abc import Mapping
from dataclasses import dataclass

from deploy.mercadopago.sites import SITES

REQUIRED = {
    "MERCADOPAGO_EMULATOR_KEY": "key",
    "MERCADOPAGO_CLIENT_ID": "client_id",
    "MERCADOPAGO_CLIENT_SECRET": "client_secret",
    "MERCADOPAGO_WEBHOOK_SECRET": "webhook_secret",
    "MERCADOPAGO_ACCESS_TOKEN": "access_token",
}


class Misconfigured(Exception):
    """The emulator cannot start like this; the text says what to set."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    key: str  # opens the control API
    client_id: str
    client_secret: str
    webhook_secret: str
    access_token: str  # the platform's own account, which bills cafeterias
    public_url: str  # where browsers reach the emulator, without a slash at the end
    app_webhook_url: str  # subscriptions and mp-connect go there; empty: nowhere
    site: str  # the country of the platform's own account


def read_configuration(environment: Mapping[str, str], *, public_url: str) -> Configuration:
    """Raises Misconfigured with a sentence that names what is missing."""
    missing = [name for name in REQUIRED if not environment.get(name)]
    if missing:
        message = f"The Mercado Pago emulator needs {', '.join(missing)} in its environment; any text will do, the product needs the same."
        raise Misconfigured(message)
    site = environment.get("MERCADOPAGO_SITE") or "MLA"
    if site not in SITES:
        message = f"MERCADOPAGO_SITE is {site}, and has to be one of {', '.join(SITES)}."
        raise Misconfigured(message)
    values = {field: environment[name] for name, field in REQUIRED.items()}
    return Configuration(
        **values,
        public_url=public_url.rstrip("/"),
        app_webhook_url=environment.get("MERCADOPAGO_APP_WEBHOOK_URL", ""),
        site=site,
    )
