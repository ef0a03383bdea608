from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mercadopago
import pytest
from mercadopago.config import RequestOptions

from tests.emulator.process import Emulator, PrefixedClient, running_emulator
from tests.emulator.receiver import Receiver, receiving


@dataclass(frozen=True)
class Merchant:
    """A seller that the application acts for, by the real SDK."""

    emulator: Emulator
    user_id: int
    token: str
    notification_url: str

    @property
    def sdk(self) -> Any:
        return mercadopago.SDK(self.token, http_client=PrefixedClient(self.emulator.url))

    def options(self, key: str | None = None) -> RequestOptions:
        """Fresh ones for each call: the SDK writes its token into those it is given."""
        headers = {"x-idempotency-key": key} if key else None
        return RequestOptions(access_token=self.token, connection_timeout=10.0, retry_on=[], custom_headers=headers)

    def preference(self, *, key: str | None = None, **values: Any) -> Any:
        body = preference_body(**values)
        if self.notification_url:
            body.setdefault("notification_url", self.notification_url)
        with pytest.warns(DeprecationWarning, match="notification_url") if "notification_url" in body else _Nothing():
            return self.sdk.preference().create(body, self.options(key))

    def sells(self, **values: Any) -> str:
        """The id of a preference."""
        response = self.preference(**values)
        assert response["status"] == 201, response
        return str(response["response"]["id"])

    def payment(self, payment_id: int | str) -> dict[str, Any]:
        response = self.sdk.payment().get(payment_id, self.options())
        assert response["status"] == 200, response
        return dict(response["response"])

    def refund(self, payment_id: int | str, amount: float | None = None, *, key: str = "refund") -> Any:
        return self.sdk.refund().create(payment_id, None if amount is None else {"amount": amount}, self.options(key))


class _Nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def preference_body(**values: Any) -> dict[str, Any]:
    items = [{"id": "ord-91", "title": "Pedido #91", "quantity": 1, "currency_id": "ARS", "unit_price": 4500.5}]
    urls = {name: f"https://luna.example/volver/{name}" for name in ("success", "pending", "failure")}
    return {"items": items, "external_reference": "t7f3-01J9", "back_urls": urls, **values}


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running_emulator(tmp_path_factory.mktemp("emulator")) as emulator:
        yield emulator


@pytest.fixture
def emulator(running: Emulator) -> Emulator:
    """One that has just been emptied."""
    running.control("DELETE", "/_emu/all")
    return running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


@pytest.fixture
def merchant(emulator: Emulator) -> Merchant:
    return new_merchant(emulator)


def new_merchant(emulator: Emulator, site: str = "MLA", notification_url: str = "") -> Merchant:
    user_id = emulator.seller(site)["user_id"]
    return Merchant(emulator, user_id, emulator.connect(user_id)["access_token"], notification_url)


@pytest.fixture
def notified(emulator: Emulator, receiver: Receiver) -> Merchant:
    """A merchant whose notifications go to the receiver, without twins."""
    return new_merchant(emulator, notification_url=f"{receiver.url}?source_news=webhooks")
