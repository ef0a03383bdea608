"""What the platform's own application asks of Mercado Pago: the tokens of the sellers who let it act for them."""

import base64
import hashlib
import secrets
from typing import Any
from urllib.parse import urlencode

from django.conf import settings

from payments.gateway.data import Tokens
from payments.gateway.errors import GatewayRefused, GatewayUnavailable, TokenRefused
from payments.gateway.transport import asked, options, sdk

ATTEMPTS = 3
TIMEOUT = 10.0  # seconds, for each attempt


def is_set_up() -> bool:
    """Whether the platform has an application, without which no account can be connected."""
    return bool(settings.MERCADOPAGO_CLIENT_ID and settings.MERCADOPAGO_CLIENT_SECRET)


def new_verifier() -> tuple[str, str]:
    """(PKCE's verifier, which stays here until the exchange; its challenge by S256, for authorization_url)."""
    verifier = secrets.token_urlsafe(48)
    return verifier, base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorization_url(*, state: str, challenge: str, redirect_uri: str) -> str:
    """Where a seller allows the application to act for it. `challenge`: PKCE's, by S256."""
    query = {
        "client_id": settings.MERCADOPAGO_CLIENT_ID,
        "response_type": "code",
        "platform_id": "mp",
        "state": state,
        "redirect_uri": redirect_uri,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return f"{settings.MERCADOPAGO_AUTH_URL}/authorization?{urlencode(query)}"


def exchange_code(code: str, verifier: str, redirect_uri: str) -> Tokens:
    """Tokens for a code, which works once. Raises GatewayRefused (their_code invalid_grant: used or too old) and GatewayUnavailable."""
    grant = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    return _tokens("exchange_code", grant | ({"code_verifier": verifier} if verifier else {}), secret=code)


def refresh_tokens(refresh_token: str) -> Tokens:
    """New tokens; the one given has worked for the last time. Raises GatewayRefused (invalid_grant) and GatewayUnavailable."""
    return _tokens("refresh_tokens", {"grant_type": "refresh_token", "refresh_token": refresh_token}, secret=refresh_token)


def _tokens(what: str, grant: dict[str, Any], *, secret: str) -> Tokens:
    body = {"client_id": settings.MERCADOPAGO_CLIENT_ID, "client_secret": settings.MERCADOPAGO_CLIENT_SECRET, **grant}
    key = hashlib.sha256(secret.encode()).hexdigest()  # the same for the same grant, also from a later job
    own = settings.MERCADOPAGO_ACCESS_TOKEN
    try:
        found = asked(what, lambda: sdk(own).oauth().create(body, options(own, timeout=TIMEOUT, key=key)), attempts=ATTEMPTS)
    except TokenRefused:  # of the application, not of the seller
        raise GatewayRefused(reason="unauthorized", their_code="unauthorized") from None
    try:
        return Tokens(
            access_token=str(found["access_token"]),
            refresh_token=str(found["refresh_token"]),
            expires_in=int(found["expires_in"]),
            user_id=int(found["user_id"]),
            public_key=str(found.get("public_key") or ""),
            live_mode=bool(found.get("live_mode", True)),
        )
    except (KeyError, TypeError, ValueError):
        raise GatewayUnavailable from None
