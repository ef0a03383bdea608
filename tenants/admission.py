"""Who is let in while the process is busy: before the database is asked for anything, and for less than a page costs to find out.

Shares are counted per cafeteria, its guests and its signed-in people apart, so that the staff at the counter is not shut out by the crowd
before it; and per client, who is a person when signed in, else an address: people behind one address stand in for themselves.
"""

import random
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from core import error_pages, sessions, tokens
from core.doors import bearer_token
from core.errors import AppError, TooManyRequests
from core.http import json_error
from core.identity.callers import Claims
from core.metrics import REFUSED_REQUESTS
from core.shares import Buckets, Shares
from core.throttle import client_address, network
from tenants.refs import TenantRef
from tenants.routing import is_platform, last_known, normalise_host

FREE = ("/health", "/metrics", "/static/")
WEBHOOKS = ("/webhooks/", "/api/v1/payments/webhook")  # They come from Mercado Pago's few addresses, for everybody.
DEAREST = 0.1  # seconds: what takes longer waits for somebody else. Less than core.shares.SMALL: one request makes no hog
SLOW = 1.0  # seconds under way
PAUSE = 0.0005  # seconds: what comes sooner after an answer had been waiting
CROWD, CROWD_WEIGHT = 0.3, 0.05
RETRY_SECONDS = (2, 6)  # at random between them, so that not all come back at once


@dataclass(frozen=True, kw_only=True)
class Visit:
    """Whose request it is."""

    house: Hashable  # the cafeteria's guests, or its signed-in people
    client: Hashable | None  # None: nobody in particular, such as this machine itself
    signed_in: bool
    spared: bool = False  # never refused here: it counts, and the others' shares follow from it
    place_known: bool = True


class AdmissionMiddleware:
    """429 with Retry-After for whoever takes more than a fair share of a busy process, or sends more than anybody can mean."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.under_way: dict[int, tuple[Hashable, float]] = {}
        self.crowd = 0.0  # how many of the last requests had waited for the one before, 0 to 1
        self.ended = 0.0  # when the last one was answered

    # Made at the first request, so that a test can set what they follow.
    @cached_property
    def houses(self) -> Shares:
        return Shares(target=settings.FAIR_SHARE_PERCENT / 100)

    @cached_property
    def clients(self) -> Shares:
        # Lower than the houses': one client who takes too much is stopped before his cafeteria's other guests are.
        return Shares(target=0.8 * settings.FAIR_SHARE_PERCENT / 100)

    @cached_property
    def buckets(self) -> Buckets:
        return Buckets(rate=settings.REQUESTS_PER_ADDRESS)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(FREE):
            return self.get_response(request)
        host = normalise_host(request.META.get("HTTP_HOST", ""))
        ref = last_known(host)
        visit = visit_of(request, host, ref)
        reason = self.why_not(visit) if settings.FAIR_SHARE_PERCENT else ""
        if reason:
            self.ended = time.monotonic()
            return refuse(request, reason, ref, host)
        return self.let_in(request, visit, host)

    def look_at_the_queue(self) -> bool:
        """Whether requests queue up before this process: then the next one begins right after the last. A lone client, however busy, never
        makes a queue: it waits for its answer first."""
        waited = bool(self.under_way) or time.monotonic() - self.ended < PAUSE
        self.crowd += (waited - self.crowd) * CROWD_WEIGHT
        return self.crowd > CROWD

    def why_not(self, visit: Visit) -> str:
        queued = self.look_at_the_queue()
        if visit.spared:
            return ""
        if visit.client is not None:
            if not visit.signed_in and not self.buckets.take(visit.client):
                return "address_rate"
            if queued and self.clients.is_too_much(visit.client):
                return "person" if visit.signed_in else "address"
        if queued and self.houses.is_too_much(visit.house):
            return "cafeteria"
        return "threads" if self.holds_all_but_one_thread(visit.house) else ""

    def holds_all_but_one_thread(self, house: Hashable) -> bool:
        """While Mercado Pago hangs, one cafeteria's checkouts must not take the last thread from the others."""
        most = settings.WEB_THREADS - 1
        if most < 1 or len(self.under_way) < most:
            return False
        since = time.monotonic() - SLOW
        return sum(whose == house and began < since for whose, began in list(self.under_way.values())) >= most

    def let_in(self, request: HttpRequest, visit: Visit, host: str) -> HttpResponseBase:
        began, worked = time.monotonic(), time.thread_time()
        self.under_way[id(request)] = (visit.house, began)
        try:
            return self.get_response(request)
        finally:
            del self.under_way[id(request)]
            self.ended = time.monotonic()
            # A cafeteria's first request here is known by now: as somebody apart, it would stand in its own crowd's way.
            if not visit.place_known:
                visit = visit_of(request, host, last_known(host))
            seconds = min(DEAREST, max((time.monotonic() - began) / settings.WEB_THREADS, time.thread_time() - worked))
            self.houses.charge(visit.house, seconds)
            if visit.client is not None:
                self.clients.charge(visit.client, seconds)


def visit_of(request: HttpRequest, host: str, ref: TenantRef | None) -> Visit:
    if request.path_info.startswith(WEBHOOKS):
        return Visit(house="webhooks", client=None, signed_in=False, spared=True)
    at_platform = ref is None and is_platform(host)
    place = ref.id if ref is not None else "platform" if at_platform else "unknown"
    audience = ref.audience if ref is not None else tokens.PLATFORM if at_platform else ""
    who = signed_for(request, audience) if audience else None
    if who is not None:
        # Owners and admins at the platform are few; an admin's console is what ends a flood.
        return Visit(house=(place, True), client=(place, who.account_id), signed_in=True, spared=at_platform)
    address = client_address(request)
    client = None if _is_this_machine(address) else network(address)
    return Visit(house=(place, False), client=client, signed_in=False, place_known=ref is not None or at_platform)


def signed_for(request: HttpRequest, audience: str) -> Claims | None:
    """Whom a genuine token or cookie names. Its sign-in may have ended: that is for the doors to find out, who ask the database."""
    if "HTTP_AUTHORIZATION" in request.META:
        try:
            return tokens.read_access(audience, bearer_token(request))
        except AppError:
            return None
    cookie = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    return sessions.signed_in_by(cookie, audience) if cookie else None


def refuse(request: HttpRequest, reason: str, ref: TenantRef | None, host: str) -> HttpResponseBase:
    REFUSED_REQUESTS.labels(reason).inc()
    request.quiet = True  # type: ignore[attr-defined]  # A flood must not fill the log; the metric counts it.
    seconds = random.randint(*RETRY_SECONDS)  # noqa: S311 - no secret
    request.tenant = ref  # type: ignore[attr-defined]
    if request.path_info.startswith("/api/"):
        return json_error(TooManyRequests(retry_after=seconds))
    shell = "" if ref is not None or is_platform(host) else error_pages.HOSTLESS
    return error_pages.busy(request, retry_after=seconds, shell=shell)


def _is_this_machine(address: str) -> bool:
    """Whoever runs it in development, or a proxy that TRUSTED_PROXIES does not know: that is everybody."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return not address
