"""Web sessions in a signed, host-only cookie, bound to an audience: a cafeteria's cookie is worth nothing on another host.

The session holds the cart, the CSRF secret, flashes and the sign-in's id. It is signed, not secret: put nothing in it that its owner may
not read.
"""

import time
from datetime import timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookies
from django.core import signing
from django.http import HttpRequest
from django.middleware.csrf import rotate_token

from core.errors import AppError
from core.identity.callers import Claims

LARGEST = 3_800  # bytes of the cookie's value: browsers keep 4,096 for name, value and attributes
SIGN_IN = "sign_in"
PROVED_AT = "proved_at"  # seconds of the epoch: when whoever is signed in last gave the password


class SessionTooLarge(AppError):
    """There is too much in the cart. Order what is in it first."""

    code = "session_too_large"
    status = 413


class SessionStore(SignedCookies):
    """Unsigned by the audience's own salt: what was signed for another audience reads as an empty session."""

    def __init__(self, session_key: str | None = None, *, audience: str = "") -> None:
        self.audience = audience
        super().__init__(session_key)

    @property
    def _salt(self) -> str:
        return f"comanda.session:{self.audience}"

    def load(self) -> dict[str, Any]:
        try:
            data = signing.loads(self.session_key or "", salt=self._salt, serializer=self.serializer, max_age=settings.SESSION_COOKIE_AGE)
        except Exception:  # noqa: BLE001 - whatever is wrong with a cookie from outside, it is an empty session
            return {}
        return data if isinstance(data, dict) else {}

    def save(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002 - as in Django
        """Raises SessionTooLarge when a browser would drop the cookie."""
        super().save(must_create)
        if len(self.session_key or "") > LARGEST:
            raise SessionTooLarge

    def _get_session_key(self) -> str:
        return signing.dumps(dict(self.items()), compress=True, salt=self._salt, serializer=self.serializer)


@lru_cache(maxsize=4096)
def signed_in_by(cookie: str, audience: str) -> Claims | None:
    """Whom a cookie signed for this audience names. Kept, so it may have expired since: only for what need not be exact."""
    return _claims_in(SessionStore(cookie, audience=audience))


def audience_of(request: HttpRequest) -> str:
    """Whom the request's cookies and tokens must be for."""
    tenant = getattr(request, "tenant", None)
    return "platform" if tenant is None else tenant.audience


def remember_sign_in(request: HttpRequest, who: Claims) -> None:
    """This browser is signed in from here on. Keeps the cart; changes the CSRF secret, so that one planted before is worthless."""
    request.session[SIGN_IN] = [who.session_id.hex, who.account_id, who.token_version]
    note_proof(request)
    rotate_token(request)


def note_proof(request: HttpRequest) -> None:
    """Whoever is signed in has just proven who they are."""
    request.session[PROVED_AT] = int(time.time())


def proved_within(request: HttpRequest, life: timedelta) -> bool:
    proved_at = request.session.get(PROVED_AT)
    return isinstance(proved_at, int) and 0 <= time.time() - proved_at < life.total_seconds()


def forget_sign_in(request: HttpRequest) -> None:
    """Empties the session: the next person at this device finds nothing of this one."""
    request.session.flush()
    rotate_token(request)


def remembered(request: HttpRequest) -> Claims | None:
    """Who this browser's cookie says it is. None when the cookie was made for an older generation of the cafeteria."""
    session = request.session
    if getattr(session, "audience", None) != audience_of(request):
        # The scope found a newer generation than the middleware knew.
        request.session = SessionStore(None, audience=audience_of(request))
        rotate_token(request)
        return None
    return _claims_in(session)


def _claims_in(session: SessionBase) -> Claims | None:
    match session.get(SIGN_IN):
        case [str() as session_id, int() as account_id, int() as token_version]:
            return Claims(session_id=UUID(hex=session_id), account_id=account_id, token_version=token_version)
    return None
