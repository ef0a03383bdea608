"""A whole copy of Comanda as `make run` starts it, for benches: its processes, its addresses, and a customer who orders and pays there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import requests

from config.dev.mercadopago import kept_stand_in
from config.dev.postgres import running_server
from tests.bench.load import free_port

UNSAID = ("DATABASE_URL", "DATABASE_DIRECT_URL", "SECRET_KEY", "VAULT_KEYS", "BACKUP_KEYS", "PUBLIC_URL", "S3_BUCKET")


@dataclass(kw_only=True)
class Copy:
    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    sessions: dict[str, requests.Session] = field(default_factory=dict)

    def call(self, host: str, method: str, path: str, *, timeout: float = 10, **options: Any) -> requests.Response | None:
        """What the copy answers at that host; None when nobody does."""
        headers = {"Host": f"{host}:{self.port}", **options.pop("headers", {})}
        try:
            return requests.request(method, f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=timeout, **options)
        except requests.RequestException:
            return None

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, "manage.py", *arguments), env=self.environment, capture_output=True, text=True, check=False, timeout=600
        )

    def named(self) -> dict[str, list[psutil.Process]]:
        """The processes by what they are; those of web and the clusters with the parent first."""
        found: dict[str, list[psutil.Process]] = {}
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):  # It has just ended.
                line = " ".join(child.cmdline())
                for name, mark in MARKS.items():
                    if mark in line:
                        found[name] = [child, *child.children(recursive=True)]
        if (server := running_server(self.folder)) is not None:
            postmaster = psutil.Process(server.pid)
            found["postgres"] = [postmaster, *postmaster.children()]
        return found

    def pay(self, preference_id: str) -> int:
        """A buyer pays the checkout; the stand-in's status code."""
        stand_in = kept_stand_in(self.folder)
        assert stand_in is not None
        answer = requests.post(
            f"http://127.0.0.1:{stand_in.port}/_emu/payments",
            json={"preference_id": preference_id, "outcome": "approved"},
            headers={"X-Emulator-Key": stand_in.key},
            timeout=30,
        )
        return answer.status_code


MARKS = {
    "web": "granian",
    "worker short": "worker short",
    "worker long": "worker long",
    "watchdog": "watchdog",
    "archive": "manage.py archive",
    "mercadopago": "deploy.mercadopago",
}


@contextmanager
def running_copy(folder: Path, **environment: str) -> Iterator[Copy]:
    """Started with the demo, ready; ended in order."""
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if name not in UNSAID}
    values = kept | {"COMANDA_DATA": str(folder), "PORT": str(port), "COMANDA_ENV": "development", **environment}
    with (folder / "copy.log").open("ab") as output:
        command = (sys.executable, "-m", "config.dev")
        process = subprocess.Popen(command, env=values, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    copy = Copy(folder=folder, port=port, process=process, environment=values)
    try:
        until(lambda: (answer := copy.call("localhost", "GET", "/health")) is not None and answer.ok, seconds=300)
        yield copy
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def until(come: Callable[[], bool], *, seconds: float, every: float = 0.1) -> float:
    """How long it took to come, in seconds. Raises TimeoutError."""
    began = time.monotonic()
    while not come():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"Waited {seconds:.0f} s in vain.")
        time.sleep(every)
    return time.monotonic() - began


@dataclass(kw_only=True)
class Customer:
    """Orders at one cafeteria, one after the other; an order that gets no answer is sent again with the same key until it has one."""

    copy: Copy
    host: str
    product: int
    answered: dict[str, dict[str, Any]] = field(default_factory=dict)  # by key
    paid: set[str] = field(default_factory=set)  # keys of those whose money is at Mercado Pago
    again: int = 0
    refused: dict[int, int] = field(default_factory=dict)  # by status

    def order(self, *, pay: bool = False) -> bool:
        """Whether it was answered within half a minute."""
        key = uuid4().hex
        body = {"items": [{"product_id": self.product, "quantity": 1}], "guest": {"name": "Prueba"}}
        end = time.monotonic() + 60
        while time.monotonic() < end:
            answer = self.copy.call(self.host, "POST", "/api/v1/orders", json=body, headers={"Idempotency-Key": key})
            if answer is not None and answer.status_code == 201:
                self.answered[key] = answer.json()
                if pay:
                    self._pay(key)
                return True
            if answer is not None:
                self.refused[answer.status_code] = self.refused.get(answer.status_code, 0) + 1
            self.again += 1
            time.sleep(0.2)
        return False

    def _pay(self, key: str) -> None:
        order = self.answered[key]
        body = {"order_id": order["id"], "amount": order["total"]}
        answer = self.copy.call(self.host, "POST", f"/api/v1/payments/create-preference?secret={order['secret']}", json=body, timeout=30)
        if answer is not None and answer.ok and self.copy.pay(answer.json()["preference_id"]) < 300:
            self.paid.add(key)

    def standing(self, key: str) -> dict[str, Any] | None:
        """The order as the product tells it now."""
        order = self.answered[key]
        answer = self.copy.call(self.host, "GET", f"/api/v1/orders/{order['id']}?secret={order['secret']}")
        return answer.json() if answer is not None and answer.ok else None


def customer_of(copy: Copy, slug: str) -> Customer:
    host = f"{slug}.localhost"
    answer = copy.call(host, "GET", "/api/v1/products")
    assert answer is not None
    assert answer.ok, answer.text
    free = [found for found in answer.json() if found["available"] and found["stock"] is None and not found["options"]]
    return Customer(copy=copy, host=host, product=free[0]["id"])
