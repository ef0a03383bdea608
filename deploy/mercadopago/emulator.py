"""The parts of the emulator, held together."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.mercadopago.clock import SECOND, Clock
from deploy.mercadopago.configuration import Configuration
from deploy.mercadopago.faults import Faults
from deploy.mercadopago.sender import ANSWERED_WITHIN, Sender
from deploy.mercadopago.sites import SITES, Site
from deploy.mercadopago.store import Document, Store
from deploy.mercadopago.webhooks import Event, new_deliveries

DEFAULTS = {
    "webhooks": "auto",  # manual: they wait for a flush
    "return": "webhook_before_redirect",
    "return_delay": 2.0,  # seconds from the redirect to the webhook, if that comes first
    "workers": 8,
    "webhook_timeout": ANSWERED_WITHIN,
    "refunds": "approved",  # in_process, rejected: what becomes of those that a seller asks for
    "billing": "manual",  # auto: the clock charges subscriptions
}


class Emulator:
    def __init__(self, path: Path, configuration: Configuration) -> None:
        self.configuration = configuration
        self.store = Store(path)
        self.clock = Clock(int(self.store.read_meta("offset") or 0))
        self.settings = {**self._first_settings(), **json.loads(self.store.read_meta("settings") or "{}")}
        self.faults = Faults(self.store)
        self.sender = Sender(self.store, self.clock, secret=configuration.webhook_secret, settings=self.settings)
        self._made: list[Document] = []
        with self.transaction():
            self._add_platform()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; the notifications made within go out when it has ended."""
        with self.store.lock:
            self._made.clear()
            with self.store.transaction():
                yield
            self.sender.enqueue(self._made)

    def notify(self, event: Event, *, delay: float = 0) -> list[str]:
        """The ids of the deliveries, which go out `delay` seconds from now at the earliest. Within a transaction."""
        made = new_deliveries(self.store, self.faults, event, now=self.clock.now())
        if delay:
            for delivery in made:
                delivery.due = (delivery.due or 0) + round(delay * SECOND)
                self.store.save(delivery)
        self._made.extend(made)
        return [delivery.id for delivery in made]

    def seller(self, user_id: int) -> Document | None:
        return self.store.find("seller", str(user_id))

    def add_seller(self, *, site: str, nickname: str, user_id: int | None, token: str | None = None) -> Document:
        """With a token of its own, as a seller finds in its panel. Within a transaction."""
        now = self.clock.now()
        number = user_id or self.store.next_number("seller", first=now // SECOND)
        token = token or f"APP_USR-{number}-own-{now}"
        country = SITES[site].country
        body = {"id": number, "nickname": nickname, "site_id": site, "country_id": country, "email": f"seller.{number}@mercadopago.example"}
        seller = Document(kind="seller", id=str(number), owner=number, created=now, body={**body, "_token": token})
        self.store.save(seller)
        self.store.save(Document(kind="token", id=token, owner=number, created=now, body={"oauth": False}))
        return seller

    def save_settings(self, changes: dict[str, Any]) -> None:
        """Within a transaction."""
        self.settings.update(changes)
        self.store.write_meta("settings", json.dumps(self.settings))

    def save_clock(self) -> None:
        """Within a transaction."""
        self.store.write_meta("offset", str(self.clock.offset))

    def clear(self) -> None:
        """As on the first day, but for the numbers given and the clock, which never goes back. Within a transaction."""
        self.store.clear()
        self.faults.clear()
        self.sender.forget()
        self.settings.clear()
        self.settings.update(self._first_settings())
        self.save_clock()
        self._add_platform()

    def _first_settings(self) -> dict[str, Any]:
        return {**DEFAULTS, "app_webhook_url": self.configuration.app_webhook_url}

    def _add_platform(self) -> None:
        token = self.configuration.access_token
        if self.store.find("token", token) is None:
            self.add_seller(site=self.configuration.site, nickname="PLATAFORMA", user_id=None, token=token)


def site_of(seller: Document) -> Site:
    return SITES[seller.body["site_id"]]
