"""Notifications at a steady rate, whether the last one has been answered or not, as Mercado Pago sends them."""

import asyncio
import hashlib
import hmac
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

import orjson

CONNECTIONS = 64
LONGEST = 22.0  # seconds, after which Mercado Pago gives up waiting


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the notifications of one seller go."""

    key: str
    user_id: int


@dataclass(kw_only=True)
class Load:
    """What came of it. A time is measured from when the notification was due, not from when a connection was free."""

    milliseconds: list[float] = field(default_factory=list)
    statuses: Counter[int | None] = field(default_factory=Counter)  # None: no answer
    acknowledged: list[str] = field(default_factory=list)  # request ids answered 200
    late: float = 0.0  # seconds that the sender itself was behind, at most

    def percentile(self, part: float) -> float:
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part / 100))] if ordered else float("nan")


async def send(
    port: int, addresses: list[Address], *, secret: str, rate: float, seconds: float, ids: Iterator[int], signed: bool = True
) -> Load:
    """An open loop: one every 1/rate seconds. `signed` False: with another secret."""
    load = Load()
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    limit, tasks = asyncio.Semaphore(CONNECTIONS), set[asyncio.Task[None]]()
    began, sellers = time.perf_counter(), itertools.cycle(addresses)

    async def one(request_id: str, message: bytes, due: float) -> None:
        async with limit:
            status = None
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
                async with asyncio.timeout(LONGEST):
                    reader, writer = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
                    writer.write(message)
                    status = await _status(reader)
                    free.append((reader, writer))
        load.statuses[status] += 1
        if status is not None:
            load.milliseconds.append((time.perf_counter() - due) * 1000)
        if status == 200:
            load.acknowledged.append(request_id)

    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        load.late = max(load.late, time.perf_counter() - due)
        request_id = str(uuid4())
        message = notification(next(sellers), data_id=str(next(ids)), request_id=request_id, secret=secret if signed else f"{secret}-not")
        task = asyncio.create_task(one(request_id, message, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    for _, writer in free:
        writer.close()
    return load


def notification(address: Address, *, data_id: str, request_id: str, secret: str) -> bytes:
    """The request, signed as Mercado Pago signs."""
    moment = int(time.time())
    signed = f"id:{data_id};request-id:{request_id};ts:{moment};"
    v1 = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
    body = orjson.dumps(
        {"id": int(data_id), "live_mode": True, "type": "payment", "user_id": address.user_id, "action": "payment.updated"}
        | {"data": {"id": data_id}}
    )
    head = (
        f"POST /webhooks/mp/{address.key}?source_news=webhooks&data.id={data_id}&type=payment HTTP/1.1\r\n"
        f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"x-request-id: {request_id}\r\nx-signature: ts={moment},v1={v1}\r\n\r\n"
    )
    return head.encode() + body


async def _status(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = next(int(line.split(":")[1]) for line in head.splitlines() if line.startswith("content-length:"))
    await reader.readexactly(length)
    return int(head.split(" ", 2)[1])
