from core.errors import AppError


class GatewayUnavailable(AppError):
    """Mercado Pago does not answer at the moment. Nothing is lost: try again in a minute."""

    code = "payments_unavailable"
    status = 503


class TokenRefused(AppError):
    """Mercado Pago refuses this cafeteria's connection. Connect the account again."""

    code = "needs_reconnect"
    status = 409


class ChargeNotFound(AppError):
    """Mercado Pago knows no such payment of this account."""

    code = "charge_not_found"
    status = 404


class GatewayRefused(AppError):
    """Mercado Pago refused: {reason}"""

    code = "payments_refused"
    status = 502

    def __init__(self, *, reason: str, their_code: str = "") -> None:
        """`their_code` is Mercado Pago's, e.g. 2063 for a payment that cannot be refunded in its state."""
        super().__init__(reason=reason)
        self.their_code = their_code
