"""What must hold whatever happens: the ledger is final, it outlives its order, and nobody is asked while a scope is open."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from payments.gateway import transport
from payments.gateway.gateway import gateway
from payments.ledger import cases
from payments.ledger.cases import open_case
from payments.ledger.charges import record_charge
from payments.ledger.jobs import close_checkout as close_job
from payments.ledger.models import Charge, LedgerEntry, Payment, Refund
from payments.ledger.reviews import return_charge
from payments.reconciliation.actions import check_payment
from shop.orders.models import Order
from tenants.errors import CafeteriaNotFound, CrossedTenantScope, StaleTenant
from tenants.models import Cafeteria
from tenants.queries import ref_by_uuid
from tenants.scope import current_tenant_or_none, tenant_scope
from tests.payments.till import BOSS, Till, sweep_all
from tests.world import World

D = Decimal


def paid(till: Till) -> tuple[Order, Payment, str]:
    order = till.order()
    payment = till.checkout(order)
    mp_id = till.pay(payment)
    till.told(mp_id)
    return order, payment, mp_id


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payments_ledgerentry SET amount = 0",
        "UPDATE payments_ledgerentry SET note = 'a better one'",
        "DELETE FROM payments_ledgerentry",
        "TRUNCATE payments_ledgerentry",
    ],
)
def test_the_database_refuses_to_change_or_erase_the_ledger(till: Till, statement: str) -> None:
    order, _, _ = paid(till)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # or TRUNCATE would be refused for what is still to be checked
        with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
            cursor.execute(statement)
    with pytest.raises(IntegrityError), transaction.atomic():
        LedgerEntry.objects.all().delete()
    assert till.entries(order) == [("payment", D(1000))]


def test_the_ledger_goes_on_when_the_order_is_gone(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    mp_id = till.pay(payment)
    with tenant_scope(till.place.ref):
        Order.objects.filter(pk=order.pk).delete()
    till.told(mp_id)
    assert till.entries(order) == [("payment", D(1000))]
    payment.refresh_from_db()
    assert (payment.status, payment.order_copy["number"]) == ("paid", order.number)
    assert till.open_alerts() == [("payments.order_missing", mp_id)]
    [refund] = till.refund(payment)  # a person has looked at it
    till.send_refunds()
    refund.refresh_from_db()
    assert (refund.state, till.refunded(mp_id), till.open_alerts()) == ("approved", 1000, [])
    payment.refresh_from_db()
    assert payment.status == "refunded"


@pytest.mark.parametrize("state", ["suspended", "closed", "gone"])
def test_the_ledger_goes_on_when_the_cafeteria_rests_or_is_gone(till: Till, state: str) -> None:
    order = till.order()
    payment = till.checkout(order)
    mp_id = till.pay(payment)
    cafeteria = Cafeteria.objects.filter(uuid=till.uuid)
    cafeteria.update(**({"uuid": uuid4()} if state == "gone" else {"status": state}))
    till.told(mp_id)
    assert till.entries(order) == [("payment", D(1000))]
    assert Payment.objects.get(pk=payment.pk).status == "paid"
    till.emulator.transition(mp_id, "partially_refunded", amount=100)
    till.told(mp_id)
    assert till.entries(order) == [("payment", D(1000)), ("refund", D(-100))]
    assert [kind for kind, _ in till.open_alerts()] == (["payments.order_missing"] if state == "gone" else [])
    Payment.objects.filter(pk=payment.pk).update(expires_at=payment.created_at)
    assert till.look().failed == 0


def test_a_refund_of_a_cafeteria_that_is_gone_is_kept(till: Till) -> None:
    order, payment, mp_id = paid(till)
    till.refund(payment, 200)
    Cafeteria.objects.filter(uuid=till.uuid).update(uuid=uuid4())
    [sent] = till.send_refunds()
    assert (sent.state, till.refunded(mp_id)) == ("approved", 200)
    assert till.entries(order) == [("payment", D(1000)), ("refund", D(-200))]


def test_a_case_is_of_one_cafeteria(till: Till, world: World) -> None:
    order, _, _ = paid(till)
    with tenant_scope(world.b.ref), pytest.raises(CrossedTenantScope), open_case(till.uuid, order.secret):
        pass


@pytest.mark.parametrize("times", [1, 2])
def test_a_cafeteria_that_changes_meanwhile_is_looked_up_once_more(till: Till, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    order, _, _ = paid(till)
    left = [times]

    def found(uuid: Any) -> Any:
        ref = ref_by_uuid(uuid)
        if left[0]:
            left[0] -= 1
            Cafeteria.objects.filter(uuid=uuid).update(revision=ref.revision + 1)
        return ref

    monkeypatch.setattr(cases, "ref_by_uuid", found)
    if times > 1:
        with pytest.raises(StaleTenant), open_case(till.uuid, order.secret):
            pass
        return
    with open_case(till.uuid, order.secret) as case:
        assert (case.order is not None, case.due) == (True, D(0))
    assert current_tenant_or_none() is None


def test_an_error_in_a_case_is_the_callers(till: Till) -> None:
    order, _, _ = paid(till)
    with pytest.raises(CafeteriaNotFound), open_case(till.uuid, order.secret):
        raise CafeteriaNotFound


def test_nobody_is_asked_while_a_scope_is_open(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all of the engine's flows: the thread that works, and those that it sends out, ask Mercado Pago outside every scope."""
    here: Any = connection
    asked: list[str] = []
    request = transport.Client.request

    def watched(self: Any, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        in_scope = here.tenant if hasattr(here.tenant, "uuid") else None
        assert in_scope is None, f"{method} {url} inside the scope of {in_scope}"
        assert current_tenant_or_none() is None
        asked.append(f"{method} {url.removeprefix(transport.BUILT_IN).split('?')[0].rstrip('0123456789')}")
        return request(self, method, url, *arguments, **options)

    monkeypatch.setattr(transport.Client, "request", watched)
    order, payment, mp_id = paid(till)
    till.refund(payment, 300)
    till.send_refunds()
    till.cancel(order)
    till.send_refunds()
    close_job(None, payment_id=str(payment.pk))  # type: ignore[arg-type]
    late = till.order(waits=True)
    pending = till.checkout(late)
    till.told(till.pay(pending, "in_process"))
    till.take(late)
    till.look()
    doubtful = till.order()
    short = till.pay(till.checkout(doubtful), amount=1)
    check_payment(till.payment(doubtful))
    with tenant_scope(till.place.ref):
        return_charge(cafeteria_uuid=till.uuid, charge_id=till.charge(short).pk, actor=BOSS)
    till.send_refunds()
    assert sweep_all()["failed"] == 0
    assert set(asked) >= {
        "POST /checkout/preferences",
        "GET /v1/payments/",
        "GET /v1/payments/search",
        "PUT /v1/payments/",
    }
    assert len([call for call in asked if call.endswith("/refunds")]) == 3
    assert till.refunded(mp_id) == 1000


def test_what_is_told_in_other_shapes_is_kept_as_it_fits(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    mp_id = till.pay(payment)
    snapshot = gateway(till.seller.access_token).charge(mp_id)
    wild = {"status": "s" * 90, "status_detail": "d" * 900, "payment_type": "t" * 90, "currency": "pesos"}
    changed = type(snapshot)(**{name: getattr(snapshot, name) for name in snapshot.__slots__} | wild)
    assert record_charge(seller=till.seller, snapshot=changed) is not None
    charge = Charge.objects.get()
    assert (len(charge.status), len(charge.status_detail), len(charge.payment_type), charge.currency) == (20, 80, 40, "pes")
    assert (till.entries(order), Refund.objects.count()) == ([], 0)
