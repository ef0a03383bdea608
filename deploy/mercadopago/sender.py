"""The threads that deliver notifications, each with its connections kept open."""

import heapq
import http.client
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from deploy.mercadopago.clock import SECOND, Clock
from deploy.mercadopago.store import Document, Store
from deploy.mercadopago.webhooks import Posting, posting, settled

ANSWERED_WITHIN = 22.0  # seconds, after which Mercado Pago tries again later


class Sender:
    """Waits on the store's lock, so that no thread sees a delivery before the transaction that made it has ended."""

    def __init__(self, store: Store, clock: Clock, *, secret: str, settings: dict[str, Any]) -> None:
        self._store, self._clock, self._secret, self._settings = store, clock, secret, settings
        self._changed = threading.Condition(store.lock)
        self._queue: list[tuple[int, str]] = []  # a heap of when and what; one that is out of date is skipped
        self._forced: deque[str] = deque()
        self._sending: set[str] = set()
        self._threads: dict[int, threading.Thread] = {}
        self._stopping = False

    def start(self) -> None:
        """Takes up what waited when the last process ended."""
        waiting = self._store.select("delivery", {})
        self.enqueue(waiting)
        self.resize()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def resize(self) -> None:
        """As many threads as the settings say."""
        with self._changed:
            for index in range(self._settings["workers"]):
                if index not in self._threads:
                    self._threads[index] = threading.Thread(target=self._work, args=(index,), daemon=True, name=f"sender-{index}")
                    self._threads[index].start()
            self._changed.notify_all()

    def enqueue(self, deliveries: list[Document]) -> None:
        with self._changed:
            for delivery in deliveries:
                heapq.heappush(self._queue, (delivery.due or 0, delivery.id))
            self._changed.notify(len(deliveries))

    def flush(self, *, seconds: float = 60) -> list[str]:
        """Sends all that wait, also what is not due, and returns which when each has been tried once."""
        with self._changed:
            everything = [delivery.id for delivery in self._store.select("delivery", {})]
            self._forced.extend(identifier for identifier in everything if identifier not in self._sending)
            pending = set(everything)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stopping or not pending & (self._sending | set(self._forced)), seconds)
            return everything

    def settle_due(self, *, seconds: float = 60) -> None:
        """Returns when nothing is due any more, or at once when deliveries wait for a flush."""
        with self._changed:
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stopping or self._is_manual or not (self._sending or self._is_due()), seconds)

    def wait_for_first_attempts(self, identifiers: list[str], *, seconds: float = 10) -> None:
        def tried() -> bool:
            found = [delivery for identifier in identifiers if (delivery := self._store.find("delivery", identifier))]
            return self._stopping or self._is_manual or all(delivery.body["attempts"] for delivery in found)

        with self._changed:
            self._changed.wait_for(tried, seconds)

    def forget(self) -> None:
        with self._changed:
            self._queue.clear()
            self._forced.clear()

    @property
    def _is_manual(self) -> bool:
        return bool(self._settings["webhooks"] == "manual")

    def _is_due(self) -> bool:
        return bool(self._queue) and self._queue[0][0] <= self._clock.now()

    def _work(self, index: int) -> None:
        connections = Connections(lambda: float(self._settings["webhook_timeout"]))
        while (delivery := self._next(index)) is not None:
            status = connections.send(posting(delivery, now=self._clock.now(), secret=self._secret))
            self._settle(delivery, status)
        connections.close()

    def _next(self, index: int) -> Document | None:
        """What to send, as soon as there is something; None to stop."""
        with self._changed:
            while not self._stopping and index < self._settings["workers"]:
                if delivery := self._take():
                    return delivery
                self._changed.wait(self._pause())
            self._threads.pop(index, None)
            return None

    def _take(self) -> Document | None:
        """The next delivery to send, from now on marked as being sent. What is gone or has been put off meanwhile is passed over."""
        passed = False
        while self._forced or (self._is_due() and not self._is_manual):
            due, identifier = (None, self._forced.popleft()) if self._forced else heapq.heappop(self._queue)
            delivery = self._store.find("delivery", identifier)
            if delivery and identifier not in self._sending and due in {None, delivery.due}:
                self._sending.add(identifier)
                return delivery
            passed = True
        if passed:
            self._changed.notify_all()  # Who waits for the queue to be empty looks again.
        return None

    def _pause(self) -> float | None:
        """Seconds until something is due."""
        if self._is_manual or not self._queue:
            return None
        return max(0.0, (self._queue[0][0] - self._clock.now()) / SECOND)

    def _settle(self, delivery: Document, status: int | None) -> None:
        with self._changed:
            if self._stopping:
                return
            now = self._clock.now()
            with self._store.transaction():
                known = self._store.find("delivery", delivery.id) is not None
                again = settled(self._store, delivery, status=status, now=now) if known else None
                later = self._store.select("delivery", {"parent": delivery.parent, "status": "held"}) if delivery.status != "held" else []
                for held in later:  # They were to come after this one.
                    held.status, held.due = "waiting", now
                    self._store.save(held)
            self._sending.discard(delivery.id)
            self.enqueue([*later, *([again] if again else [])])
            self._changed.notify_all()


class Connections:
    """Open connections of one thread, one for each address."""

    def __init__(self, timeout: Callable[[], float]) -> None:
        self._timeout = timeout
        self._open: dict[tuple[str, str], http.client.HTTPConnection] = {}

    def send(self, message: Posting) -> int | None:
        """The status answered; None when there was none in time. A kept connection that has been closed is opened anew once."""
        parts = urlsplit(message.url)
        address, target = (parts.scheme, parts.netloc), f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        headers = {**message.headers, "Host": parts.netloc}
        begun, timeout = time.monotonic(), self._timeout()
        for is_reused in (True, False) if address in self._open else (False,):
            try:
                connection = self._open.get(address) or self._connect(parts.scheme, parts.hostname or "", parts.port)
                self._open[address] = connection
                if connection.sock:
                    connection.sock.settimeout(timeout)
                connection.request("POST", target, body=message.body, headers=headers)
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException, ValueError):
                self._drop(address)
                if is_reused and time.monotonic() - begun < timeout:
                    continue
                return None
            if response.will_close:
                self._drop(address)
            return response.status
        return None

    def close(self) -> None:
        for address in list(self._open):
            self._drop(address)

    def _connect(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        # A cafeteria's address in development is a name below localhost, which not every resolver knows.
        reached = "127.0.0.1" if host.endswith(".localhost") else host
        kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        return kind(reached, port, timeout=self._timeout())

    def _drop(self, address: tuple[str, str]) -> None:
        if connection := self._open.pop(address, None):
            connection.close()
