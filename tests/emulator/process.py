"""The Mercado Pago emulator as a process of its own, for any test of the product that needs it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests
from mercadopago.http import HttpClient

TAKEN = 3  # its exit code when something else has the port
REPOSITORY = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    "MERCADOPAGO_EMULATOR_KEY": "only-for-tests",
    "MERCADOPAGO_CLIENT_ID": "6004399184",
    "MERCADOPAGO_CLIENT_SECRET": "client-secret-of-tests",
    "MERCADOPAGO_WEBHOOK_SECRET": "webhook-secret-of-tests",
    "MERCADOPAGO_ACCESS_TOKEN": "APP_USR-platform-of-tests",
    "MERCADOPAGO_APP_WEBHOOK_URL": "",
}


class PrefixedClient(HttpClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's own transport, to another place than api.mercadopago.com."""

    def __init__(self, url: str) -> None:
        self.url = url

    def request(self, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        return super().request(method, url.replace("https://api.mercadopago.com", self.url), *arguments, **options)


class Emulator:
    """A running emulator: `url` for the product, the rest for the test."""

    def __init__(self, url: str, environment: dict[str, str], process: subprocess.Popen[bytes], log: Path) -> None:
        self.url, self.environment, self.process, self.log = url, environment, process, log

    def request(self, method: str, path: str, json: Any = None) -> requests.Response:
        """The control API's answer, whatever it is."""
        headers = {"X-Emulator-Key": self.environment["MERCADOPAGO_EMULATOR_KEY"]}
        return requests.request(method, f"{self.url}{path}", json=json, headers=headers, timeout=90)

    def control(self, method: str, path: str, json: Any = None) -> Any:
        """What the control API answers, which has to be success."""
        response = self.request(method, path, json)
        assert response.ok, response.text
        return response.json()

    def seller(self, site: str = "MLA", **values: Any) -> dict[str, Any]:
        """A new one: user_id, nickname, site_id, email, access_token (its own, not that of a connection)."""
        return dict(self.control("POST", "/_emu/sellers", {"site_id": site, "nickname": "Luna", **values}))

    def connect(self, user_id: int) -> dict[str, Any]:
        """The tokens of a seller that has allowed the application to act for it."""
        client = {"client_id": self.environment["MERCADOPAGO_CLIENT_ID"]}
        code = self.control("POST", f"/_emu/sellers/{user_id}/authorize", client)["code"]
        secret = {"client_secret": self.environment["MERCADOPAGO_CLIENT_SECRET"], "grant_type": "authorization_code", "code": code}
        response = requests.post(f"{self.url}/oauth/token", json={**client, **secret}, timeout=30)
        assert response.ok, response.text
        return dict(response.json())

    def pay(self, preference_id: str, outcome: str = "approved", **changes: Any) -> dict[str, Any]:
        """A buyer's attempt, without the page. `amount`, `currency`, `collector_id`, `external_reference` make it differ."""
        return dict(self.control("POST", "/_emu/payments", {"preference_id": preference_id, "outcome": outcome, **changes}))

    def transition(self, payment_id: int | str, status: str, **details: Any) -> dict[str, Any]:
        return dict(self.control("POST", f"/_emu/payments/{payment_id}/transition", {"status": status, **details}))

    def fault(self, kind: str, times: int | None = 1, **options: Any) -> dict[str, Any]:
        return dict(self.control("POST", "/_emu/faults", {"kind": kind, "times": times, **options}))

    def advance(self, **duration: float) -> None:
        """Lets seconds, minutes, hours or days pass; returns when what was due has been delivered."""
        units = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
        self.control("POST", "/_emu/clock/advance", {"seconds": sum(units[name] * number for name, number in duration.items())})

    def flush(self) -> int:
        """Delivers all that waits; how many."""
        return int(self.control("POST", "/_emu/webhooks/flush")["attempted"])

    def is_ahead(self) -> bool:
        """Whether a test has let time pass: its clock never goes back."""
        now = datetime.fromisoformat(self.control("GET", "/_emu/state")["now"])
        return now > datetime.now(UTC) + timedelta(seconds=30)

    def settings(self, **values: Any) -> dict[str, Any]:
        return dict(self.control("POST", "/_emu/settings", values))

    def entries(self, kind: str, **wanted: Any) -> list[dict[str, Any]]:
        """The log's, of requests or of deliveries, with these values."""
        entries = self.control("GET", f"/_emu/log?{urlencode({'since': 0, 'limit': 100_000})}")["entries"]
        return [entry for entry in entries if entry["kind"] == kind and all(entry[name] == value for name, value in wanted.items())]

    def stop(self) -> int:
        """In order; its exit code."""
        self.process.terminate()
        return self.process.wait(15)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(15)


class SharedEmulator:
    """One process for many tests, and another one after a test that has let time pass."""

    def __init__(self, new_folder: Callable[[], Path]) -> None:
        self._new_folder, self._stack = new_folder, ExitStack()
        self._emulator: Emulator | None = None

    def emptied(self) -> Emulator:
        if self._emulator is not None and self._emulator.is_ahead():
            self.close()
        if self._emulator is None:
            self._emulator = self._stack.enter_context(running_emulator(self._new_folder()))
        self._emulator.control("DELETE", "/_emu/all")
        return self._emulator

    def close(self) -> None:
        self._stack.close()
        self._emulator = None


@contextmanager
def running_emulator(folder: Path, *, options: tuple[str, ...] = (), **env: str) -> Iterator[Emulator]:
    """With its data in mercadopago.sqlite and its output in mercadopago.log of the folder; stopped at the end."""
    environment, log = {**ENVIRONMENT, **env}, folder / "mercadopago.log"
    emulator = _start(folder, environment, log, options)
    while not _answers(emulator):  # Between the look for a free port and its use, another process may have taken it.
        emulator = _start(folder, environment, log, options)
    process = emulator.process
    try:
        yield emulator
    finally:
        process.terminate()  # in order, so that coverage is written
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        process.kill()
        process.wait(15)


def _start(folder: Path, environment: dict[str, str], log: Path, options: tuple[str, ...]) -> Emulator:
    port = _free_port()
    command = [sys.executable, "-m", "deploy.mercadopago", "--port", str(port), "--data", str(folder / "mercadopago.sqlite"), *options]
    log.write_bytes(b"")
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    return Emulator(f"http://127.0.0.1:{port}", environment, process, log)


def _answers(emulator: Emulator, seconds: float = 30) -> bool:
    """Once it does; False when its port was taken."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(requests.ConnectionError):
            is_ours = requests.get(emulator.url, timeout=5).headers.get("Server", "").startswith("MercadoPagoEmulator")
            if is_ours and emulator.process.poll() is None:
                return True
        if emulator.process.poll() == TAKEN:
            return False
        assert emulator.process.poll() is None, emulator.log.read_text()
        assert time.monotonic() < deadline, f"The emulator did not answer within {seconds} seconds: {emulator.log.read_text()}"
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
