"""What is answered while the database is away or in a deadlock: 503 and when to come back, not 500."""

import psycopg2
import pytest
from django.db import DataError, OperationalError
from django.test import Client

from tests.world import World


class Terminated(psycopg2.OperationalError):
    pgcode = "57P01"


class Deadlock(psycopg2.OperationalError):
    pgcode = "40P01"


class TooLate(psycopg2.OperationalError):
    pgcode = "57014"  # a statement's time was over: the database is there


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, cause: Exception | None) -> None:
    def away(*_: object, **__: object) -> None:
        raise error from cause

    monkeypatch.setattr("shop.orders.api.actions.place_order", away)


@pytest.mark.parametrize(
    ("error", "cause", "status", "code"),
    [
        (OperationalError("could not connect"), psycopg2.OperationalError("could not connect"), 503, "unavailable"),
        (OperationalError("terminating"), Terminated(), 503, "unavailable"),
        (OperationalError("deadlock detected"), Deadlock(), 503, "try_again"),
        (OperationalError("canceling statement"), TooLate(), 500, "server_error"),
        (DataError("nonsense"), None, 500, "server_error"),
    ],
    ids=["no-connection", "ended", "deadlock", "statement-timeout", "a-fault-of-ours"],
)
def test_an_order_while_the_database_is_away(
    world: World, luna: Client, monkeypatch: pytest.MonkeyPatch, error: Exception, cause: Exception | None, status: int, code: str
) -> None:
    failing(monkeypatch, error, cause)
    luna.raise_request_exception = False
    answer = luna.post("/api/v1/orders", world.a.order(guest={"name": "Ana"}), "application/json")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert ("Retry-After" in answer) == (status == 503)


def test_a_page_while_the_database_is_away(world: World, luna: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("gone") from psycopg2.InterfaceError("connection already closed")

    monkeypatch.setattr("shop.people.doors.request_scope", away)
    luna.raise_request_exception = False
    answer = luna.get("/")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "Algo falló de nuestro lado" in answer.text
