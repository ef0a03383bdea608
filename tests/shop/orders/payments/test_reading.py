from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.business_day import business_date
from core.jobs.models import lowest_id
from payments.ledger.actions import take_at_counter
from payments.ledger.data import Actor
from payments.ledger.models import Charge, LedgerEntry, Payment
from shop.orders.payments.actions import facts_of
from shop.orders.queries import order_by_secret
from tenants.scope import tenant_scope
from tests.payments.till import Till
from tests.shop.orders.payments.calls import ask, listed, order_of, paid, read, refund
from tests.world import Place, World


def in_cash(where: Place, order: dict[str, Any]) -> str:
    """Our id of the order's payment at the counter."""
    with tenant_scope(where.ref):
        facts = facts_of(order_by_secret(order["secret"]))
        return str(take_at_counter(cafeteria_uuid=where.ref.uuid, order=facts, method="cash", actor=Actor(label="cashier")).pk)


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [payment["id"] for payment in answer.json()["items"]]


# --- One -------------------------------------------------------------------------------------------------------------------


def test_a_payment_that_can_be_paid(till: Till) -> None:
    order = order_of(till.place)
    answer = ask(till.place, "customer", order).json()
    seen = read(till.place, "customer", answer["payment_id"]).json()
    created, updated, expires = seen.pop("created_at"), seen.pop("updated_at"), seen.pop("expires_at")
    assert seen == {
        "id": answer["payment_id"],
        "order_id": order["id"],
        "order_number": order["number"],
        "method": "mercadopago",
        "status": "pending",
        "amount": "1000.00",
        "refunded": "0.00",
        "currency": "ARS",
        "init_point": answer["init_point"],
        "refunds": [],
    }
    assert created == updated < expires
    assert created.endswith("-03:00")


@pytest.mark.parametrize("change", ["expired", "closed", "not opened"])
def test_where_to_pay_is_told_only_while_it_can_be_paid(till: Till, change: str) -> None:
    payment_id = ask(till.place, "customer", order_of(till.place)).json()["payment_id"]
    payment = Payment.objects.get(pk=payment_id)
    changes: dict[str, dict[str, Any]] = {
        "expired": {"expires_at": payment.created_at},
        "closed": {"closed_at": payment.created_at},
        "not opened": {"init_point": ""},
    }
    Payment.objects.filter(pk=payment_id).update(**changes[change])
    assert read(till.place, "customer", payment_id).json()["init_point"] is None


def test_a_rejected_attempt_can_be_tried_again_at_the_same_place(till: Till) -> None:
    answer = ask(till.place, "customer", order_of(till.place)).json()
    till.told(till.emulator.pay(answer["preference_id"], "rejected")["id"])
    seen = read(till.place, "customer", answer["payment_id"]).json()
    assert (seen["status"], seen["init_point"]) == ("failed", answer["init_point"])


def test_the_staff_sees_each_attempt_and_what_went_back(till: Till) -> None:
    order = order_of(till.place)
    answer = ask(till.place, "customer", order).json()
    rejected = till.emulator.pay(answer["preference_id"], "rejected")["id"]
    approved = till.emulator.pay(answer["preference_id"])["id"]
    for mp_id in (rejected, approved):
        till.told(mp_id)
    assert refund(till.place, "manager", answer["payment_id"], {"amount": "250.00"}).status_code == 200
    seen = read(till.place, "kitchen", answer["payment_id"]).json()
    assert [(charge["mp_id"], charge["status"], charge["amount"], charge["refunded"]) for charge in seen["charges"]] == [
        (str(rejected), "rejected", "1000.00", "0.00"),
        (str(approved), "approved", "1000.00", "250.00"),
    ]
    assert [(charge["disputed"], charge["review"]) for charge in seen["charges"]] == [(False, None)] * 2
    [back] = seen["refunds"]
    assert (back["amount"], back["state"], back["reason"]) == ("250.00", "approved", "staff")
    assert set(back) == {"id", "amount", "state", "reason", "requested_at"}
    customers = read(till.place, "customer", answer["payment_id"]).json()
    assert "charges" not in customers
    assert customers == {name: value for name, value in seen.items() if name != "charges"}


@pytest.mark.parametrize(("changes", "review"), [({"amount": 999}, "amount"), ({"currency": "BRL"}, "currency")])
def test_money_that_does_not_match_says_why_it_is_not_counted(till: Till, changes: dict[str, Any], review: str) -> None:
    answer = ask(till.place, "customer", order_of(till.place)).json()
    till.told(till.emulator.pay(answer["preference_id"], **changes)["id"])
    seen = read(till.place, "owner", answer["payment_id"]).json()
    assert (seen["status"], seen["refunded"], seen["charges"][0]["review"]) == ("review", "0.00", review)


