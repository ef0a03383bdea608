"""Signed tokens for API clients: JWTs that hold on one host only, and only as long as their sign-in does."""

import time
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID

import jwt
from django.conf import settings

from core.identity.callers import Claims
from core.identity.errors import InvalidToken

ISSUER = "comanda"
ALGORITHM = "HS256"
PLATFORM = "platform"  # the audience of the platform's own tokens and cookies; a cafeteria's is TenantRef.audience
REQUIRED = ["iss", "aud", "exp", "sub", "sid", "tv", "typ"]
LONGEST = 2_000  # characters: ours have about 350
LARGEST_ID = 2**63 - 1

type TokenType = Literal["access", "refresh"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RefreshClaims:
    who: Claims
    rotation: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenPair:
    access_token: str
    refresh_token: str
    expires_in: int  # seconds that the access token lives


def issue_pair(audience: str, who: Claims, *, rotation: int) -> TokenPair:
    return TokenPair(
        access_token=issue_access(audience, who),
        refresh_token=_encode(audience, who, "refresh", settings.REFRESH_TOKEN_LIFE, rot=rotation),
        expires_in=int(settings.ACCESS_TOKEN_LIFE.total_seconds()),
    )


def issue_access(audience: str, who: Claims) -> str:
    return _encode(audience, who, "access", settings.ACCESS_TOKEN_LIFE)


def read_access(audience: str, token: str) -> Claims:
    """What a genuine, unexpired access token for this audience says. Raises InvalidToken; touches no database."""
    return _claims(_decode(audience, token, "access"))


def read_refresh(audience: str, token: str) -> RefreshClaims:
    """As read_access, for a refresh token. Whether its rotation is still the valid one is in the session's row."""
    payload = _decode(audience, token, "refresh")
    rotation = payload.get("rot")
    if not isinstance(rotation, int):
        raise InvalidToken
    return RefreshClaims(who=_claims(payload), rotation=rotation)


def _encode(audience: str, who: Claims, kind: TokenType, life: timedelta, **more: int) -> str:
    now = int(time.time())
    payload = {
        "iss": ISSUER,
        "aud": audience,
        "typ": kind,
        "sub": str(who.account_id),
        "sid": who.session_id.hex,
        "tv": who.token_version,
        "iat": now,
        "exp": now + int(life.total_seconds()),
        **more,
    }
    return jwt.encode(payload, _keys()[0], algorithm=ALGORITHM)


def _decode(audience: str, token: str, kind: TokenType) -> dict[str, Any]:
    if len(token) > LONGEST:
        raise InvalidToken
    payload = _genuine(audience, token, _keys())
    if payload["typ"] != kind or payload["exp"] <= time.time():
        raise InvalidToken
    return payload


@lru_cache(maxsize=4096)
def _genuine(audience: str, token: str, keys: tuple[bytes, ...]) -> dict[str, Any]:
    """What a token with a good signature says. Kept, since the same one comes with every request; its time is checked each time."""
    for key in keys:
        try:
            payload: dict[str, Any] = jwt.decode(
                token, key, algorithms=[ALGORITHM], audience=audience, issuer=ISSUER, options={"require": REQUIRED}
            )
        except jwt.InvalidSignatureError:
            continue  # signed before the key was changed, perhaps
        except (jwt.PyJWTError, ValueError):  # ValueError: characters that cannot be encoded
            break
        return payload
    raise InvalidToken


def _claims(payload: dict[str, Any]) -> Claims:
    try:
        who = Claims(account_id=int(payload["sub"]), session_id=UUID(hex=payload["sid"]), token_version=int(payload["tv"]))
    except (TypeError, ValueError, AttributeError):
        raise InvalidToken from None
    if not 0 < who.account_id <= LARGEST_ID:
        raise InvalidToken
    return who


def _keys() -> tuple[bytes, ...]:
    return tuple(_derived(secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache
def _derived(secret: str) -> bytes:
    # Its own key: nothing else that SECRET_KEY signs can pass for a token.
    return sha256(b"comanda tokens\x00" + secret.encode()).digest()
