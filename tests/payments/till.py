"""A connected cafeteria that sells, for tests of its money: every step is the product's own, Mercado Pago is the emulator's process."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import orjson
import requests
from django.test import Client
from django.utils import timezone

from core.alerts.models import Alert
from core.identity.callers import Caller
from payments.inbox.actions import Worked, work_off
from payments.inbox.models import Notification
from payments.ledger.actions import open_checkout, start_payment, take_at_counter
from payments.ledger.data import Actor, RequestKey
from payments.ledger.models import Charge, LedgerEntry, Payment, Refund
from payments.ledger.refunds import request_refund
from payments.ledger.sending import send_refund
from payments.reconciliation.actions import Looked, check_due_payments, sellers_to_sweep, sweep_account
from payments.sellers.models import Seller
from shop.menu.models import Product
from shop.orders.actions import cancel_order, place_order
from shop.orders.data import Guest, NewLine, NewOrder
from shop.orders.models import Order
from shop.orders.payments.actions import facts_of, wait_for_payment
from shop.orders.queries import order_by_secret
from tenants.scope import tenant_scope
from tests.emulator.process import Emulator
from tests.payments.application import connected
from tests.world import Place

BOSS = Actor(person_id=1, label="boss@people.test")


@dataclass(kw_only=True)
class Till:
    place: Place
    emulator: Emulator
    seller: Seller

    @property
    def uuid(self) -> Any:
        return self.place.ref.uuid

    def order(self, *, quantity: int = 1, product: int | None = None, waits: bool = False, caller: Caller | None = None) -> Order:
        """A guest's order: `quantity` coffees at 1000.00. `waits`: it is cooked only when it is paid."""
        line = NewLine(product_id=product or self.place.coffee, quantity=quantity)
        with tenant_scope(self.place.ref):
            guest = None if caller else Guest(name="Ana", email="ana@guests.test")
            placed = place_order(order=NewOrder(lines=(line,), guest=guest), caller=caller)
            order = order_by_secret(placed.secret)
            if waits:
                wait_for_payment(order_id=order.pk, until=timezone.now() + timedelta(minutes=30))
        return self.now(order)

    def now(self, order: Order) -> Order:
        """The order as it is by now, with its items."""
        with tenant_scope(self.place.ref):
            return order_by_secret(order.secret)

    def checkout(self, order: Order, *, amount: Decimal | None = None) -> Payment:
        """A payment for the whole order whose checkout is open at Mercado Pago."""
        with tenant_scope(self.place.ref):
            fresh = order_by_secret(order.secret)
            payment = start_payment(
                cafeteria_uuid=self.uuid,
                order=facts_of(fresh, with_copy=True),
                amount=amount or fresh.total,
                return_url=f"http://{self.place.host}/o/{order.secret}",
                actor=Actor(),
            )
        return open_checkout(payment_id=payment.pk)

    def pay(self, payment: Payment, outcome: str = "approved", **changes: Any) -> str:
        """A buyer's attempt, by its id at Mercado Pago. Nobody has been told yet."""
        return str(self.emulator.pay(payment.preference_id, outcome, **changes)["id"])

    def notify(self, mp_id: str, *, topic: str = "payment", **changes: Any) -> Any:
        """One notification, signed as Mercado Pago signs. `secret`, `user_id`, `key`, `signature` and `host` make it differ."""
        secret, request_id = changes.get("secret", self.emulator.environment["MERCADOPAGO_WEBHOOK_SECRET"]), str(uuid4())
        signed = f"id:{mp_id};request-id:{request_id};ts:1766455693;"
        v1 = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        headers = {"x-request-id": request_id, "x-signature": changes.get("signature", f"ts=1766455693,v1={v1}")}
        body = {
            "type": topic,
            "action": f"{topic}.updated",
            "user_id": changes.get("user_id", self.seller.mp_user_id),
            "data": {"id": mp_id},
        }
        address = f"/webhooks/mp/{changes.get('key', self.seller.webhook_key)}?{urlencode({'data.id': mp_id, 'type': topic})}"
        client = Client(headers={"host": changes.get("host", "localhost:8000"), **headers})
        return client.post(changes.get("address", address), orjson.dumps(body), content_type="application/json")

    def told(self, mp_id: str) -> Worked:
        """Mercado Pago tells of the payment, and the inbox is worked off."""
        assert self.notify(mp_id).status_code == 200
        return self.work()

    def work(self) -> Worked:
        """The inbox's job, at once, whatever waits for later included."""
        Notification.objects.filter(state="new").update(try_after=long_ago(), claimed_until=None)
        return work_off()

    def look(self) -> Looked:
        """Reconciliation's job, with all that is still watched due."""
        Payment.objects.filter(next_check_at__isnull=False).update(next_check_at=long_ago())
        return check_due_payments()

    def send_refunds(self) -> list[Refund]:
        """What the refunds' jobs do."""
        waiting = Refund.objects.filter(cafeteria_uuid=self.uuid, state__in=("requested", "in_process")).values_list("pk", flat=True)
        return [send_refund(refund_id=pk) for pk in list(waiting)]

    def history(self, order: Order) -> list[str]:
        """What has happened to the order, oldest first."""
        with tenant_scope(self.place.ref):
            return [event.kind for event in order_by_secret(order.secret).events.all()]

    def payment(self, order: Order) -> Payment:
        """The order's newest."""
        return Payment.objects.filter(order_key=order.secret).order_by("pk")[::-1][0]

    def take(self, order: Order, method: str = "cash") -> Payment:
        """At the counter."""
        with tenant_scope(self.place.ref):
            fresh = order_by_secret(order.secret)
            return take_at_counter(cafeteria_uuid=self.uuid, order=facts_of(fresh, with_copy=True), method=method, actor=BOSS)

    def refund(self, payment: Payment, amount: Decimal | int | None = None, *, key: str = "", fingerprint: str = "") -> list[Refund]:
        """Written down; send_refunds sends it."""
        with tenant_scope(self.place.ref):
            return request_refund(
                cafeteria_uuid=self.uuid,
                payment_id=payment.pk,
                amount=Decimal(amount) if amount is not None else None,
                actor=BOSS,
                request=RequestKey(caller="person:1", key=key, fingerprint=fingerprint),
            )

    def cancel(self, order: Order) -> None:
        with tenant_scope(self.place.ref):
            cancel_order(order_id=order.pk, actor=self.place.caller("manager"))

    def refunded(self, mp_id: str) -> Any:
        """What Mercado Pago has given back of it."""
        return Decimal(str(self.theirs(mp_id)["transaction_amount_refunded"]))

    def open_alerts(self) -> list[tuple[str, str]]:
        """(kind, subject) of the cafeteria's, oldest first."""
        found = Alert.objects.filter(cafeteria_uuid=self.uuid, resolved_at=None).order_by("id")
        return list(found.values_list("kind", "subject"))

    def entries(self, order: Order) -> list[tuple[str, Decimal]]:
        """The ledger of the order, oldest first."""
        return list(LedgerEntry.objects.filter(order_key=order.secret).order_by("id").values_list("kind", "amount"))

    def charges(self, payment: Payment) -> list[Charge]:
        return list(Charge.objects.filter(payment=payment).order_by("id"))

    def charge(self, mp_id: str) -> Charge:
        return Charge.objects.get(mp_id=mp_id)

    def theirs(self, mp_id: str) -> dict[str, Any]:
        """The payment as Mercado Pago has it."""
        headers = {"Authorization": f"Bearer {self.seller.access_token}"}
        return dict(requests.get(f"{self.emulator.url}/v1/payments/{mp_id}", headers=headers, timeout=10).json())

    def stock(self, product: int) -> int | None:
        with tenant_scope(self.place.ref):
            return Product.objects.get(pk=product).stock


def open_till(place: Place, emulator: Emulator, *, site: str = "MLA") -> Till:
    emulator.settings(webhooks="manual")
    return Till(place=place, emulator=emulator, seller=connected(emulator, place.ref.uuid, site=site))


def long_ago() -> datetime:
    """Before the transaction of a test that is rolled back: now() stands still in it."""
    return timezone.now() - timedelta(days=1)


def sweep_all() -> dict[str, int]:
    """What the day's jobs do: every account by itself, so that one which fails keeps nobody from the others."""
    found = {"sellers": 0, "charges": 0, "failed": 0}
    for seller_id in sellers_to_sweep():
        try:
            found["charges"] += sweep_account(seller_id)
        except Exception:  # noqa: BLE001 - the queue's runner takes any
            found["failed"] += 1
        else:
            found["sellers"] += 1
    return found