def test_a_charge_in_a_currency_that_nobody_here_takes_can_be_read(till: Till) -> None:
    payment_id, _ = paid(till, order_of(till.place))
    Charge.objects.filter(payment_id=payment_id).update(currency="USD")
    [charge] = read(till.place, "owner", payment_id).json()["charges"]
    assert (charge["amount"], charge["currency"]) == ("1000.00", "USD")


def test_a_dispute_shows(till: Till) -> None:
    payment_id, mp_id = paid(till, order_of(till.place))
    till.emulator.transition(mp_id, "charged_back")
    till.told(mp_id)
    seen = read(till.place, "owner", payment_id).json()
    assert (seen["status"], seen["refunded"], seen["charges"][0]["disputed"]) == ("charged_back", "0.00", True)


def test_cash_is_a_payment_too(world: World) -> None:
    order = order_of(world.a)
    seen = read(world.a, "customer", in_cash(world.a, order)).json()
    facts = (seen["method"], seen["status"], seen["amount"], seen["expires_at"], seen["init_point"], seen["refunds"])
    assert facts == ("cash", "paid", "1000.00", None, None, [])


@pytest.mark.parametrize(
    ("role", "status"), [("customer", 200), ("kitchen", 200), ("cashier", 200), ("manager", 200), ("customer2", 404), (None, 401)]
)
def test_who_may_look(world: World, role: str | None, status: int) -> None:
    payment_id = in_cash(world.a, order_of(world.a))
    assert read(world.a, role, payment_id).status_code == status


def test_a_secret_opens_its_own_orders_payment_only(world: World) -> None:
    own, other = order_of(world.a, None), order_of(world.a, None)
    payment_id = in_cash(world.a, own)
    for role in (None, "customer"):
        assert read(world.a, role, payment_id, f"?secret={own['secret']}").status_code == 200
        assert read(world.a, role, payment_id, f"?secret={other['secret']}").status_code == 404


NONE = ["1", "0", "abc", "\u0663", "x" * 2_000, "00000000-0000-0000-0000-000000000000", "..", "-1", "' OR 1=1", "{}"]


@pytest.mark.parametrize("payment_id", NONE)
def test_what_is_no_payment_is_not_found(world: World, payment_id: str) -> None:
    for role in ("customer", "owner"):
        answer = read(world.a, role, payment_id)
        assert (answer.status_code, answer.json()["code"]) == (404, "payment_not_found")
    assert refund(world.a, "owner", payment_id, {}).status_code == 404


# --- Many ------------------------------------------------------------------------------------------------------------------


def test_the_staff_lists_all_and_a_customer_their_own(world: World) -> None:
    orders = [order_of(world.a, role) for role in ("customer", "customer2", None, "cashier")]
    made = [in_cash(world.a, order) for order in orders]
    assert ids(listed(world.a, "kitchen")) == made[::-1]
    assert ids(listed(world.a, "customer")) == made[:1]
    assert ids(listed(world.a, "customer2")) == made[1:2]
    assert ids(listed(world.b, "owner")) == []
    assert listed(world.a, None).status_code == 401


def test_one_in_a_list_is_as_it_is_alone(till: Till) -> None:
    payment_id, _ = paid(till, order_of(till.place))
    refund(till.place, "owner", payment_id, {"amount": "1.00"})
    for role in ("owner", "customer"):
        assert listed(till.place, role).json() == {"items": [read(till.place, role, payment_id).json()], "next": None}


def test_pages_follow_one_another(world: World) -> None:
    made = [in_cash(world.a, order_of(world.a)) for _ in range(5)]
    seen, query = list[str](), "?limit=2"
    while query:
        page = listed(world.a, "owner", query)
        seen += ids(page)
        query = f"?limit=2&cursor={page.json()['next']}" if page.json()["next"] else ""
    assert seen == made[::-1]
    assert listed(world.a, "owner", "?limit=5").json()["next"] is None


@pytest.mark.parametrize("cursor", ["x", "AAAA", "%00", "é", "=" * 64, "a" * 64])
def test_a_cursor_must_be_ours(world: World, cursor: str) -> None:
    assert listed(world.a, "owner", f"?cursor={cursor}").status_code == 400


def test_filters(till: Till) -> None:
    open_order, paid_order = order_of(till.place), order_of(till.place, "customer2")
    waiting = ask(till.place, "owner", open_order).json()["payment_id"]
    done, _ = paid(till, paid_order)
    assert ids(listed(till.place, "owner", f"?order_id={paid_order['id']}")) == [done]
    assert ids(listed(till.place, "customer", f"?order_id={paid_order['id']}")) == []
    assert ids(listed(till.place, "owner", "?status=pending")) == [waiting]
    assert ids(listed(till.place, "owner", f"?status=paid&order_id={open_order['id']}")) == []
    assert listed(till.place, "owner", "?status=lost").status_code == 422
    assert listed(till.place, "owner", "?order_id=abc").status_code == 422


