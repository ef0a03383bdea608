from typing import Any

import orjson
from django.http import HttpRequest
from ninja.renderers import BaseRenderer


class FastRenderer(BaseRenderer):
    """JSON through orjson; what it does not know (Decimal) as text, as the contract writes money."""

    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:  # noqa: ARG002 - ninja's signature
        return orjson.dumps(data, default=str)
