"""What goes wrong on purpose, for requests and for webhooks: each a rule that matches, a kind, and how often it strikes."""

import hashlib
import re
from typing import Any
from uuid import uuid4

from deploy.mercadopago.errors import bad_request
from deploy.mercadopago.messages import Request, Response, answer
from deploy.mercadopago.store import Document, Store

REQUEST_KINDS = {"latency", "status_500", "status_429", "html_502", "truncated_json", "connection_reset", "commit_then_timeout"}
WEBHOOK_KINDS = {"drop", "duplicate", "delay", "reorder", "wrong_secret", "wrong_user_id", "tampered_id", "ms_ts"}
_MATCHES = {"method", "path", "topic", "user_id"}
_NUMBERS: tuple[tuple[str, type | tuple[type, ...], str], ...] = (
    *((name, int, "whole number") for name in ("times", "copies", "seed", "retry_after")),
    *((name, (int, float), "number") for name in ("probability", "seconds")),
)
_OPTIONS = {"match", "kind", "times", "probability", "seed", "seconds", "retry_after", "copies"}


class Faults:
    """The rules in force, oldest first. The caller holds the store's transaction where it says so."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rules = store.select("fault", {})

    def add(self, options: dict[str, Any], *, now: int) -> dict[str, Any]:
        """Within a transaction. Raises ApiError for what makes no sense."""
        _check(options)
        body = {"match": {}, "times": None, "probability": 1.0, "seed": 0, "seconds": 1.0, "retry_after": 1, "copies": 1, **options}
        rule = Document(kind="fault", id=uuid4().hex, created=now, body={**body, "draws": 0, "struck": 0})
        self._store.save(rule)
        self._rules.append(rule)
        return {"id": rule.id, **rule.body}

    def clear(self) -> None:
        """Within a transaction."""
        self._store.delete_kind("fault")
        self._rules.clear()

    def shown(self) -> list[dict[str, Any]]:
        return [{"id": rule.id, **rule.body} for rule in self._rules]

    def struck_by_request(self, request: Request) -> list[dict[str, Any]]:
        """The latency, if any, and the first other fault that strikes this request. Takes a transaction of its own if need be."""
        if not self._rules:
            return []
        with self._store.transaction():
            found: list[dict[str, Any]] = []
            for rule in list(self._rules):
                kind = rule.body["kind"]
                taken = kind in {fault["kind"] for fault in found} or (kind != "latency" and any(f["kind"] != "latency" for f in found))
                if kind in REQUEST_KINDS and not taken and _matches_request(rule, request) and self._strikes(rule):
                    found.append(rule.body)
            return found

    def struck_by_delivery(self, *, url: str, topic: str, user_id: int) -> dict[str, dict[str, Any]]:
        """All faults that strike a notification, by kind. Within a transaction."""
        found: dict[str, dict[str, Any]] = {}
        for rule in list(self._rules):
            kind = rule.body["kind"]
            matches = kind in WEBHOOK_KINDS and kind not in found and _matches_delivery(rule, url=url, topic=topic, user_id=user_id)
            if matches and self._strikes(rule):
                found[kind] = rule.body
        return found

    def _strikes(self, rule: Document) -> bool:
        body = rule.body
        body["draws"] += 1
        strikes = _drawn(body["seed"], body["draws"]) < body["probability"]
        if strikes:
            body["struck"] += 1
        if body["times"] is not None and body["struck"] >= body["times"]:
            self._store.delete("fault", rule.id)
            self._rules.remove(rule)
        else:
            self._store.save(rule)
        return bool(strikes)


def instead_of_an_answer(faults: list[dict[str, Any]]) -> Response | None:
    """What is answered without doing anything, for the faults that are of this sort."""
    for fault in faults:
        kind = fault["kind"]
        if kind == "status_500":
            return answer({"message": "internal_error", "error": "internal_server_error", "status": 500, "cause": []}, 500)
        if kind == "status_429":
            body = {"message": "too_many_requests", "error": "local_rate_limited", "status": 429, "cause": []}
            return answer(body, 429, **{"Retry-After": str(fault["retry_after"])})
        if kind == "html_502":
            html = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
            return Response(status=502, body=html, content_type="text/html")
        if kind == "connection_reset":
            return Response(hang_up=True)
    return None


def _drawn(seed: int, draw: int) -> float:
    """From 0 up to 1: the same for the same seed and draw, in any process."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{draw}".encode()).digest()[:8]) / 2**64


def _matches_request(rule: Document, request: Request) -> bool:
    match = rule.body["match"]
    if match.get("method") and match["method"].upper() != request.method:
        return False
    if "user_id" in match and (request.seller is None or match["user_id"] != int(request.seller.id)):
        return False
    return re.search(match.get("path", ""), request.path) is not None


def _matches_delivery(rule: Document, *, url: str, topic: str, user_id: int) -> bool:
    match = rule.body["match"]
    if "user_id" in match and match["user_id"] != user_id:
        return False
    patterns = ((match.get("path", ""), url), (match.get("topic", ""), topic))
    return all(re.search(pattern, text) for pattern, text in patterns)


def _check(options: dict[str, Any]) -> None:
    kind, match = options.get("kind"), options.get("match", {})
    if kind not in REQUEST_KINDS | WEBHOOK_KINDS:
        raise bad_request(f"kind must be one of {', '.join(sorted(REQUEST_KINDS | WEBHOOK_KINDS))}")
    if unknown := set(options) - _OPTIONS:
        raise bad_request(f"Unknown: {', '.join(sorted(unknown))}")
    if not isinstance(match, dict) or set(match) - _MATCHES:
        raise bad_request(f"match is an object of {', '.join(sorted(_MATCHES))}")
    for name in ("path", "topic"):
        _check_pattern(name, match.get(name, ""))
    for name, kinds, called in _NUMBERS:
        if options.get(name) is not None and not isinstance(options[name], kinds):
            raise bad_request(f"{name} must be a {called}")


def _check_pattern(name: str, pattern: Any) -> None:
    try:
        re.compile(pattern)
    except (re.error, TypeError) as problem:
        raise bad_request(f"match.{name} is no regular expression: {problem}") from None
