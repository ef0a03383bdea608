"""Sellers who let the application act for them: codes, tokens, and their end."""

import base64
import hashlib
import secrets
from typing import Any

from deploy.mercadopago.clock import DAY, MINUTE, SECOND
from deploy.mercadopago.emulator import Emulator
from deploy.mercadopago.errors import ApiError, bad_request, unauthorized
from deploy.mercadopago.messages import Request, Response, answer
from deploy.mercadopago.store import Document
from deploy.mercadopago.webhooks import Event

CODE_LIVES = 10 * MINUTE
TOKEN_LIVES = 180 * DAY
USED_UP = "Error validating grant. Your authorization code or refresh token may be expired or it was already used."


def authenticate(emulator: Emulator, request: Request) -> None:
    """Notes on the request whose token it bears, also when that is of no use any more."""
    token = emulator.store.find("token", request.bearer) if request.bearer else None
    if token:
        request.token, request.seller = token, emulator.seller(token.owner or 0)


def require_seller(emulator: Emulator, request: Request) -> None:
    """Raises ApiError (401) for no token, a revoked one and one that is too old."""
    token = request.token
    if token is None or token.status == "revoked" or (token.due is not None and token.due <= emulator.clock.now()):
        raise unauthorized()


def grant_code(emulator: Emulator, seller: Document, *, redirect_uri: str, challenge: str, method: str) -> str:
    """What a seller's "allow" gives: a code for one use within ten minutes. Raises ApiError for another method than S256."""
    if challenge and method != "S256":
        raise bad_request("code_challenge_method must be S256", error="invalid_request")
    code, now = f"TG-{secrets.token_hex(16)}-{seller.id}", emulator.clock.now()
    body = {"redirect_uri": redirect_uri, "challenge": challenge}
    emulator.store.save(Document(kind="code", id=code, owner=int(seller.id), created=now, due=now + CODE_LIVES, body=body))
    return code


def issue_token(emulator: Emulator, request: Request) -> Response:
    """POST /oauth/token, as JSON or as a form."""
    is_form = request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
    asked: dict[str, Any] = request.form() if is_form else request.json()
    own = (emulator.configuration.client_id, emulator.configuration.client_secret)
    if (str(asked.get("client_id", "")), str(asked.get("client_secret", ""))) != own:
        raise ApiError(400, "invalid_client", "invalid client_id or client_secret")
    match asked.get("grant_type"):
        case "authorization_code":
            seller = _redeem_code(emulator, asked)
            response = _new_tokens(emulator, seller)
            emulator.notify(connection_event(emulator, int(seller.id), action="application.authorized"))
            return response
        case "refresh_token":
            return _new_tokens(emulator, _redeem_refresh(emulator, asked))
    raise bad_request("grant_type must be authorization_code or refresh_token", error="unsupported_grant_type")


def revoke(emulator: Emulator, seller: Document) -> int:
    """Ends all that the seller has allowed; tells the application. The number of tokens ended. Within a transaction."""
    tokens = [token for token in emulator.store.select("token", {"owner": int(seller.id)}) if token.body["oauth"]]
    for token in tokens:
        token.status, token.reference = "revoked", None
        emulator.store.save(token)
    emulator.notify(connection_event(emulator, int(seller.id), action="application.deauthorized"))
    return len(tokens)


def connection_event(emulator: Emulator, user_id: int, *, action: str) -> Event:
    url = emulator.settings["app_webhook_url"]
    return Event(topic="mp-connect", action=action, resource=str(user_id), user_id=user_id, url=url)


def show_me(_emulator: Emulator, request: Request) -> Response:
    shown = request.owner.public()
    return answer({**shown, "site_status": "active", "user_type": "normal", "tags": ["normal"], "status": {"site_status": "active"}})


def _redeem_code(emulator: Emulator, asked: dict[str, Any]) -> Document:
    code = emulator.store.find("code", str(asked.get("code", "")))
    if code is None or code.status == "used" or (code.due or 0) <= emulator.clock.now():
        raise bad_request(USED_UP, error="invalid_grant")
    if asked.get("redirect_uri", "") != code.body["redirect_uri"]:
        raise bad_request("redirect_uri is not the one of the authorization", error="invalid_grant")
    if code.body["challenge"] and _challenge(str(asked.get("code_verifier", ""))) != code.body["challenge"]:
        raise bad_request("code_verifier does not fit the code_challenge", error="invalid_grant")
    code.status = "used"
    emulator.store.save(code)
    return _owner(emulator, code)


def _redeem_refresh(emulator: Emulator, asked: dict[str, Any]) -> Document:
    found = emulator.store.select("token", {"reference": str(asked.get("refresh_token", ""))})
    if not found or found[0].status == "revoked":
        raise bad_request(USED_UP, error="invalid_grant")
    token = found[0]
    token.reference = None  # The access token lives on until it is too old.
    emulator.store.save(token)
    return _owner(emulator, token)


def _new_tokens(emulator: Emulator, seller: Document) -> Response:
    now, number = emulator.clock.now(), int(seller.id)
    access = f"APP_USR-{emulator.configuration.client_id}-{secrets.token_hex(16)}-{number}"
    refresh = f"TG-{secrets.token_hex(16)}-{number}"
    token = Document(kind="token", id=access, owner=number, reference=refresh, created=now, due=now + TOKEN_LIVES, body={"oauth": True})
    emulator.store.save(token)
    shown = {"access_token": access, "token_type": "Bearer", "expires_in": TOKEN_LIVES // SECOND, "scope": "offline_access read write"}
    shown |= {"user_id": number, "refresh_token": refresh, "public_key": f"APP_USR-public-{number}", "live_mode": True}
    return answer(shown)


def _owner(emulator: Emulator, grant: Document) -> Document:
    seller = emulator.seller(grant.owner or 0)
    assert seller is not None  # sellers only go together with everything
    return seller


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
