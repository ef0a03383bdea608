"""Where Mercado Pago notifies. Verify, write, answer: in milliseconds, with nothing asked outside."""

import time

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from mercadopago.webhook import InvalidWebhookSignatureError, WebhookSignatureValidator

from core.alerts.actions import raise_alert
from core.doors import open_page
from core.metrics import WEBHOOKS
from payments.inbox.actions import Told, seller_key, store_notification

TOPICS = {"payment", "chargebacks", "topic_chargebacks_wh"}
PLATFORM_TOPICS = {"subscription_preapproval", "subscription_authorized_payment"}
LONGEST_ID = 64
LONGEST_USER_ID = 18
ALERT_EVERY = 10.0  # seconds
_told = {"at": float("-inf")}


@csrf_exempt
@require_POST
@open_page
def notified(request: HttpRequest, key: str) -> HttpResponse:
    """The opaque address of one cafeteria's account."""
    return receive(request, key=key, topics=TOPICS)


@csrf_exempt
@require_POST
@open_page
def platform_notified(request: HttpRequest) -> HttpResponse:
    """The address of the platform's own application: its subscriptions."""
    return receive(request, key=None, topics=PLATFORM_TOPICS)


@csrf_exempt
@require_POST
@open_page
def cafeteria_notified(request: HttpRequest) -> HttpResponse:
    """The same on a cafeteria's own host, which says whose it is."""
    return receive(request, key=seller_key(request.tenant.uuid) or "", topics=TOPICS)  # type: ignore[attr-defined]


def receive(request: HttpRequest, *, key: str | None, topics: set[str]) -> HttpResponse:
    data_id = request.GET.get("data.id", "")
    if not signed(request, data_id):
        WEBHOOKS.labels("refused").inc()
        _tell_of_forgery()
        return _answer("The signature does not match.", code="bad_signature", status=401)
    told = _read(request, data_id)
    if told.topic not in topics or not 0 < len(told.data_id) <= LONGEST_ID or not told.data_id.isalnum():
        WEBHOOKS.labels("ignored").inc()
        return _answer("Ignored.", code="ignored")
    if not store_notification(key=key, told=told):
        WEBHOOKS.labels("unknown").inc()
        return _answer("There is no such address.", code="not_found", status=404)
    WEBHOOKS.labels("stored").inc()
    return _answer("Stored.", code="stored")


def _tell_of_forgery() -> None:
    """One alert's row for all of them: a flood must not queue for it, so each process counts up at most every ALERT_EVERY seconds."""
    now = time.monotonic()
    if now - _told["at"] >= ALERT_EVERY:
        _told["at"] = now
        raise_alert(kind="payments.bad_signature", detail="Notifications with a bad or missing signature were refused.")


def signed(request: HttpRequest, data_id: str) -> bool:
    """Whether Mercado Pago signed it: the id as it came, then in lower case. Its time is not looked at: a replay does nothing."""
    secret, signature = settings.MERCADOPAGO_WEBHOOK_SECRET, request.headers.get("x-signature", "")
    if not secret or not signature.isascii():
        return False
    for candidate in dict.fromkeys((data_id, data_id.lower())):
        try:
            WebhookSignatureValidator.validate(signature, request.headers.get("x-request-id"), candidate or None, secret)
        except (InvalidWebhookSignatureError, ValueError, TypeError):
            continue
        return True
    return False


def _read(request: HttpRequest, data_id: str) -> Told:
    """The body is not signed: it may be anything."""
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        body = {}
    body = body if isinstance(body, dict) else {}
    user_id, action = str(body.get("user_id", "")), body.get("action")
    is_id = user_id.isascii() and user_id.isdigit() and len(user_id) <= LONGEST_USER_ID
    return Told(
        topic=request.GET.get("type", "") or str(body.get("type", "")),
        action=action if isinstance(action, str) and "\x00" not in action else "",
        data_id=data_id,
        user_id=int(user_id) if is_id else None,
        request_id=request.headers.get("x-request-id", "").replace("\x00", ""),
    )


def _answer(detail: str, *, code: str, status: int = 200) -> HttpResponse:
    return JsonResponse({"detail": detail, "code": code}, status=status)
