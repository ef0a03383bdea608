"""Who buys, and how it goes: each story places an order by the product's own actions and pays it at the emulator."""

import heapq
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import uuid4

import requests
from django.db import connections

from payments.gateway.errors import GatewayUnavailable
from payments.ledger.data import Actor, RequestKey
from payments.ledger.models import Payment
from payments.ledger.refunds import request_refund
from shop.orders.actions import cancel_order
from shop.orders.models import Order
from tenants.scope import tenant_scope
from tests.payments.till import Till

# Of those who are to end up having paid; whatever is left is paid without a hitch.
SHARES = {
    "rejected_first": 0.08,
    "undecided_first": 0.06,
    "twice": 0.05,
    "refunded": 0.04,
    "partly_refunded": 0.03,
    "returned": 0.03,
    "charged_back": 0.01,
}
# On top of them: nobody may ever see these as paid.
NEVER = {"rejected": 0.02, "abandoned": 0.01, "underpaid": 0.01, "late": 0.02}
ENDS = {
    **dict.fromkeys(("plain", "rejected_first", "undecided_first", "twice", "returned"), "paid"),
    "refunded": "refunded",
    "partly_refunded": "partially_refunded",
    "charged_back": "charged_back",
    "rejected": "failed",
    "abandoned": "pending",
    "underpaid": "review",
    "late": "refunded",
}
type Steps = Generator[float]  # seconds to wait before the next step


@dataclass(kw_only=True)
class Purchase:
    kind: str
    till: Till
    order: Order | None = None
    back: Decimal = Decimal(0)  # what has to be given back, in one refund
    paid_at: float = 0.0  # seconds since 1970: when the money was at Mercado Pago

    @property
    def is_meant_to_be_paid(self) -> bool:
        return self.kind not in NEVER


