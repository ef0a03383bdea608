"""The stand-in for Mercado Pago that `make run` starts: its port and secrets, kept in the data folder, and how the product finds it."""

import json
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config import env

ADDRESS = "127.0.0.1"
KEPT = "mercadopago.json"
# Whoever sets one of these has a Mercado Pago of their own: the real one's test accounts, or another stand-in.
THEIRS = ("MERCADOPAGO_URL", "MERCADOPAGO_AUTH_URL", "MERCADOPAGO_CLIENT_ID")
ABOVE = 20_000  # its port is so far above ours
HIGHEST = 65_535


def _secret(prefix: str = "") -> Callable[[], str]:
    return lambda: prefix + secrets.token_urlsafe(24)


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """What both sides have to know. Addresses of checkouts are in the database, so the port stays as long as it can."""

    port: int
    key: str = field(default_factory=_secret())
    client_id: str = field(default_factory=lambda: str(secrets.randbelow(9 * 10**15) + 10**15))
    client_secret: str = field(default_factory=_secret())
    webhook_secret: str = field(default_factory=_secret())
    access_token: str = field(default_factory=_secret("APP_USR-"))

    @property
    def address(self) -> str:
        """As browsers reach it."""
        return f"http://localhost:{self.port}"

    def environment(self, *, public_url: str) -> dict[str, str]:
        """For the product's programs and for the stand-in."""
        return {
            "MERCADOPAGO_URL": f"http://{ADDRESS}:{self.port}",
            "MERCADOPAGO_AUTH_URL": self.address,
            "MERCADOPAGO_EMULATOR_KEY": self.key,
            "MERCADOPAGO_CLIENT_ID": self.client_id,
            "MERCADOPAGO_CLIENT_SECRET": self.client_secret,
            "MERCADOPAGO_WEBHOOK_SECRET": self.webhook_secret,
            "MERCADOPAGO_ACCESS_TOKEN": self.access_token,
            "MERCADOPAGO_APP_WEBHOOK_URL": f"{public_url}/webhooks/mp",
        }

    def command(self, data_folder: Path) -> tuple[str, ...]:
        data = str(data_folder / "mercadopago.sqlite")
        return (sys.executable, "-m", "deploy.mercadopago", "--host", ADDRESS, "--port", str(self.port), "--data", data)


def is_wanted() -> bool:
    """In development, unless the environment leads to another Mercado Pago."""
    return env.text("COMANDA_ENV", "development") == "development" and not any(env.text(name) for name in THEIRS)


def kept_stand_in(data_folder: Path) -> StandIn | None:
    """The one that `make run` has chosen for this data folder, if it ever ran. Raises ImproperlyConfigured for a file that is none."""
    path = data_folder / KEPT
    if not path.exists():
        return None
    try:
        values: Mapping[str, Any] = json.loads(path.read_text())
        return StandIn(**{**values, "port": int(values["port"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImproperlyConfigured(f"{path} cannot be used ({type(error).__name__}). Remove it: the next start makes a new one.") from error


def chosen_stand_in(data_folder: Path, *, port: int) -> StandIn:
    """The kept one, or a new one near `port`, which is ours; on another port when its own is taken by now. Call it with the folder held."""
    kept = kept_stand_in(data_folder)
    if kept is not None and is_free(kept.port):
        return kept
    wanted = port + ABOVE if port + ABOVE <= HIGHEST else port - ABOVE
    free = wanted if wanted > 0 and is_free(wanted) else free_port()
    stand_in = StandIn(**{**asdict(kept), "port": free}) if kept else StandIn(port=free)
    keep(data_folder / KEPT, stand_in)
    return stand_in


def keep(path: Path, stand_in: StandIn) -> None:
    """Whole or not at all, and for its owner alone."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".secret-")  # made with mode 0600
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(stand_in), file)
    Path(name).replace(path)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])
