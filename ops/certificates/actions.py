"""Looking at the certificates as a browser meets them: what renews them says nothing when it has stopped doing so."""

import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.conf import settings

from core.alerts.actions import raise_alert, resolve_alerts
from core.alerts.models import Alert
from tenants.models import Cafeteria, Domain

DAY = 24 * 3600
WARN_SECONDS, CRITICAL_SECONDS = 14 * DAY, 3 * DAY
TIMEOUT = 5  # seconds
AT_ONCE = 8
ENDING, BAD = "certificates.ending", "certificates.bad"


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    host: str
    kind: str  # platform, cafeterias (their wildcard), own (domains of theirs)
    ends: float | None = None  # when the certificate does; None: there is no good one
    error: str = ""
    is_refused: bool = False  # There is one, and a browser refuses it.


def check_certificates() -> list[Look]:
    """Look at the platform's host, one cafeteria's and each domain of their own; alerts for what ends soon, is bad, or is well again.

    Nothing without https. Outside of every transaction.
    """
    if not settings.HTTPS:
        return []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        looks = list(pool.map(_look, hosts()))
    for look in looks:
        _tell(look)
    for kind, host in Alert.objects.filter(kind__in=(ENDING, BAD), resolved_at=None).values_list("kind", "subject"):
        if host not in {look.host for look in looks}:
            resolve_alerts(kind=kind, subject=host)
    return looks


def hosts() -> list[tuple[str, str]]:
    """(kind, host)."""
    found = [("platform", settings.BASE_DOMAIN)]
    cafeteria = Cafeteria.objects.filter(status=Cafeteria.Status.OPEN).order_by("id").first()
    if cafeteria is not None:
        found.append(("cafeterias", f"{cafeteria.slug}.{settings.BASE_DOMAIN}"))
    own = Domain.objects.filter(tenant__status=Cafeteria.Status.OPEN).order_by("domain").values_list("domain", flat=True)
    return [*found, *(("own", domain) for domain in own)]


def _look(asked: tuple[str, str]) -> Look:
    """A host that does not answer is asked once more: the next look is hours away, and somebody is woken by this one."""
    first = _look_once(*asked)
    return first if first.ends is not None or first.is_refused else _look_once(*asked)


def _look_once(kind: str, host: str) -> Look:
    try:
        with (
            socket.create_connection((host, settings.PUBLIC_PORT or 443), timeout=TIMEOUT) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secured,
        ):
            certificate = secured.getpeercert() or {}
    except (OSError, UnicodeError) as error:
        refused = getattr(error, "verify_message", "")
        return Look(kind=kind, host=host, error=refused or f"it does not answer ({type(error).__name__})", is_refused=bool(refused))
    return Look(kind=kind, host=host, ends=float(ssl.cert_time_to_seconds(str(certificate["notAfter"]))))


def _tell(look: Look) -> None:
    if look.ends is None:
        severity = "warning" if look.kind == "own" else "critical"
        raise_alert(kind=BAD, subject=look.host, detail=f"{look.host} has no good certificate: {look.error}.", severity=severity)
        return
    resolve_alerts(kind=BAD, subject=look.host)
    left = look.ends - time.time()
    if left > WARN_SECONDS:
        resolve_alerts(kind=ENDING, subject=look.host)
        return
    detail = f"The certificate of {look.host} ends in {left / DAY:.0f} days and was not renewed."
    raise_alert(kind=ENDING, subject=look.host, detail=detail, severity="critical" if left < CRITICAL_SECONDS else "warning")
