"""Whose address counts: the connection's, or what our own proxies say, and only as far as they wrote it."""

import pytest
from django.test import RequestFactory
from pytest_django import Settings

from core.throttle import client_address


def seen(direct: str, forwarded: str | None) -> str:
    request = RequestFactory().get("/", REMOTE_ADDR=direct)
    if forwarded is not None:
        request.META["HTTP_X_FORWARDED_FOR"] = forwarded
    return client_address(request)


@pytest.mark.parametrize(
    ("proxies", "direct", "forwarded", "address"),
    [
        (0, "203.0.113.5", None, "203.0.113.5"),
        (0, "203.0.113.5", "1.2.3.4", "203.0.113.5"),  # nobody stands in front: anybody may write that
        (0, "10.0.0.2", "1.2.3.4", "10.0.0.2"),
        (1, "10.0.0.2", "203.0.113.5", "203.0.113.5"),
        (1, "10.0.0.2", "1.2.3.4, 203.0.113.5", "203.0.113.5"),  # the client wrote the first, our proxy the last
        (1, "10.0.0.2", " 1.2.3.4 ,, 2001:db8::1 ", "2001:db8::1"),
        (2, "10.0.0.2", "1.2.3.4, 203.0.113.5, 10.0.0.3", "203.0.113.5"),
        (2, "10.0.0.2", "203.0.113.5", "10.0.0.2"),  # one proxy too few has written: nothing is known
        (1, "10.0.0.2", None, "10.0.0.2"),
        (1, "10.0.0.2", "", "10.0.0.2"),
        (1, "10.0.0.2", "1.2.3.4, unknown", "10.0.0.2"),
        (1, "10.0.0.2", "x" * 10_000, "10.0.0.2"),
        (1, "198.51.100.1", "1.2.3.4", "198.51.100.1"),  # past the proxy, from outside of our networks
        (1, "::ffff:10.0.0.2", "203.0.113.5", "203.0.113.5"),
        (1, "", "203.0.113.5", "203.0.113.5"),  # a socket file
        (1, "not an address", "203.0.113.5", "not an address"),
    ],
)
def test_the_clients_address(settings: Settings, proxies: int, direct: str, forwarded: str | None, address: str) -> None:
    settings.TRUSTED_PROXIES = proxies
    assert seen(direct, forwarded) == address
