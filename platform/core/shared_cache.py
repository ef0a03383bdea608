"""The cache that all web processes share: Valkey, or any server that speaks Redis' protocol (CACHE_URL).

It may be away, slow, empty or full at any moment. Then nothing is found, and the page is drawn as if there were none.
"""

import time
from collections.abc import Callable
from typing import Any

import structlog
from django.core.cache.backends.redis import RedisCache
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from core.metrics import SHARED_CACHE_LOOKS

SECONDS = 0.1  # for a connection, and for an answer: drawing a menu takes less than ten milliseconds
PAUSE = 5.0  # seconds in which a server that has just failed is not asked again

log = structlog.get_logger("comanda.cache")


class TextOnly:
    """Values are text and nothing else. Django's own way is pickle, with which whoever writes to the cache runs code in the product."""

    def dumps(self, value: object) -> bytes:
        if not isinstance(value, str):
            raise TypeError(f"The shared cache keeps text, not {type(value).__name__}.")
        return value.encode()

    def loads(self, data: bytes) -> str:
        return data.decode(errors="replace")


class SharedCache(RedisCache):
    """`get` and `set` of text. Neither raises when the server fails, and one that has failed costs nothing for the next PAUSE seconds."""

    _silent_until = 0.0  # of the process, whose threads have a backend each

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        options = {
            "serializer": TextOnly,
            "socket_timeout": SECONDS,
            "socket_connect_timeout": SECONDS,
            "retry": Retry(NoBackoff(), 0),
            **params.get("OPTIONS", {}),
        }
        super().__init__(server, {**params, "OPTIONS": options})

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        found = self._asked(lambda: super(SharedCache, self).get(key, None, version))
        if found is None:
            return default
        SHARED_CACHE_LOOKS.labels("hit").inc()
        return found

    def set(self, key: Any, value: Any, timeout: Any = 300, version: int | None = None) -> None:
        self._asked(lambda: super(SharedCache, self).set(key, value, timeout, version), counted=False)

    def _asked(self, ask: Callable[[], Any], *, counted: bool = True) -> Any:
        if time.monotonic() < SharedCache._silent_until:
            SHARED_CACHE_LOOKS.labels("skipped").inc()
            return None
        try:
            found = ask()
        except RedisError as error:
            SharedCache._silent_until = time.monotonic() + PAUSE
            SHARED_CACHE_LOOKS.labels("failed").inc()
            log.warning("shared_cache.failed", error=type(error).__name__, pause_seconds=PAUSE)
            return None
        if counted and found is None:
            SHARED_CACHE_LOOKS.labels("miss").inc()
        return found