@dataclass(kw_only=True)
class Buyers:
    """Threads that carry all stories on, each step when its time has come."""

    purchases: list[Purchase]
    rng: random.Random
    failures: list[str] = field(default_factory=list)
    told_off: Counter[str] = field(default_factory=Counter)  # what buyers had to try again

    def __post_init__(self) -> None:
        self._number, self._changed, self._busy = itertools.count(), threading.Condition(), 0
        self._due: list[tuple[float, int, Steps]] = [(0.0, next(self._number), self._story(purchase)) for purchase in self.purchases]
        self._local = threading.local()

    def start(self, threads: int) -> list[threading.Thread]:
        started = [threading.Thread(target=self._work, daemon=True, name=f"buyers-{number}") for number in range(threads)]
        for thread in started:
            thread.start()
        return started

    @property
    def left(self) -> int:
        with self._changed:
            return len(self._due) + self._busy

    def give_up(self) -> None:
        with self._changed:
            self._due.clear()
            self._changed.notify_all()

    def _work(self) -> None:
        try:
            while (steps := self._next()) is not None:
                wait: float | None = None
                try:
                    wait = next(steps)
                except StopIteration:
                    pass
                except Exception as error:  # noqa: BLE001 - counted, and the run fails by it
                    self.failures.append(f"{type(error).__name__}: {error}")
                with self._changed:
                    self._busy -= 1
                    if wait is not None:
                        heapq.heappush(self._due, (time.monotonic() + wait, next(self._number), steps))
                    self._changed.notify_all()
        finally:
            connections.close_all()

    def _next(self) -> Steps | None:
        with self._changed:
            while self._due or self._busy:
                wait = self._due[0][0] - time.monotonic() if self._due else 1.0
                if wait <= 0:
                    self._busy += 1
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait)
            return None

    def _story(self, purchase: Purchase) -> Steps:
        tell: Callable[[Purchase, Payment], Iterator[float]] = getattr(self, f"_{purchase.kind}")
        purchase.order = purchase.till.order(quantity=self.rng.randrange(1, 9), waits=True)
        payment = yield from self._opened(purchase)
        yield from tell(purchase, payment)

    # --- the stories

    def _plain(self, purchase: Purchase, payment: Payment) -> Steps:
        self._pays(purchase, payment)
        yield from ()

    def _rejected_first(self, purchase: Purchase, payment: Payment) -> Steps:
        self._attempt(payment, "rejected")
        yield self.rng.uniform(0.2, 2)
        again = yield from self._opened(purchase)
        assert again.pk == payment.pk
        self._pays(purchase, again)

    def _undecided_first(self, purchase: Purchase, payment: Payment) -> Steps:
        mp_id = self._attempt(payment, "in_process")
        yield self.rng.uniform(0.2, 2)
        self._move(mp_id, "approved")
        purchase.paid_at = time.time()

    def _twice(self, purchase: Purchase, payment: Payment) -> Steps:
        self._pays(purchase, payment)
        purchase.back = payment.amount
        yield self.rng.uniform(0, 2)
        self._attempt(payment, force=True)

    def _refunded(self, purchase: Purchase, payment: Payment) -> Steps:
        yield from self._refunded_by_staff(purchase, payment, None)

    def _partly_refunded(self, purchase: Purchase, payment: Payment) -> Steps:
        yield from self._refunded_by_staff(purchase, payment, (payment.amount / 3).quantize(Decimal("0.01")))

    def _returned(self, purchase: Purchase, payment: Payment) -> Steps:
        mp_id = self._pays(purchase, payment)
        yield self.rng.uniform(0.2, 3)
        self._move(mp_id, "charged_back")
        yield self.rng.uniform(0.2, 3)
        self._move(mp_id, "approved")

    def _charged_back(self, purchase: Purchase, payment: Payment) -> Steps:
        mp_id = self._pays(purchase, payment)
        yield self.rng.uniform(0.2, 3)
        self._move(mp_id, "charged_back")

    def _rejected(self, _purchase: Purchase, payment: Payment) -> Steps:
        self._attempt(payment, "rejected")
        yield from ()

    def _abandoned(self, _purchase: Purchase, _payment: Payment) -> Steps:
        yield from ()

    def _underpaid(self, _purchase: Purchase, payment: Payment) -> Steps:
        self._attempt(payment, amount=float(payment.amount - 1))
        yield from ()

    def _late(self, purchase: Purchase, payment: Payment) -> Steps:
        assert purchase.order is not None
        with tenant_scope(purchase.till.place.ref):
            cancel_order(order_id=purchase.order.pk, actor=None)
        purchase.back = payment.amount
        yield self.rng.uniform(0.2, 2)
        self._attempt(payment, force=True)

    # --- their steps

    def _opened(self, purchase: Purchase) -> Generator[float, None, Payment]:
        """The order's checkout; a buyer whose page says that Mercado Pago does not answer taps again."""
        assert purchase.order is not None
        while True:
            try:
                return purchase.till.checkout(purchase.order)
            except GatewayUnavailable:
                self.told_off["checkout"] += 1
            yield self.rng.uniform(0.5, 1.5)

    def _refunded_by_staff(self, purchase: Purchase, payment: Payment, amount: Decimal | None) -> Steps:
        self._pays(purchase, payment)
        while Payment.objects.get(pk=payment.pk).status != Payment.Status.PAID:
            yield self.rng.uniform(0.5, 1)
        purchase.back, key = amount or payment.amount, uuid4().hex
        for _ in range(2):  # pressed twice
            with tenant_scope(purchase.till.place.ref):
                request_refund(
                    cafeteria_uuid=purchase.till.uuid,
                    payment_id=payment.pk,
                    amount=amount,
                    actor=Actor(label="staff"),
                    request=RequestKey(caller="staff", key=key, fingerprint="same"),
                )
            yield self.rng.uniform(0, 0.2)

    def _pays(self, purchase: Purchase, payment: Payment) -> str:
        mp_id = self._attempt(payment)
        purchase.paid_at = time.time()
        return mp_id

    def _attempt(self, payment: Payment, outcome: str = "approved", **changes: Any) -> str:
        body = {"preference_id": payment.preference_id, "outcome": outcome, **changes}
        return str(self._control("/_emu/payments", body)["id"])

    def _move(self, mp_id: str, status: str) -> None:
        self._control(f"/_emu/payments/{mp_id}/transition", {"status": status})

    def _control(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """As Emulator.control, on a connection that this thread keeps."""
        emulator = self.purchases[0].till.emulator
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.headers["X-Emulator-Key"] = emulator.environment["MERCADOPAGO_EMULATOR_KEY"]
        response = session.post(f"{emulator.url}{path}", json=body, timeout=60)
        assert response.ok, response.text
        return dict(response.json())


def drawn(tills: list[Till], *, payments: int, rng: random.Random) -> list[Purchase]:
    """So many that are to be paid, some of each kind, and those that never are, in any order."""
    kinds = [kind for shares in (SHARES, NEVER) for kind, share in shares.items() for _ in range(max(1, round(share * payments)))]
    kinds += ["plain"] * (payments - sum(kind not in NEVER for kind in kinds))
    rng.shuffle(kinds)
    return [Purchase(kind=kind, till=tills[number % len(tills)]) for number, kind in enumerate(kinds)]
