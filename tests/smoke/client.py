"""HTTP to any of the platform's hosts, also before DNS leads there: SMOKE_CONNECT=192.0.2.7:443 goes to that address whatever the host,
without TLS to SMOKE_CONNECT_HTTP, or port 80 of the same.

Knows nothing of the product: it runs beside it, from an image of its own.
"""

from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter


class ConnectTo(HTTPAdapter):
    """Connects to one address; the name stays in the request, in TLS and in the check of the certificate."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.host, self.port = host, int(port)
        super().__init__()

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        wanted, given = self.build_connection_pool_key_attributes(request, verify, cert)
        options: dict[str, Any] = {**given}
        if wanted["scheme"] == "https":
            options |= {"server_hostname": wanted["host"], "assert_hostname": wanted["host"]}
        return self.poolmanager.connection_from_host(self.host, self.port, wanted["scheme"], pool_kwargs=options)

    def send(self, request: Any, **options: Any) -> Any:  # type: ignore[override]
        """The host is the address's own for the time of the request alone: requests would take it along to where a redirect leads."""
        request.headers["Host"] = urlsplit(request.url).netloc
        try:
            return super().send(request, **options)
        finally:
            del request.headers["Host"]


def session(connect: str = "", *, plain: str = "", verify: str | bool = True) -> requests.Session:
    made = requests.Session()
    # As browsers have it: a cookie without a domain is the host's alone, and not of what is below it.
    made.cookies.set_policy(DefaultCookiePolicy(strict_ns_domain=DefaultCookiePolicy.DomainStrictNonDomain))
    made.verify = verify
    made.headers["User-Agent"] = "comanda-smoke"
    if connect:
        made.trust_env = False
        made.mount("https://", ConnectTo(connect))
        made.mount("http://", ConnectTo(plain or f"{connect.rpartition(':')[0]}:80"))
    return made
