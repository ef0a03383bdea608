"""The pages of the days: Mercado Pago's against ours."""

import csv
import re
from datetime import date, timedelta
from io import StringIO
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from core.business_day import business_date
from core.jobs.models import Job
from payments.reconciliation.jobs import state_day
from payments.reconciliation.models import DayStatement
from payments.sellers.models import Seller
from tests.payments.reconciliation.test_days import Run
from tests.payments.till import Till
from tests.shop.pages import HTMX, visitor
from tests.world import Place, World

PAGE = "/staff/money/days"


def yesterday(place: Place) -> date:
    return business_date(timezone.now(), zone=place.ref.zone, cutoff=place.ref.day_cutoff) - timedelta(days=1)


def statement(place: Place, day: date, **values: Any) -> DayStatement:
    about = {"cafeteria_uuid": place.ref.uuid, "business_date": day, "currency": "ARS", "checked_at": timezone.now(), "state": "agrees"}
    sums = {"their_payments": 5000, "our_payments": 5000, "their_fees": 314, "our_fees": 314, "their_net": 4686, "count": 4}
    return DayStatement.objects.create(**{**about, **sums, **values})


def text(client: Client, address: str = PAGE, **headers: Any) -> str:
    response = client.get(address, headers=headers)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode().replace("\xa0", " "))


@pytest.mark.parametrize("role", ["owner", "manager", "cashier", "customer", None])
def test_who_may_look(till: Till, role: str | None) -> None:
    status = {"owner": 200, "manager": 200, None: 302}.get(role, 403)
    client, day = visitor(till.place, role), yesterday(till.place)
    assert {client.get(address).status_code for address in (PAGE, f"{PAGE}.csv", f"{PAGE}/{day}")} == {status}
    assert client.post(f"{PAGE}/{day}/check").status_code == (302 if status == 200 else status)
    assert Job.objects.filter(kind__endswith="state_day").count() == (status == 200)


def test_without_an_account_it_says_to_connect_one(world: World) -> None:
    page = text(visitor(world.a, "owner"))
    assert "No hay nada que comparar" in page
    assert 'href="/staff/payments"' in page


def test_before_the_first_day_it_leads_to_yesterday(till: Till) -> None:
    page = text(visitor(till.place, "owner"))
    assert "Todavía no se comparó ningún día" in page
    assert f'href="{PAGE}/{yesterday(till.place)}"' in page


def test_a_day_before_the_account_was_connected(till: Till) -> None:
    Seller.objects.update(connected_at=timezone.now())
    owner, day = visitor(till.place, "owner"), yesterday(till.place)
    page = text(owner)
    assert "Su primer día se compara la mañana después" in page
    assert f"{PAGE}/{day}" not in page
    page = text(owner, f"{PAGE}/{day}")
    assert "no hay nada que comparar" in page
    assert "/check" not in page
    owner.post(f"{PAGE}/{day}/check")
    assert not Job.objects.filter(kind__endswith="state_day").exists()


def test_the_days_newest_first(world: World) -> None:
    day = yesterday(world.a)
    statement(world.a, day)
    statement(world.a, day - timedelta(days=1), state="differs", their_payments=777)
    statement(world.a, day - timedelta(days=2), state="failed", count=0, their_payments=0)
    statement(world.b, day, their_payments=98765)
    page = text(visitor(world.a, "manager"))
    assert page.index("Coincide") < page.index("No coincide") < page.index("Sin respuesta")
    assert "$ 777" in page
    assert "No se sabe" in page
    assert "98.765" not in page


def test_older_days_are_a_page_away(world: World) -> None:
    day = yesterday(world.a)
    for number in range(33):
        statement(world.a, day - timedelta(days=number))
    client = visitor(world.a, "owner")
    page = text(client)
    assert page.count('scope="row"') == 31
    earlier = day - timedelta(days=31)
    assert f'href="?until={earlier}"' in page
    assert text(client, f"{PAGE}?until={earlier}").count('scope="row"') == 2


