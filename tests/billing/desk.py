"""A cafeteria and its plan, for tests of the platform's bills: every step is the product's own, Mercado Pago is the emulator's process."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import orjson
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.models import User
from billing import actions, looking
from billing.models import Invoice, Preapproval, Subscription
from billing.plans import plan_by_code
from billing.queries import Account, account_of
from core.alerts.models import Alert
from core.audit.models import AuditEntry
from core.identity.callers import Caller
from payments.gateway.subscriptions import Subscriptions
from payments.inbox.actions import Worked, work_off
from payments.inbox.models import Notification
from tenants.models import Cafeteria
from tests.emulator.process import Emulator
from tests.world import Place, World

PAYER = "ana@owners.test"
BACK = "http://localhost:8000/back"


@dataclass(kw_only=True)
class Desk:
    place: Place
    owner: Caller
    emulator: Emulator
    ahead: timedelta = timedelta(0)  # of our clock, and of Mercado Pago's

    @property
    def uuid(self) -> Any:
        return self.place.ref.uuid

    @property
    def cafeteria(self) -> Cafeteria:
        return Cafeteria.objects.get(pk=self.place.ref.id)

    @property
    def subscription(self) -> Subscription:
        return Subscription.objects.get(cafeteria_uuid=self.uuid)

    @property
    def status(self) -> str:
        return self.subscription.status

    @property
    def account(self) -> Account:
        return account_of(self.cafeteria, self.subscription)

    def at(self) -> Any:
        """Our clock, moved along with the emulator's."""
        return time_machine.travel(datetime.now(UTC) + self.ahead, tick=True)

    def pass_time(self, **duration: float) -> None:
        """On both clocks, with all that Mercado Pago does meanwhile. Nobody looks, nobody is told."""
        self.ahead += timedelta(**duration)
        self.emulator.advance(**duration)

    def subscribe(self, plan: str = "house", payer: str = PAYER) -> Preapproval:
        with self.at():
            return actions.subscribe(cafeteria=self.cafeteria, plan=plan_by_code(plan), payer_email=payer, back_url=BACK, person=self.owner)

    def agree(self, row: Preapproval, card: str = "approved") -> None:
        """The payer, at Mercado Pago. Nobody has been told yet."""
        self.emulator.control("POST", f"/_emu/preapprovals/{row.mp_id}/authorize", {"card": card})

    def subscribed(self, plan: str = "house", card: str = "approved") -> Preapproval:
        """A subscription that is agreed, and that we know of."""
        row = self.subscribe(plan)
        self.agree(row, card)
        self.look()
        row.refresh_from_db()
        return row

    def charge(self, row: Preapproval, outcome: str = "approved") -> dict[str, Any]:
        """A month's bill, or another attempt at it. Nobody has been told yet."""
        return dict(self.emulator.control("POST", f"/_emu/preapprovals/{row.mp_id}/charge", {"outcome": outcome}))

    def look(self) -> looking.Checked:
        with self.at():
            return looking.check_subscriptions()

    def apply_policy(self) -> dict[str, int]:
        with self.at():
            return looking.apply_policy()

    def hour(self) -> None:
        """Both of the hourly jobs."""
        self.look()
        self.apply_policy()

    def end_trial(self) -> None:
        """It was over a moment ago."""
        with self.at():
            Subscription.objects.filter(cafeteria_uuid=self.uuid).update(trial_ends_at=timezone.now() - timedelta(minutes=1))

    def open_other(self, place: Place) -> Subscription:
        """Another cafeteria's, whose trial was over a moment ago."""
        with self.at():
            row = actions.subscription_of_cafeteria(Cafeteria.objects.get(pk=place.ref.id))
            row.trial_ends_at = timezone.now() - timedelta(minutes=1)
            row.save()
        return row

    def end_grace(self) -> None:
        with self.at():
            Subscription.objects.filter(cafeteria_uuid=self.uuid).update(grace_until=timezone.now() - timedelta(minutes=1))

    def notify(self, topic: str, data_id: str) -> int:
        """A notification as Mercado Pago signs it, to the platform's address; the answer's status."""
        request_id, secret = str(uuid4()), self.emulator.environment["MERCADOPAGO_WEBHOOK_SECRET"]
        text = f"id:{data_id};request-id:{request_id};ts:1766455693;"
        v1 = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        client = Client(headers={"host": "localhost:8000", "x-request-id": request_id, "x-signature": f"ts=1766455693,v1={v1}"})
        body = {"type": topic, "action": "updated", "data": {"id": data_id}}
        address = f"/webhooks/mp?{urlencode({'data.id': data_id, 'type': topic})}"
        return int(client.post(address, orjson.dumps(body), content_type="application/json").status_code)

    def work(self) -> Worked:
        """The inbox's job, at once, whatever waits for later included."""
        Notification.objects.filter(state="new").update(try_after=timezone.now() - timedelta(days=1), claimed_until=None)
        with self.at():
            return work_off()

    def invoices(self) -> list[tuple[str, str]]:
        """(state, the payment's status there), oldest first."""
        return list(
            Invoice.objects.filter(preapproval__subscription=self.subscription).order_by("pk").values_list("state", "payment_status")
        )

    def theirs(self, row: Preapproval) -> str:
        """The preapproval's status as Mercado Pago has it."""
        return Subscriptions().preapproval(str(row.mp_id)).status

    def site(self) -> int:
        """What the cafeteria's site answers."""
        return int(self.place.client().get("/").status_code)

    def audited(self) -> list[str]:
        return list(AuditEntry.objects.filter(cafeteria_uuid=self.uuid).order_by("pk").values_list("action", flat=True))

    def alerts(self) -> set[str]:
        """Those that are open."""
        return set(Alert.objects.filter(cafeteria_uuid=self.uuid, resolved_at=None).values_list("kind", flat=True))


def open_desk(world: World, emulator: Emulator) -> Desk:
    emulator.settings(webhooks="manual")
    user = User.objects.get(pk=world.owner_a)
    owner = Caller(kind="user", id=user.pk, email=user.email, full_name=user.full_name, role="owner", session_id=uuid4(), token_version=1)
    theirs = datetime.fromisoformat(emulator.control("GET", "/_emu/state")["now"])  # It never goes back between tests.
    desk = Desk(place=world.a, owner=owner, emulator=emulator, ahead=theirs - datetime.now(UTC))
    with desk.at():
        actions.subscription_of_cafeteria(desk.cafeteria)
    return desk
