"""What the product asks of Mercado Pago, whichever dialect answers. Blocks: never in an open scope. Raises payments.gateway.errors."""

from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol

from payments.gateway.data import Account, ChargeSnapshot, Checkout, CheckoutRequest, RefundSnapshot, SearchPage
from payments.gateway.mercadopago import MercadoPago

ATTEMPTS = 3
TIMEOUT = 10.0  # seconds, for each attempt


class Gateway(Protocol):
    """One seller's account."""

    def create_checkout(self, request: CheckoutRequest, *, key: str) -> Checkout:
        """A page where the buyer pays. The same key gives the same one."""

    def close_checkout(self, preference_id: str) -> None:
        """Nobody pays there any more."""

    def charge(self, mp_id: str) -> ChargeSnapshot:
        """As it is now. Raises ChargeNotFound, also for another seller's."""

    def charges_of(self, reference: str) -> list[ChargeSnapshot]:
        """All attempts for the reference, each as it is now, oldest first."""

    def changed_charges(
        self,
        since: datetime,
        until: datetime,
        *,
        offset: int = 0,
        by: Literal["date_last_updated", "date_approved"] = "date_last_updated",
    ) -> SearchPage:
        """What the search knows of these times, both included: a page from `offset`, oldest first."""

    def refund(self, mp_id: str, *, amount: Decimal | None, currency: str, key: str) -> RefundSnapshot:
        """Give it back; all of it without an amount. The same key gives the same refund."""

    def refunds(self, mp_id: str) -> list[RefundSnapshot]: ...

    def cancel_charge(self, mp_id: str) -> None:
        """End one that is still pending. Raises GatewayRefused when it no longer is."""

    def chargeback_charges(self, chargeback_id: str) -> list[str]:
        """The ids of the payments that a chargeback is about."""

    def account(self) -> Account: ...


def gateway(access_token: str, *, attempts: int = ATTEMPTS, timeout: float = TIMEOUT) -> Gateway:
    """The account that the token opens. `timeout` in seconds, for each attempt."""
    return MercadoPago(access_token, attempts=attempts, timeout=timeout)
