"""A request and what is answered to it, apart from how they travel."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from deploy.mercadopago.errors import ApiError, bad_request
from deploy.mercadopago.store import Document


@dataclass(kw_only=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes
    seller: Document | None = None  # whose token came with it
    token: Document | None = None

    def json(self) -> dict[str, Any]:
        """The body as an object; none is an empty one. Raises ApiError."""
        if not self.body.strip():
            return {}
        try:
            value = json.loads(self.body)
        except ValueError:
            raise bad_request("Invalid JSON", error="json_error") from None
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise bad_request("The body must be an object", error="json_error")
        return value

    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))

    @property
    def bearer(self) -> str:
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    @property
    def owner(self) -> Document:
        assert self.seller is not None  # the routes that ask have been authenticated
        return self.seller

    @property
    def owner_id(self) -> int:
        return int(self.owner.id)


@dataclass(kw_only=True)
class Response:
    status: int = 200
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    after: Callable[[], "Response"] | None = None  # what to do once all is kept, and its answer in place of this one
    hang_up: bool = False  # the connection breaks instead of an answer
    cut: bool = False  # half of the body


def answer(value: Any, status: int = 200, **headers: str) -> Response:
    return Response(status=status, body=json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), headers=headers)


def refusal(error: ApiError) -> Response:
    return answer(error.body(), error.status)


def page(html: str, status: int = 200) -> Response:
    return Response(status=status, body=html.encode(), content_type="text/html; charset=utf-8")


def redirect(url: str) -> Response:
    return Response(status=303, headers={"Location": url})
