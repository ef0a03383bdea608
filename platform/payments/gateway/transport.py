"""How the SDK reaches Mercado Pago: our connections, retries and errors. No secret leaves by an exception or a log."""

import os
import random
import threading
from collections.abc import Callable, Mapping
from http.cookiejar import DefaultCookiePolicy
from time import sleep
from typing import Any
from urllib.parse import urlsplit

import mercadopago
import requests
import structlog
from django.conf import settings
from mercadopago.config import RequestOptions
from mercadopago.http import HttpClient

from core.redaction import redact_text
from payments.gateway.errors import ChargeNotFound, GatewayRefused, GatewayUnavailable, TokenRefused

log = structlog.get_logger()

BUILT_IN = "https://api.mercadopago.com"  # The SDK's private constant.
PAUSES = (0.2, 0.6)  # seconds before the second and the third attempt
LONGEST_RETRY_AFTER = 2.0  # seconds: whoever has to wait longer is better served by a job's retry
_local = threading.local()


class TransientFailure(Exception):
    """Not answered, or not with an answer. It may have been done all the same."""

    def __init__(self, what: str, *, wait: float | None = None) -> None:
        """`wait`: seconds that Mercado Pago asks for."""
        super().__init__(what)
        self.what, self.wait = what, wait


class Client(HttpClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's seam. One connection is kept by each thread, without cookies; who calls is in the headers of each call and nowhere else."""

    def request(
        self, method: str, url: str, _maxretries: object = None, _retry_on: object = None, _backoff_factor: object = None, **options: Any
    ) -> dict[str, Any]:
        """One attempt. Raises TransientFailure. The SDK's retries are left aside: `asked` has its own."""
        options = {name: value for name, value in options.items() if name not in {"maxretries", "retry_on", "backoff_factor"}}
        address = f"{settings.MERCADOPAGO_URL}{url.removeprefix(BUILT_IN)}"
        try:
            response = _session().request(method, address, allow_redirects=False, **options)
        except requests.RequestException as error:
            raise TransientFailure(type(error).__name__) from None
        if response.status_code == 429 or response.status_code >= 500:
            raise TransientFailure(str(response.status_code), wait=_wanted_wait(response.headers))
        return {"status": response.status_code, "response": _body(response)}


def sdk(access_token: str) -> Any:
    """A new one for each call: it writes its token into whatever it is given."""
    return mercadopago.SDK(access_token, http_client=Client())


def options(access_token: str, *, timeout: float, key: str) -> RequestOptions:
    """Fresh ones for each call: the SDK stamps those it is given with a token, and they must never serve another seller."""
    return RequestOptions(
        access_token=access_token, connection_timeout=float(timeout), custom_headers={"x-idempotency-key": key}, retry_on=[], max_retries=0
    )


def asked(what: str, call: Callable[[], Mapping[str, Any]], *, attempts: int) -> Any:
    """The body of the answer. `call` is one attempt and bears the same idempotency key each time. Raises payments.gateway.errors."""
    for attempt in range(1, attempts + 1):
        try:
            answer = call()
        except TransientFailure as failure:
            log.warning("mercadopago_unanswered", call=what, why=failure.what, attempt=attempt)
            if attempt == attempts:
                break
            sleep(_pause(attempt, failure.wait))
        else:
            return _checked(what, answer)
    raise GatewayUnavailable


def _pause(attempt: int, wanted: float | None) -> float:
    """Seconds before the next attempt."""
    usual = PAUSES[min(attempt, len(PAUSES)) - 1] * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
    return usual if wanted is None else max(usual, min(wanted, LONGEST_RETRY_AFTER))


def _checked(what: str, answer: Mapping[str, Any]) -> Any:
    status, body = int(answer["status"]), answer["response"]
    if 200 <= status < 300:
        return body
    if status == 401:
        log.warning("mercadopago_refused_token", call=what)
        raise TokenRefused
    if status == 404:
        raise ChargeNotFound
    their_code, message = _complaint(body)
    log.warning("mercadopago_refused", call=what, status=status, their_code=their_code, message=message)
    raise GatewayRefused(reason=message or f"HTTP {status}", their_code=their_code)


def _complaint(body: object) -> tuple[str, str]:
    """(code, message): the cause's code where there is one, else the word for the error."""
    if not isinstance(body, dict):
        return "", ""
    causes = body.get("cause")
    cause = causes[0] if isinstance(causes, list) and causes and isinstance(causes[0], dict) else {}
    message = str(body.get("message") or cause.get("description") or "")
    return str(cause.get("code") or body.get("error") or "")[:60], redact_text(message)[:200]


def _wanted_wait(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None


def _body(response: requests.Response) -> Any:
    if response.status_code == 204 or not response.content:
        return None
    try:
        return response.json()
    except ValueError:
        raise TransientFailure("not JSON") from None


def _session() -> requests.Session:
    """This thread's, to one host at a time."""
    host = urlsplit(settings.MERCADOPAGO_URL).netloc
    kept: requests.Session | None = getattr(_local, "session", None)
    if kept is None or _local.host != host:
        kept = requests.Session()
        kept.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        kept.auth = _leave_alone  # else requests would put a netrc's password in the place of the token
        _local.session, _local.host = kept, host
    return kept


def _forget_session() -> None:
    """In a forked process: the parent still talks on that connection."""
    _local.__dict__.clear()


os.register_at_fork(after_in_child=_forget_session)


def _leave_alone(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
