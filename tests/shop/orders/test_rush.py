"""Many at once, against the real server: granian's processes, real connections, real commits."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from shop.menu.models import Product
from shop.orders.models import IdempotencyKey, Order
from tenants.scope import tenant_scope
from tests.servers import running_web
from tests.world import Place, World


@pytest.fixture(scope="module")
def port(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of a server of four processes, for all tests of the module: each has cafeterias of its own."""
    with running_web(tmp_path_factory.mktemp("rush"), workers=4) as port:
        yield port


async def post_all(port: int, requests: list[bytes]) -> list[tuple[int, dict[str, Any]]]:
    return await asyncio.gather(*(post(port, request) for request in requests))


async def post(port: int, request: bytes) -> tuple[int, dict[str, Any]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    raw = await asyncio.wait_for(reader.read(), 120)
    writer.close()
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def order_request(where: Place, role: str, body: dict[str, Any], key: str) -> bytes:
    payload = json.dumps(body).encode()
    head = [
        "POST /api/v1/orders HTTP/1.1",
        f"Host: {where.host}",
        f"Authorization: Bearer {where.token(role)}",
        "Content-Type: application/json",
        f"Idempotency-Key: {key}",
        f"Content-Length: {len(payload)}",
        "Connection: close",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + payload


@pytest.mark.parametrize("clients", [500])
def test_500_at_once_for_the_last_20(committed_world: World, port: int, clients: int) -> None:
    a = committed_world.a
    body = {"items": [{"product_id": a.cake, "quantity": 1}]}
    answers = asyncio.run(post_all(port, [order_request(a, "customer", body, f"c-{n}") for n in range(clients)]))
    placed = [order for status, order in answers if status == 201]
    refused = [error for status, error in answers if status == 400]
    assert (len(placed), len(refused)) == (20, clients - 20)
    assert sorted(order["number"] for order in placed) == list(range(1, 21))
    assert {error["code"] for error in refused} == {"out_of_stock"}
    assert {error["detail"] for error in refused} == {f"Not enough stock of Torta {a.canary}: 0 left."}
    with tenant_scope(a.ref):
        assert Order.objects.count() == 20
        assert Product.objects.get(pk=a.cake).stock == 0


def test_one_key_50_times_at_once_is_one_order(committed_world: World, port: int) -> None:
    a = committed_world.a
    body = {"items": [{"product_id": a.cake, "quantity": 2}]}
    answers = asyncio.run(post_all(port, [order_request(a, "customer", body, "one") for _ in range(50)]))
    assert {status for status, _ in answers} == {201}
    assert len({order["id"] for _, order in answers}) == 1
    with tenant_scope(a.ref):
        assert Order.objects.count() == 1
        assert IdempotencyKey.objects.count() == 1
        assert Product.objects.get(pk=a.cake).stock == 18


def test_crossed_baskets_never_deadlock(committed_world: World, port: int) -> None:
    a = committed_world.a
    with tenant_scope(a.ref):
        Product.objects.filter(pk__in=[a.coffee, a.latte]).update(stock=10_000)
        Product.objects.filter(pk=a.cake).update(stock=10_000)
    there = {"items": [{"product_id": a.coffee, "quantity": 1}, {"product_id": a.cake, "quantity": 1}]}
    back = {"items": list(reversed(there["items"]))}
    requests = [order_request(a, "customer", there if n % 2 else back, f"d-{n}") for n in range(200)]
    answers = asyncio.run(post_all(port, requests))
    assert {status for status, _ in answers} == {201}
    assert sorted(order["number"] for _, order in answers) == list(range(1, 201))
