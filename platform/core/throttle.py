"""Brakes for guessing: only failures count, per account and per address.

An attempt is counted before it is tried and given back when it succeeds, so that many at once cannot slip past the limit together.
Call it outside of any cafeteria's scope: a scope that answers with an error rolls back, and with it the count.
"""

import hashlib
import hmac
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest
from django.utils import timezone

from core.errors import TooManyAttempts
from core.identity.models import Throttle

# One statement for all keys, in their order, so that two attempts never wait for one another in a circle.
TAKE = """INSERT INTO core_throttle (key, count, started_at) VALUES {rows}
    ON CONFLICT (key) DO UPDATE SET
        count = CASE WHEN core_throttle.started_at <= %s THEN 1 ELSE core_throttle.count + 1 END,
        started_at = CASE WHEN core_throttle.started_at <= %s THEN EXCLUDED.started_at ELSE core_throttle.started_at END
    RETURNING key, count, started_at"""
PRUNE_ONE_IN = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Brake:
    key: str  # an HMAC: the table tells nobody who tried
    limit: int  # failures a window


def account_brake(space: str, email: str) -> Brake:
    """`space` is the platform or one cafeteria: the same address in two of them is two accounts."""
    return Brake(key=_key("account", space, email), limit=settings.LOGIN_FAILURES_PER_ACCOUNT)


def address_brake(address: str) -> Brake:
    return Brake(key=_key("address", network(address)), limit=settings.LOGIN_FAILURES_PER_ADDRESS)


def take_attempt(brakes: Sequence[Brake]) -> None:
    """Counts an attempt against each brake. Raises TooManyAttempts once one of them is past its limit."""
    now = timezone.now()
    expired = now - settings.LOGIN_FAILURE_WINDOW
    ordered = sorted(brakes, key=lambda brake: brake.key)
    values: list[Any] = [value for brake in ordered for value in (brake.key, now)]
    with connection.cursor() as cursor:
        cursor.execute(TAKE.format(rows=", ".join(["(%s, 1, %s)"] * len(ordered))), [*values, expired, expired])
        counted = {key: (count, started_at) for key, count, started_at in cursor.fetchall()}
    waits = [_wait(counted[brake.key][1], now) for brake in ordered if counted[brake.key][0] > brake.limit]
    if waits:
        raise TooManyAttempts(retry_after=max(waits))
    if random.randrange(PRUNE_ONE_IN) == 0:  # noqa: S311 - no secret
        prune()


def give_back(brakes: Sequence[Brake]) -> None:
    """The attempt succeeded: it does not count."""
    with connection.cursor() as cursor:
        for brake in sorted(brakes, key=lambda brake: brake.key):
            cursor.execute("UPDATE core_throttle SET count = count - 1 WHERE key = %s AND count > 0", [brake.key])


def forgive(brake: Brake) -> None:
    """Forgets the failures: the right person is here."""
    Throttle.objects.filter(key=brake.key).delete()


def prune() -> None:
    """Drops what no longer counts."""
    Throttle.objects.filter(started_at__lte=timezone.now() - settings.LOGIN_FAILURE_WINDOW).delete()


def client_address(request: HttpRequest) -> str:
    """The address of whoever calls. X-Forwarded-For counts only from our own proxies, and only as far as they wrote it."""
    direct = str(request.META.get("REMOTE_ADDR") or "")
    if not settings.TRUSTED_PROXIES or not _is_our_proxy(direct):
        return direct
    hops: list[str] = [hop.strip() for hop in str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",") if hop.strip()]
    if len(hops) < settings.TRUSTED_PROXIES:
        return direct
    given = hops[-settings.TRUSTED_PROXIES]
    return given if _is_address(given) else direct


@lru_cache(maxsize=1024)
def _is_our_proxy(direct: str) -> bool:
    """Whether the other end of the connection is where our proxies are. A socket file has no address, and only this machine reaches it."""
    if not direct:
        return True
    try:
        peer = ip_address(direct)
    except ValueError:
        return False
    peer = getattr(peer, "ipv4_mapped", None) or peer
    return any(peer in ip_network(network) for network in settings.TRUSTED_PROXY_NETWORKS)


@lru_cache(maxsize=4096)
def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _wait(started_at: datetime, now: datetime) -> int:
    return max(1, int((started_at + settings.LOGIN_FAILURE_WINDOW - now).total_seconds()))


def network(address: str) -> str:
    """The part of an address that one client has: whoever has an IPv6 address has 2**64 of them."""
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped) if parsed.ipv4_mapped else parsed.exploded[:19]


def _key(*parts: str) -> str:
    return hmac.new(settings.SECRET_KEY.encode(), "\x00".join(("throttle", *parts)).encode(), hashlib.sha256).hexdigest()