def test_a_day_is_a_business_day_of_the_begin_or_of_a_movement(till: Till) -> None:
    """A payment begun before the cutoff is yesterday's; one that is given back later is also that day's."""
    payment_id, _ = paid(till, order_of(till.place))
    ref = till.place.ref
    payment = Payment.objects.get(pk=payment_id)
    local = payment.created_at.astimezone(ref.zone)
    begun = (local - timedelta(days=10)).replace(hour=ref.day_cutoff.hour, minute=ref.day_cutoff.minute) - timedelta(minutes=1)
    payment_id = made_at(payment, begun)
    first, moved = begun.date() - timedelta(days=1), LedgerEntry.objects.get(payment_id=payment_id).business_date
    assert first == business_date(begun, zone=ref.zone, cutoff=ref.day_cutoff)
    for day, found in ((first, [payment_id]), (first + timedelta(days=1), []), (moved, [payment_id]), (moved + timedelta(days=1), [])):
        assert ids(listed(till.place, "owner", f"?date={day.isoformat()}")) == found


def made_at(payment: Payment, moment: datetime) -> str:
    """The payment as if it had been made then: its key has the time in it. The ledger lets nobody change it, and has to be passed by."""
    key = UUID(int=lowest_id(moment).int | payment.pk.int & (1 << 80) - 1)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for table in ("ledgerentry", "charge", "refund"):
            cursor.execute(f"UPDATE public.payments_{table} SET payment_id = %s WHERE payment_id = %s", [key, payment.pk])
        cursor.execute("UPDATE public.payments_payment SET id = %s, created_at = %s WHERE id = %s", [key, moment, payment.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")
    return str(key)


@pytest.mark.parametrize("day", ["9999-12-31", "9999-12-29", "0001-01-01", "0001-01-03"])
def test_the_first_and_the_last_of_all_days(world: World, day: str) -> None:
    assert ids(listed(world.a, "owner", f"?date={day}")) == []


@pytest.mark.parametrize("day", ["2026-13-01", "10000-01-01", "today", ""])
def test_days_that_are_none(world: World, day: str) -> None:
    assert listed(world.a, "owner", f"?date={day}").status_code == 422


def test_a_list_costs_the_same_queries_at_1_and_at_3(world: World) -> None:
    costs = []
    for more in (1, 2):
        for _ in range(more):
            in_cash(world.a, order_of(world.a))
        with CaptureQueriesContext(connection) as queries:
            listed(world.a, "owner")
        costs.append(len(queries))
    assert costs[0] == costs[1]


# One order of thousands of them has been disputed, and nothing is refunded in part.
MANY = """INSERT INTO payments_payment SELECT (many).* FROM (SELECT jsonb_populate_record(p, jsonb_build_object(
    'id', gen_random_uuid(), 'order_id', 1000000 + n, 'order_key', 'many-' || n, 'reference', 'many-' || n,
    'status', CASE WHEN n = 7 THEN 'charged_back' ELSE 'paid' END)) AS many
    FROM payments_payment p, generate_series(1, 8000) n WHERE p.id = %s) m"""


@pytest.mark.parametrize(
    ("query", "index", "found"),
    [
        ("?order_id=1000007", "payments_payment_order_id", 1),
        ("?order_id=1000007&status=charged_back", "payments_payment_", 1),
        ("?status=charged_back", "payments_payment_status", 1),
        ("?status=partially_refunded", "payments_payment_status", 0),
        ("?status=paid&limit=3", "payments_payment_newest", 3),
    ],
    ids=["order", "both", "status", "status of none", "paid"],
)
def test_a_list_reads_what_it_shows_however_many_there_are(world: World, query: str, index: str, found: int) -> None:
    payment_id = in_cash(world.a, order_of(world.a))
    with connection.cursor() as cursor:
        cursor.execute(MANY, [payment_id])
        cursor.execute("ANALYZE payments_payment")
        with CaptureQueriesContext(connection) as queries:
            assert len(ids(listed(world.a, "owner", query))) == found
        [asked] = [sent["sql"] for sent in queries if 'FROM "payments_payment"' in sent["sql"]]
        cursor.execute(f"EXPLAIN {asked}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert f"Index Scan using {index}" in plan
    assert "Seq Scan" not in plan


# --- Cancelling ------------------------------------------------------------------------------------------------------------


def test_a_customer_cannot_cancel_what_was_paid_at_the_counter(till: Till) -> None:
    """The ledger would say that the money went back, and nobody would have given it."""
    order = order_of(till.place)
    in_cash(till.place, order)
    refused = till.place.client("customer").delete(f"/api/v1/orders/{order['id']}")
    assert (refused.status_code, refused.json()["code"]) == (400, "cannot_cancel")
    assert refused.json()["detail"].startswith("Cannot cancel")
    cancelled = till.place.client("cashier").delete(f"/api/v1/orders/{order['id']}")
    assert (cancelled.status_code, cancelled.json()["payment_status"]) == (200, "refunded")
