"""A cafeteria's own domains, beside its subdomain of the platform. The proxy asks for a certificate only for hosts that are known here."""

import re

from django.conf import settings

from core.shares import Buckets
from tenants.errors import DomainReserved, InvalidDomain
from tenants.routing import is_platform, normalise_host, resolve

LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
LONGEST = 253
MOST = 10  # of one cafeteria
# Names that mean something on each machine or network by itself, and never somebody's site.
SPECIAL = frozenset({"arpa", "home", "internal", "invalid", "lan", "local", "localdomain", "localhost", "onion"})
LOOKS = 20.0  # hosts looked up for the proxy, a second, in each process, and twice as many at once: strangers choose what it asks


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


looks = Buckets(rate=LOOKS)


def is_served(raw: str) -> bool | None:
    """Whether a site of ours answers on this host: the platform, or a cafeteria that is not closed. None: too many were asked for."""
    host = normalise_host(raw)
    if not host or len(host) > LONGEST:
        return False
    if is_platform(host):
        return True
    if not looks.take("proxy"):
        return None
    return resolve(host) is not None