def test_a_day_that_agrees(world: World) -> None:
    day = yesterday(world.a)
    statement(world.a, day)
    page = text(visitor(world.a, "owner"), f"{PAGE}/{day}")
    assert "4 pagos aprobados en este día" in page
    assert "Todos los pagos del día están en tus cuentas, al centavo" in page
    assert "Lo que no coincide" not in page


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing_here", "Falta en tus cuentas"),
        ("missing_there", "Falta en Mercado Pago"),
        ("amount", "Otro importe"),
        ("refunded", "Otra suma devuelta"),
        ("fee", "Otra comisión"),
        ("review", "Espera tu decisión"),
    ],
)
def test_each_difference_says_what_to_do(world: World, kind: str, said: str) -> None:
    day = yesterday(world.a)
    found = {"mp_id": "138472", "kind": kind, "currency": "ARS", "theirs": "1000.00", "ours": "900.00", "order_id": 5, "order_number": 41}
    statement(world.a, day, state="differs", differences=[found])
    page = text(visitor(world.a, "owner"), f"{PAGE}/{day}")
    for words in (said, "138472", "$ 1.000", "$ 900", 'href="/staff/orders/5">#41</a>'):
        assert words in page
    assert (f'<a href="/staff/money/review">{"Decidir"}</a>' in page) == (kind == "review")


def test_a_difference_in_a_currency_that_is_not_taken(world: World) -> None:
    day = yesterday(world.a)
    found = {"mp_id": "1", "kind": "review", "currency": "USD", "theirs": "10.00", "ours": "", "why": "currency"}
    statement(world.a, day, state="differs", differences=[found])
    assert "10.00 USD" in text(visitor(world.a, "owner"), f"{PAGE}/{day}")


@pytest.mark.parametrize(("error", "said"), [("needs_reconnect", "Conectá la cuenta otra vez"), ("payments_unavailable", "no respondió")])
def test_a_day_that_could_not_be_asked_for_says_why(world: World, error: str, said: str) -> None:
    day = yesterday(world.a)
    statement(world.a, day, state="failed", error=error, count=0)
    page = text(visitor(world.a, "owner"), f"{PAGE}/{day}")
    assert said in page
    assert "al centavo" not in page
    assert "no hubo pagos" not in page


def test_a_day_is_compared_again(till: Till) -> None:
    """From the page by the job to the page, against the emulator."""
    day, owner = yesterday(till.place), visitor(till.place, "owner")
    assert "Sin comparar" in text(owner, f"{PAGE}/{day}")
    assert owner.post(f"{PAGE}/{day}/check")["Location"] == f"{PAGE}/{day}"
    owner.post(f"{PAGE}/{day}/check")
    job = Job.objects.get(kind="payments.reconciliation.jobs.state_day")
    assert (job.cafeteria_uuid, job.arguments) == (till.uuid, {"day": day.isoformat()})
    waiting = text(owner, f"{PAGE}/{day}")
    assert "Comparando" in waiting
    assert f'hx-get="{PAGE}/{day}" hx-trigger="every 2s"' in waiting
    assert state_day(Run(till.place.ref), **job.arguments) == {"state": "agrees"}  # type: ignore[arg-type]
    Job.objects.filter(pk=job.pk).update(state="succeeded")
    part = text(owner, f"{PAGE}/{day}", **HTMX)
    assert "<html" not in part
    assert "no hubo pagos ese día" in part
    assert "hx-trigger" not in part


@pytest.mark.parametrize("day", ["today", "tomorrow", "2014-12-31", "9999-12-31", "0001-01-01", "2026-02-30", "x", "2026-1-1"])
def test_days_that_are_not_over_are_no_pages(world: World, day: str) -> None:
    now = yesterday(world.a) + timedelta(days=1)
    asked = {"today": now.isoformat(), "tomorrow": (now + timedelta(days=1)).isoformat()}.get(day, day)
    client = visitor(world.a, "owner")
    assert client.get(f"{PAGE}/{asked}").status_code == 404
    assert client.post(f"{PAGE}/{asked}/check").status_code == 404
    assert not Job.objects.filter(kind__endswith="state_day").exists()


def test_the_file_of_the_days(world: World) -> None:
    day = yesterday(world.a)
    statement(world.a, day, state="differs", their_payments="5000.50", differences=[{}, {}])
    statement(world.a, day - timedelta(days=1), currency="CLP", their_payments=12000)
    statement(world.b, day, their_payments=98765)
    response = visitor(world.a, "owner").get(f"{PAGE}.csv")
    header, *lines = csv.reader(StringIO(b"".join(response.streaming_content).decode("utf-8-sig")))  # type: ignore[attr-defined]
    assert header[:3] == ["Día comercial", "Estado", "Pagos"]
    assert [line[:4] for line in lines] == [
        [day.isoformat(), "No coincide", "4", "5000.50"],
        [(day - timedelta(days=1)).isoformat(), "Coincide", "4", "12000"],
    ]
    assert (lines[0][11], lines[1][12]) == ("2", "CLP")
