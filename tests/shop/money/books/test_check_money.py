"""The check of the books: right after everything that may happen, and each way to be wrong is found."""

import random
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from core.alerts.actions import raise_alert
from core.alerts.models import Alert
from payments.ledger.actions import take_at_counter
from payments.ledger.cases import open_case
from payments.ledger.data import Actor
from payments.ledger.models import Charge, LedgerEntry, Payment
from payments.ledger.refunds import request_refund
from shop.money.books.actions import BOOKS_DIFFER, Books, check_books
from shop.money.books.jobs import check_money
from shop.orders.actions import cancel_order
from shop.orders.models import Order
from shop.orders.payments.actions import facts_of
from tenants.actions import open_cafeteria
from tenants.models import Cafeteria
from tenants.queries import ref_for
from tenants.scope import tenant_scope
from tests.emulator.process import Emulator
from tests.payments.reconciliation.test_days import Run
from tests.payments.till import Till, open_till
from tests.world import World

D = Decimal


@pytest.fixture
def till(world: World, emulator: Emulator) -> Till:
    return open_till(world.a, emulator)


def checked(till: Till) -> Books:
    return check_books(till.place.ref)


def wrong(till: Till) -> dict[str, int]:
    return {problem.code: problem.count for problem in checked(till).problems}


def at_counter(till: Till, order: Order, method: str = "cash") -> Payment:
    with tenant_scope(till.place.ref):
        return take_at_counter(cafeteria_uuid=till.uuid, order=facts_of(order), method=method, actor=Actor(label="caja@luna.test"))


def change(till: Till, order: Order, **columns: Any) -> None:
    with tenant_scope(till.place.ref):
        Order.objects.filter(pk=order.pk).update(**columns)


def open_alerts(till: Till) -> list[str]:
    return list(Alert.objects.filter(kind=BOOKS_DIFFER, cafeteria_uuid=till.uuid, resolved_at=None).values_list("detail", flat=True))


def test_right_whatever_happens(till: Till) -> None:
    orders = [till.order() for _ in range(9)]
    for order, outcome in zip(orders, ("approved", "rejected", "pending", "approved", "approved", "approved", "in_process"), strict=False):
        mp_id = till.pay(till.checkout(order), outcome)
        till.told(mp_id)
        if order is orders[3]:
            till.emulator.transition(mp_id, "partially_refunded", amount=300)
        elif order is orders[4]:
            till.emulator.transition(mp_id, "charged_back")
        elif order is orders[5]:
            till.emulator.transition(mp_id, "refunded")
        till.told(mp_id)
    payment = at_counter(till, orders[7])
    with tenant_scope(till.place.ref):
        request_refund(cafeteria_uuid=till.uuid, payment_id=payment.pk, amount=D("250.00"), actor=Actor())
        cancel_order(order_id=orders[6].pk, actor=None)
    till.told(till.pay(till.checkout(orders[8]), amount=999))
    books = checked(till)
    assert (books.problems, books.error) == ([], "")
    assert (books.orders, books.entries) == (9, 9)
    assert books.paid == books.ledger == D("2450.00")
    assert {till.now(order).payment_status for order in orders} == {
        *("paid", "failed", "pending", "partially_refunded", "charged_back", "refunded", "review")
    }


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"paid": D("999.99")}, {"paid": 1}),
        ({"refunded": D("1.00")}, {"refunded": 1}),
        ({"payment_status": "refunded"}, {"status": 1}),
        ({"currency": "BRL"}, {"currency": 1}),
        ({"total": D("1000.01")}, {"payment": 0, "status": 1}),
    ],
    ids=["paid", "refunded", "status", "currency", "total"],
)
def test_an_order_that_was_tampered_with_is_found(till: Till, columns: dict[str, Any], found: dict[str, int]) -> None:
    order = till.order()
    at_counter(till, order)
    till.order()
    assert checked(till).right
    change(till, order, **columns)
    books = checked(till)
    assert {problem.code: problem.count for problem in books.problems} == {code: count for code, count in found.items() if count}
    assert books.problems[0].examples == [f"{order.business_date} #{order.number}"]
    assert len(open_alerts(till)) == 1
    assert order.secret not in open_alerts(till)[0]


def test_it_is_resolved_when_it_is_right_again(till: Till) -> None:
    order = till.order()
    change(till, order, payment_status="paid")
    assert wrong(till) == {"status": 1, "unbacked": 1}
    assert len(open_alerts(till)) == 1
    change(till, order, payment_status="pending")
    assert checked(till).right
    assert open_alerts(till) == []


def test_a_payment_whose_status_is_wrong_is_found(till: Till) -> None:
    payment = at_counter(till, till.order())
    Payment.objects.filter(pk=payment.pk).update(status="pending")
    assert wrong(till) == {"payment": 1}


def test_an_entry_without_an_order_is_found_unless_it_is_known(till: Till) -> None:
    order = till.order()
    mp_id = till.pay(till.checkout(order))
    till.told(mp_id)
    change(till, order, secret="another")  # As after a restore: the order of the entries is not there.
    assert wrong(till) == {"no_order": 1, "paid": 1, "status": 1, "unbacked": 1}
    with tenant_scope(till.place.ref):
        connection.cursor().execute("DELETE FROM shop_orderevent")
        Order.objects.get(pk=order.pk).items.all().delete()
        Order.objects.filter(pk=order.pk).delete()
    assert wrong(till) == {"no_order": 1}
    raise_alert(kind="payments.order_missing", cafeteria_uuid=till.uuid, subject=mp_id)
    assert checked(till).right
    Alert.objects.filter(kind="payments.order_missing").update(subject=order.secret)
    assert checked(till).right


