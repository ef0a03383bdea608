"""Which cafeteria a host means. Cached in the process; a scope notices a stale answer (tenants.scope.request_scope)."""

import time
from functools import lru_cache
from threading import Lock

from django.conf import settings
from django.db import connection

from tenants.refs import REF_COLUMNS, TenantRef, ref_from_row

LIFE = 30.0  # seconds; only pages that open no scope could see an answer this old
MOST = 5_000  # hosts kept
BY_SLUG = f"SELECT {REF_COLUMNS} FROM public.tenants_cafeteria WHERE slug = %s AND status <> 'closed'"  # noqa: S608
BY_DOMAIN = f"""SELECT {REF_COLUMNS} FROM public.tenants_cafeteria WHERE status <> 'closed'
    AND id = (SELECT tenant_id FROM public.tenants_domain WHERE domain = %s)"""  # noqa: S608

_cache: dict[str, tuple[float, TenantRef]] = {}
_lock = Lock()


@lru_cache(maxsize=MOST)
def normalise_host(raw: str) -> str:
    """Lowercase, without port and trailing dot. Empty for what cannot be a host."""
    host = raw.strip().lower()
    if host.startswith("["):
        return ""
    host, _, port = host.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return ""
    host = host.removesuffix(".")
    return host if host and all(c.isascii() and (c.isalnum() or c in "-.") for c in host) else ""


def is_platform(host: str) -> bool:
    return host in {settings.BASE_DOMAIN, f"www.{settings.BASE_DOMAIN}"} or (settings.DEVELOPMENT and host == "127.0.0.1")


def resolve(host: str) -> TenantRef | None:
    """The cafeteria of a normalised host, or None for an unknown or closed one. Only open ones are cached: others may open any second."""
    now = time.monotonic()
    hit = _cache.get(host)
    if hit is not None and hit[0] > now:
        return hit[1]
    ref = _look_up(host)
    with _lock:
        if ref is None or ref.status != "open":
            _cache.pop(host, None)
            return ref
        while len(_cache) >= MOST:
            _cache.pop(next(iter(_cache)))
        _cache[host] = (now + LIFE, ref)
    return ref


def last_known(host: str) -> TenantRef | None:
    """The cafeteria that was last found for a normalised host, however long ago; asks nobody. For what need not be right."""
    hit = _cache.get(host)
    return hit[1] if hit is not None else None


def forget(cafeteria_id: int) -> None:
    with _lock:
        for host in [host for host, (_, ref) in _cache.items() if ref.id == cafeteria_id]:
            _cache.pop(host, None)


def forget_all() -> None:
    with _lock:
        _cache.clear()


def site_url(slug: str) -> str:
    """The address of a cafeteria's site, without a trailing slash."""
    port = f":{settings.PUBLIC_PORT}" if settings.PUBLIC_PORT else ""
    return f"{settings.PUBLIC_SCHEME}://{slug}.{settings.BASE_DOMAIN}{port}"


def platform_url() -> str:
    port = f":{settings.PUBLIC_PORT}" if settings.PUBLIC_PORT else ""
    return f"{settings.PUBLIC_SCHEME}://{settings.BASE_DOMAIN}{port}"


def _look_up(host: str) -> TenantRef | None:
    suffix = f".{settings.BASE_DOMAIN}"
    if host.endswith(suffix):
        slug = host.removesuffix(suffix)
        if "." in slug:
            return None
        sql, value = BY_SLUG, slug
    else:
        sql, value = BY_DOMAIN, host
    with connection.cursor() as cursor:
        cursor.execute(sql, [value])
        row = cursor.fetchone()
    return None if row is None else ref_from_row(row)
