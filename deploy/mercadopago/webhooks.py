"""Notifications: what they say, how they are signed, what goes wrong with them, and when they are due."""

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

from deploy.mercadopago.clock import MINUTE, SECOND, stamp
from deploy.mercadopago.faults import Faults
from deploy.mercadopago.store import Document, Store

RETRY_EVERY = 15 * MINUTE
MOST_RETRIES = 8


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that a merchant is told about."""

    topic: str
    action: str
    resource: str  # the id in data.id
    user_id: int
    url: str
    version: int | None = None  # subscriptions count theirs


@dataclass(frozen=True, kw_only=True)
class Posting:
    """One delivery, ready to be sent."""

    url: str
    headers: dict[str, str]
    body: bytes


def new_deliveries(store: Store, faults: Faults, event: Event, *, now: int) -> list[Document]:
    """The POSTs that an event makes, with their faults, kept as waiting. Within a transaction."""
    if not event.url:
        return []
    struck = faults.struck_by_delivery(url=event.url, topic=event.topic, user_id=event.user_id)
    number = store.next_number("notification", first=now // SECOND * 100)
    delivery: dict[str, Any] = {
        "event": _event_body(event, number, now),
        "url": event.url,
        "topic": event.topic,
        "resource": event.resource,
    }
    delivery |= {"user_id": event.user_id, "legacy": False, "attempts": 0, "faults": sorted(struck)}
    if "drop" in struck:
        store.write_log({"kind": "delivery", "at": stamp(now), "status": None, "outcome": "dropped", **_described(delivery)})
        return []
    copies = 1 + (struck["duplicate"]["copies"] if "duplicate" in struck else 0)
    bodies = [delivery] * copies
    if event.topic in {"payment", "chargebacks"} and "webhooks" not in parse_qs(urlsplit(event.url).query).get("source_news", []):
        bodies.append({**delivery, "legacy": True})
    wait = max((round(struck[kind]["seconds"] * SECOND) for kind in ("delay", "reorder") if kind in struck), default=0)
    documents = [
        Document(
            kind="delivery",
            id=uuid4().hex,
            owner=event.user_id,
            parent=f"{event.topic}:{event.resource}",
            status="held" if "reorder" in struck else "waiting",
            created=now,
            due=now + wait,
            body=body,
        )
        for body in bodies
    ]
    for document in documents:
        store.save(document)
    return documents


def posting(delivery: Document, *, now: int, secret: str) -> Posting:
    """The signed request. A tampered one is signed for the true id and carries another."""
    body, struck = delivery.body, delivery.body["faults"]
    request_id, resource = str(uuid4()), body["resource"]
    moment = str(now if "ms_ts" in struck else now // SECOND)
    signed = f"id:{resource};request-id:{request_id};ts:{moment};"
    event = json.loads(json.dumps(body["event"]))
    if "tampered_id" in struck:
        resource = event["data"]["id"] = f"{resource}9"
    if "wrong_user_id" in struck:
        event["user_id"] = event["user_id"] + 1
    if body["legacy"]:
        query, signed = {"id": resource, "topic": body["topic"]}, str(uuid4())  # a signature of something nobody can rebuild
        event = {"resource": resource, "topic": body["topic"]}
    else:
        query = {"data.id": resource, "type": body["topic"]}
    key = f"{secret}-not" if "wrong_secret" in struck else secret
    signature = hmac.new(key.encode(), signed.encode(), hashlib.sha256).hexdigest()
    headers = {"x-request-id": request_id, "x-signature": f"ts={moment},v1={signature}", "Content-Type": "application/json"}
    headers["User-Agent"] = "MercadoPago WebHook v1.0 payment" if not body["legacy"] else "MercadoPago Feed v2.0 payment"
    url = f"{body['url']}{'&' if '?' in body['url'] else '?'}{urlencode(query)}"
    return Posting(url=url, headers=headers, body=json.dumps(event).encode())


def settled(store: Store, delivery: Document, *, status: int | None, now: int) -> Document | None:
    """Notes an attempt that was answered with `status` (None: not answered). The delivery if it is to be tried again.

    Within a transaction.
    """
    delivery.body["attempts"] += 1
    received = status in {200, 201}
    again = not received and delivery.body["attempts"] <= MOST_RETRIES
    outcome = "delivered" if received else "retried" if again else "given_up"
    entry = {"kind": "delivery", "at": stamp(now), "status": status, "outcome": outcome, **_described(delivery.body)}
    store.write_log(entry)
    if not again:
        store.delete("delivery", delivery.id)
        return None
    delivery.status, delivery.due = "waiting", (delivery.due or now) + RETRY_EVERY
    store.save(delivery)
    return delivery


def _event_body(event: Event, number: int, now: int) -> dict[str, Any]:
    body: dict[str, Any] = {"id": number, "live_mode": True, "type": event.topic, "date_created": stamp(now), "user_id": event.user_id}
    body |= {"api_version": "v1", "action": event.action, "data": {"id": event.resource}}
    return body if event.version is None else {**body, "version": event.version, "entity": event.topic.removeprefix("subscription_")}


def _described(delivery: dict[str, Any]) -> dict[str, Any]:
    """What the log tells of a delivery."""
    shown = {name: delivery[name] for name in ("topic", "resource", "user_id", "url", "legacy", "attempts", "faults")}
    return {**shown, "action": delivery["event"]["action"], "notification": delivery["event"]["id"]}