def test_imported_orders_need_no_entries(till: Till) -> None:
    change(till, till.order(), channel="imported", payment_status="paid")
    assert checked(till).right


def test_a_currency_without_decimals_has_none(till: Till) -> None:
    order = till.order()
    at_counter(till, order)
    Cafeteria.objects.filter(uuid=till.uuid).update(currency="CLP")
    change(till, order, currency="CLP")
    assert wrong(till) == {"currency": 1}
    change(till, order, tip=D("0.50"))
    assert wrong(till) == {"currency": 1, "decimals": 1}


def test_the_neighbours_books_are_their_own(world: World, till: Till) -> None:
    order = till.order()
    at_counter(till, order)
    change(till, order, paid=D(1))
    assert check_books(world.b.ref).right
    assert not checked(till).right


def test_statuses_are_derived_as_the_engine_does(till: Till) -> None:
    """Random histories, settled by payments.ledger.cases: the check derives the same from the same rows."""
    chance = random.Random(20261124)
    orders = [till.order() for _ in range(80)]
    for order in orders:
        make_history(till, order, chance)
        with open_case(till.uuid, order.secret) as case:
            case.settle()
    seen = {till.now(order).payment_status for order in orders}
    assert seen == set(Order.PaymentStatus.values)
    assert set(Payment.objects.values_list("status", flat=True)) == set(Payment.Status.values)
    assert checked(till).problems == []


def make_history(till: Till, order: Order, chance: random.Random) -> None:
    now = timezone.now()
    for _ in range(chance.randint(1, 2)):
        with tenant_scope(till.place.ref):
            payment = Payment.objects.create(
                cafeteria_uuid=till.uuid,
                order_key=order.secret,
                order_id=order.pk,
                order_number=order.number,
                business_date=order.business_date,
                method="mercadopago",
                amount=order.total,
                currency="ARS",
                created_at=now,
                updated_at=now,
                reference=uuid4().hex,
                closed_at=chance.choice([None, now]),
            )
        for number in range(chance.randint(0, 2)):
            make_charge(payment, chance, number)


def make_charge(payment: Payment, chance: random.Random, number: int) -> None:
    status = chance.choice(["approved", "rejected", "rejected", "pending", "in_process", "cancelled", "refunded", "charged_back"])
    review = chance.choice(["", "", "", "amount", "refund_failed"])
    moment = timezone.now() + timedelta(seconds=number)
    charge = Charge.objects.create(
        cafeteria_uuid=payment.cafeteria_uuid,
        payment=payment,
        collector_id=1,
        mp_id=uuid4().hex,
        status=status,
        amount=chance.choice([payment.amount, D("400.00")]),
        currency="ARS",
        review=review,
        verdict=chance.choice(["", "accepted"]) if review else "",
        created_at=moment,
        last_updated=moment,
        seen_at=moment,
    )
    moved = [("payment", charge.amount)] if charge.counts and status in {"approved", "refunded", "charged_back"} else []
    if moved and status == "approved" and chance.random() < 0.4:
        moved.append(("refund", -charge.amount / chance.choice([1, 2])))
    elif moved and status != "approved":
        moved.append(("refund" if status == "refunded" else "chargeback", -charge.amount))
    for kind, amount in moved:
        LedgerEntry.objects.create(
            cafeteria_uuid=payment.cafeteria_uuid,
            order_key=payment.order_key,
            order_id=payment.order_id,
            payment=payment,
            charge=charge,
            key=uuid4().hex,
            kind=kind,
            method="mercadopago",
            amount=amount,
            currency="ARS",
            at=moment,
            business_date=payment.business_date,
            recorded_at=moment,
        )


# --- The command and the job ---------------------------------------------------------------------------------------------------


def said(*arguments: str) -> tuple[str, int]:
    output, code = StringIO(), 0
    try:
        call_command("check_money", *arguments, stdout=output)
    except SystemExit as ended:
        code = int(str(ended.code))
    return output.getvalue(), code


def test_the_command_says_that_all_is_right(world: World) -> None:
    output, code = said()
    assert code == 0
    assert "none wrong" in output
    assert "luna" in said("--cafeteria", "luna")[0]


def test_the_command_says_what_is_wrong_and_fails(till: Till) -> None:
    order = till.order()
    at_counter(till, order)
    change(till, order, paid=D("5.00"))
    output, code = said()
    assert code == 1
    assert f"1 orders say another sum paid than the ledger ({order.business_date} #{order.number})" in output
    assert "1 wrong" in output
    assert said("--cafeteria", "sol")[1] == 0


def test_the_command_knows_no_such_cafeteria(world: World) -> None:
    with pytest.raises(CommandError):
        said("--cafeteria", "nowhere")


def test_one_that_cannot_be_read_hides_no_other(world: World, till: Till) -> None:
    change(till, till.order(), payment_status="paid")
    broken = ref_for(open_cafeteria(owner_id=world.owner_b, name="Rota", slug="rota", currency="ARS"))
    with connection.cursor() as cursor:
        cursor.execute(f'DROP TABLE "{broken.schema_name}".shop_order CASCADE')
    run = Run()
    result: Any = check_money(run)  # type: ignore[arg-type]
    assert result == {"checked": 3, "wrong": 2, "cafeterias": ["luna", "rota"]}
    assert Alert.objects.filter(kind=BOOKS_DIFFER, resolved_at=None).count() == 2
    assert run.said == ["0 / 3", "1 / 3", "2 / 3"]
    output, code = said("--all")
    assert (code, "could not be read: ProgrammingError" in output) == (1, True)
