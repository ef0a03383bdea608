from core.errors import AppError
from payments.gateway.errors import GatewayUnavailable, TokenRefused


class TokenLocked(TokenRefused):
    """This cafeteria's connection to Mercado Pago cannot be read any more. Connect the account again."""


class KeysUnknown(GatewayUnavailable):
    """The connections to Mercado Pago cannot be read at the moment. Nothing is lost: try again later."""


class NotSetUp(AppError):
    """This platform is not set up for Mercado Pago yet."""

    code = "not_set_up"
    status = 409


class ConnectionOver(AppError):
    """This connection was finished already, or took longer than 10 minutes. Connect again."""

    code = "connection_over"
    status = 409


class ConnectionOfAnother(AppError):
    """Somebody else began this connection. Connect again with your own sign-in."""

    code = "connection_of_another"
    status = 403


class ConnectionRefused(AppError):
    """Mercado Pago did not confirm the connection. Connect again."""

    code = "connection_refused"
    status = 409


class WrongCurrency(AppError):
    """This Mercado Pago account is paid in {theirs}, and this cafeteria sells in {ours}. Connect an account of your country."""

    code = "wrong_currency"
    status = 409


class SiteNotServed(AppError):
    """Mercado Pago accounts of this country ({site}) cannot be connected."""

    code = "site_not_served"
    status = 409


class NothingConnected(AppError):
    """No account is connected."""

    code = "nothing_connected"
    status = 409
