"""Statements that are planned once a connection: they always mean the scope's tables, and cost nothing to lose."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from core.prepared import Statement
from tenants.scope import tenant_scope
from tests.world import Place, World

MENU = "SELECT id, name FROM shop_product WHERE price >= %(least)s AND name LIKE '%%' ORDER BY id"
ROUNDS = 8  # from the sixth execution on PostgreSQL may keep a plan for any parameters


@pytest.fixture
def own_connection(world: World) -> Iterator[None]:
    """A connection of this test alone, in no transaction. The world is committed: it is there too."""
    former = connections["default"]
    connections["default"] = connections.create_connection("default")
    try:
        yield
    finally:
        connections["default"].close()
        connections["default"] = former


@pytest.fixture
def menu() -> Statement:
    return Statement(f"menu_{secrets.token_hex(6)}", MENU, least="numeric")


def rows(statement: Statement, **facts: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        statement.run(cursor, facts)
        return list(cursor.fetchall())


def menu_of(place: Place, statement: Statement, *, least: int = 0) -> list[tuple[Any, ...]]:
    with tenant_scope(place.ref):
        return rows(statement, least=least)


def executions(statement: Statement) -> list[int]:
    """Of each prepared statement of that name, which are one or none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE name = %s", [statement.name])
        return [count for (count,) in cursor.fetchall()]


@pytest.mark.usefixtures("own_connection")
def test_it_is_prepared_once_and_executed_from_then_on(world: World, menu: Statement) -> None:
    first = menu_of(world.a, menu)
    assert executions(menu) == [1]
    with CaptureQueriesContext(connection) as queries:
        assert menu_of(world.a, menu) == first
    assert executions(menu) == [2]
    said = [query["sql"] for query in queries]
    assert [sql for sql in said if sql.startswith("PREPARE") or "shop_product" in sql] == []
    assert len([sql for sql in said if sql.startswith(f'EXECUTE "{menu.name}"')]) == 1


@pytest.mark.usefixtures("own_connection")
def test_a_connection_prepares_by_itself(world: World, menu: Statement) -> None:
    menu_of(world.a, menu)
    connection.close()
    assert menu_of(world.a, menu) != []
    assert executions(menu) == [1]


@pytest.mark.usefixtures("own_connection")
def test_a_rollback_does_not_lose_it(world: World, menu: Statement) -> None:
    with tenant_scope(world.a.ref):
        rows(menu, least=0)
        transaction.set_rollback(True)
    assert not connection.in_atomic_block
    assert executions(menu) == [1]
    assert menu_of(world.a, menu) != []
    assert executions(menu) == [2]


@pytest.mark.usefixtures("own_connection")
def test_what_could_not_be_prepared_is_prepared_the_next_time(world: World, menu: Statement) -> None:
    with pytest.raises(DatabaseError, match="shop_product"):
        rows(menu, least=0)  # no scope
    with transaction.atomic():
        with pytest.raises(DatabaseError), transaction.atomic():
            rows(menu, least=0)
        assert menu_of(world.a, menu) != []
    assert executions(menu) == [1]


@pytest.mark.usefixtures("own_connection")
def test_one_connection_answers_each_cafeteria_its_own(world: World, menu: Statement) -> None:
    wrong = []
    for number in range(ROUNDS):
        for place in (world.a, world.b, world.a):
            seen = menu_of(place, menu, least=number)
            wrong += [(number, place.canary, name) for _id, name in seen if place.canary not in name]
            assert [product_id for product_id, _name in seen] == [place.coffee, place.cake, place.latte]
    assert wrong == []
    assert executions(menu) == [ROUNDS * 3]


@pytest.mark.usefixtures("own_connection")
def test_so_it_does_inside_one_transaction(world: World, menu: Statement) -> None:
    with transaction.atomic():
        for place in (world.a, world.b, world.a):
            assert {place.canary in name for _id, name in menu_of(place, menu)} == {True}
        with pytest.raises(DatabaseError, match="shop_product"), transaction.atomic():
            rows(menu, least=0)  # between the scopes it means no table at all


@pytest.mark.usefixtures("own_connection")
def test_where_nothing_can_be_prepared_it_runs_plainly(world: World, menu: Statement, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = menu_of(world.a, menu, least=1200)
    assert len(expected) == 2
    connection.ensure_connection()
    monkeypatch.setattr(connections["default"], "prepared", None)
    plain = Statement(f"{menu.name}_plain", MENU, least="numeric")
    with CaptureQueriesContext(connection) as queries:
        assert menu_of(world.a, plain, least=1200) == expected
    assert [query["sql"] for query in queries if "EXECUTE" in query["sql"] or "PREPARE" in query["sql"]] == []
    assert executions(plain) == []


@pytest.mark.usefixtures("own_connection")
def test_a_parameter_may_stand_twice_or_never_and_other_facts_are_ignored() -> None:
    name = secrets.token_hex(6)
    twice = Statement(f"twice_{name}", "SELECT %(n)s + %(n)s, %(text)s, 7 %% 4", text="text", n="int", unused="uuid")
    assert rows(twice, n=2, text="a '%' $1", more=object()) == [(4, "a '%' $1", 3)]
    never = Statement(f"never_{name}", "SELECT 1")
    assert rows(never) == rows(never, n=3) == [(1,)]


def test_a_parameter_without_a_type_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="least"):
        Statement("untyped", MENU)
