"""A cafeteria's own domains, beside its subdomain of the platform. The proxy asks for a certificate only for hosts that are known here."""

import re
from threading import Lock
from time import monotonic

from django.conf import settings

from tenants.errors import DomainReserved, InvalidDomain
from tenants.routing import is_platform, normalise_host, resolve

LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
LONGEST = 253
MOST = 10  # of one cafeteria
# Names that mean something on each machine or network by itself, and never somebody's site.
SPECIAL = frozenset({"arpa", "home", "internal", "invalid", "lan", "local", "localdomain", "localhost", "onion"})
LOOKS, AT_ONCE = 20.0, 40.0  # hosts looked up for the proxy, a second and in a burst, in each process: strangers choose what it asks


def checked_domain(raw: str) -> str:
    """As it is stored: lowercase, in ASCII, without trailing dot. InvalidDomain for what is no domain, DomainReserved for one of ours."""
    domain = in_ascii(raw.strip().lower().removesuffix("."))
    labels = domain.split(".")
    if len(domain) > LONGEST or len(labels) < 2 or not all(LABEL.fullmatch(label) for label in labels):
        raise InvalidDomain(domain=raw[:80])
    if labels[-1].isdecimal() or labels[-1] in SPECIAL:
        raise InvalidDomain(domain=raw[:80])
    if domain == settings.BASE_DOMAIN or domain.endswith(f".{settings.BASE_DOMAIN}"):
        raise DomainReserved(domain=domain)
    return domain


def in_ascii(domain: str) -> str:
    """Letters of other alphabets as browsers send them: café.example is xn--caf-dma.example."""
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        return ""


class Bucket:
    """So many a second, with a burst; for this process alone."""

    def __init__(self, *, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self.left, self.at = burst, monotonic()
        self._lock = Lock()

    def take(self) -> bool:
        with self._lock:
            now = monotonic()
            self.left = min(self.burst, self.left + (now - self.at) * self.rate)
            self.at = now
            if self.left < 1:
                return False
            self.left -= 1
            return True


looks = Bucket(rate=LOOKS, burst=AT_ONCE)


def is_served(raw: str) -> bool | None:
    """Whether a site of ours answers on this host: the platform, or a cafeteria that is not closed. None: too many were asked for."""
    host = normalise_host(raw)
    if not host or len(host) > LONGEST:
        return False
    if is_platform(host):
        return True
    if not looks.take():
        return None
    return resolve(host) is not None
