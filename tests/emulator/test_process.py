"""Starting, stopping, killing, and what HTTP itself can get wrong."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.emulator.conftest import Merchant, new_merchant
from tests.emulator.process import ENVIRONMENT, REPOSITORY, Emulator, running_emulator
from tests.emulator.receiver import Receiver
from tests.emulator.test_subscriptions import Platform
from tests.processes import wait_for


def start(environment: dict[str, str], folder: Path, *, port: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.mercadopago", "--port", str(port), "--data", str(folder / "x.sqlite")]
    values = {name: value for name, value in os.environ.items() if not name.startswith("MERCADOPAGO_")} | environment
    return subprocess.run(command, cwd=REPOSITORY, env=values, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("missing", [name for name in ENVIRONMENT if name != "MERCADOPAGO_APP_WEBHOOK_URL"])
def test_without_a_key_it_does_not_start_and_says_why(tmp_path: Path, missing: str) -> None:
    result = start({**ENVIRONMENT, missing: ""}, tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(f"The Mercado Pago emulator needs {missing} in its environment")
    assert not (tmp_path / "x.sqlite").exists()


def test_an_unknown_country_does_not_start(tmp_path: Path) -> None:
    result = start({**ENVIRONMENT, "MERCADOPAGO_SITE": "MLX"}, tmp_path)
    assert (result.returncode, "MERCADOPAGO_SITE" in result.stderr) == (2, True)


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = start(dict(ENVIRONMENT), tmp_path, port=port)
    assert (result.returncode, result.stderr) == (
        3,
        f"The Mercado Pago emulator cannot listen on 127.0.0.1:{port}: Address already in use.\n",
    )


def kept(emulator: Emulator, merchant: Merchant, payment: dict[str, Any]) -> None:
    """All that was there before is there in this process."""
    now = Merchant(emulator, merchant.user_id, merchant.token, "")
    assert now.payment(payment["id"]) == payment
    assert now.preference(key="attempt-1")["response"]["external_reference"] == "t7f3-01J9"
    state = emulator.control("GET", "/_emu/state")
    assert (state["settings"]["webhooks"], state["pending_deliveries"], state["counts"]["preference"]) == ("manual", 2, 2)
    assert [fault["kind"] for fault in emulator.control("GET", "/_emu/faults")] == ["status_500"]


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_what_was_answered_survives(tmp_path: Path, receiver: Receiver, how: str) -> None:
    with running_emulator(tmp_path) as first:
        merchant = new_merchant(first)
        first.settings(webhooks="manual")
        first.advance(days=30)
        notified = Merchant(first, merchant.user_id, merchant.token, f"{receiver.url}?source_news=webhooks")
        payment = first.pay(notified.sells(external_reference="kept"))
        merchant.preference(key="attempt-1")
        first.fault("status_500", match={"path": "/none"})
        before = first.control("GET", "/_emu/state")["now"]
        getattr(first, how)()
    with running_emulator(tmp_path) as second:
        kept(second, merchant, payment)
        assert second.control("GET", "/_emu/state")["now"] > before
        second.settings(webhooks="auto")
        assert {post.query["data.id"] for post in receiver.wait(2)} == {str(payment["id"])}


def test_nothing_answered_is_lost_when_it_is_killed_at_work(tmp_path: Path) -> None:
    with running_emulator(tmp_path) as first:
        merchant = new_merchant(first)
        made = [merchant.sells(external_reference=f"n-{number}") for number in range(50)]
        first.kill()
    with running_emulator(tmp_path) as second:
        found = Merchant(second, merchant.user_id, merchant.token, "")
        statuses = [found.sdk.preference().get(preference, found.options())["status"] for preference in made]
        assert statuses == [200] * 50


def test_a_delivery_that_was_under_way_is_sent_again(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers_after = 2.0
    with running_emulator(tmp_path) as first:
        merchant = new_merchant(first, notification_url=f"{receiver.url}?source_news=webhooks")
        first.pay(merchant.sells())
        receiver.wait(2)
        assert first.stop() == 0
    receiver.answers_after = 0.0
    with running_emulator(tmp_path):
        receiver.wait(4)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_with_connections_open(tmp_path: Path, number: signal.Signals) -> None:
    with running_emulator(tmp_path) as emulator, requests.Session() as session:
        assert session.get(emulator.url, timeout=10).status_code == 200
        emulator.process.send_signal(number)
        assert emulator.process.wait(15) == 0
        assert emulator.log.read_text() == ""


def test_it_is_quiet_unless_told_otherwise(tmp_path: Path) -> None:
    with running_emulator(tmp_path, options=("--verbose", "--public-url", "https://mp.example/")) as emulator:
        requests.get(f"{emulator.url}/users/me", timeout=10)
        merchant = new_merchant(emulator)
        preference = merchant.preference()["response"]
    assert preference["init_point"] == f"https://mp.example/checkout/v1/redirect?pref_id={preference['id']}"
    assert "GET /users/me 401" in emulator.log.read_text()


def test_the_passing_of_real_time_charges_too(emulator: Emulator) -> None:
    platform = Platform(emulator)
    emulator.settings(billing="auto")
    identifier = platform.subscribes()
    invoices: list[dict[str, Any]] = wait_for(lambda: platform.invoices(identifier))
    assert [invoice["payment"]["status"] for invoice in invoices] == ["approved"]


def said(emulator: Emulator, text: bytes) -> bytes:
    """All that is answered to raw bytes."""
    parts = urlsplit(emulator.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_connection_is_kept_and_each_request_on_it_answered(emulator: Emulator) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert said(emulator, request * 3).count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"HTTP/1.1 411 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n", b"HTTP/1.1 400 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET /" + b"x" * 65_532, b"414"),
        (b"nonsense\r\n\r\n", b"Error code: 400"),
    ],
    ids=["chunked", "no number", "too large", "long line", "nonsense"],
)
def test_what_is_no_http_is_refused(emulator: Emulator, text: bytes, expected: bytes) -> None:
    assert expected in said(emulator, text)


def test_a_head_has_no_body(emulator: Emulator) -> None:
    head = said(emulator, b"HEAD /users/me HTTP/1.1\r\nHost: x\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405")
    assert head.endswith(b"\r\n\r\n")


def test_a_defect_is_told_and_does_not_end_it(emulator: Emulator) -> None:
    merchant = new_merchant(emulator)
    response = merchant.preference(metadata={"half a character": "\ud83d"})
    assert (response["status"], response["response"]["error"]) == (500, "internal_error")
    assert merchant.preference()["status"] == 201
