"""What the test client cannot say: bytes on a connection to the real server, read by it and by nobody before it."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import running_web
from tests.world import World


@pytest.fixture(scope="module")
def port(module_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder: Path = tmp_path_factory.mktemp("wire")
    folder.chmod(0o755)
    with running_web(folder, workers=1) as port:
        yield port


def say(port: int, message: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(message)
        heard = b""
        try:
            while piece := connection.recv(65_536):
                heard += piece
        except OSError:  # reset, or nothing more within the time
            pass
    return heard


def statuses(heard: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"^HTTP/1\.[01] (\d{3})", heard, re.MULTILINE)]


SMUGGLED = b"GET /api/v1/auth/me HTTP/1.1\r\nHost: localhost\r\n\r\n"
AMBIGUOUS = {
    "both lengths": b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths": b"Content-Length: 0\r\nContent-Length: 49\r\n\r\n" + SMUGGLED,
    "a list of lengths": b"Content-Length: 0, 49\r\n\r\n" + SMUGGLED,
    "a signed length": b"Content-Length: +0\r\n\r\n" + SMUGGLED,
    "a negative length": b"Content-Length: -1\r\n\r\n" + SMUGGLED,
    "a hexadecimal length": b"Content-Length: 0x10\r\n\r\n" + SMUGGLED,
    "a space before the colon": b"Content-Length : 49\r\n\r\n" + SMUGGLED,
    "another coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a folded line": b"X-A: b\r\n Content-Length: 49\r\n\r\n" + SMUGGLED,
    "a bare line feed": b"X-A: b\nContent-Length: 49\n\n" + SMUGGLED,
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_a_request_ends_where_it_says_or_the_connection_does(port: int, name: str) -> None:
    """Smuggling: what one reader takes for a body and another for a request. Here either all is refused, or each part is what it says."""
    heard = say(port, b"POST /api/v1/auth/logout HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + AMBIGUOUS[name])
    assert len(statuses(heard)) <= 1
    assert all(400 <= status < 500 for status in statuses(heard)), heard[:300]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: {host}\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: {host}\r\nX: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: {host}:80@evil.example\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: {host}\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: {host}\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: {host}\r\nX: " + b"a" * 700_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: {host}\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(2_000)) + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=[
        "no host",
        "two hosts",
        "NUL in a header",
        "user in the host",
        "absolute",
        "NUL",
        "long path",
        "long header",
        "many headers",
        "TLS",
    ],
)
def test_heads_made_to_confuse_open_nothing(port: int, module_world: World, head: bytes) -> None:
    host = module_world.a.host.split(":", maxsplit=1)[0].encode()
    heard = say(port, head.replace(b"{host}", host).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert all(status >= 400 for status in statuses(heard)), heard[:200]
    assert module_world.a.canary.encode() not in heard


def test_the_server_says_nothing_of_its_version(port: int) -> None:
    heard = say(port, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").lower()
    assert b"django" not in heard
    assert not re.search(rb"server: .*\d", heard)
