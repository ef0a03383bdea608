"""`python -m tests.bench neighbours`: what the others notice when one cafeteria is hammered.

Twenty cafeterias are read at a steady rate, each by people of many addresses; then one of them twenty times as often as before, and then
as fast as 64 connections can. The senders share the machine's cores with the web processes and PostgreSQL: its own cost is
in the figures.
"""

import argparse
import asyncio
import os
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from config.dev.postgres import embedded_database
from tests.bench.hot_path import _environment
from tests.bench.load import machine, web

CAFETERIAS, TIMES, GOAL = 20, 20, 1.5
PATHS = ("/", "/api/v1/products", "/", "/api/v1/products", "/cart")
FLOOD = 64  # connections of the hammer that knows no rate
HAMMERED = "cafe-0.localhost"
FLOOD_SCRIPT = """
local n = 0
request = function()
  n = n + 1
  return wrk.format("GET", "/", {{["Host"] = "{host}", ["X-Forwarded-For"] = "198.51." .. n % 100 .. "." .. math.floor(n / 100) % 250}})
end
"""
type Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(kw_only=True)
class Heard:
    """What one side was answered. A time is from when the request was due."""

    milliseconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def p(self, part: int) -> float:
        return statistics.quantiles(self.milliseconds, n=100)[part - 1]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench neighbours")
    parser.add_argument("--rate", type=float, default=6, help="requests a second of each cafeteria: its share")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="threads of each of the two web processes")
    options = parser.parse_args(arguments or [])
    with tempfile.TemporaryDirectory(prefix="comanda-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with embedded_database(folder) as url:
            os.environ.update(_environment(url, folder))
            hosts = _prepare()
            print(
                f"\nNeighbours: {machine()}\n{CAFETERIAS} cafeterias, each asked {options.rate:g} times a second; {options.rounds} rounds\n"
            )
            for percent in (os.environ.get("FAIR_SHARE_PERCENT", "35"), "0"):
                values = {"TRUSTED_PROXIES": "1", "FAIR_SHARE_PERCENT": percent, "WEB_THREADS": str(options.threads)}
                with web("config.wsgi:application", threads=options.threads, environment=values) as (port, _):
                    asyncio.run(_measure(port, hosts, options, percent))


def _prepare() -> list[str]:
    import django  # noqa: PLC0415 - after the environment

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415

    call_command("migrate_fleet", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    from accounts.models import User  # noqa: PLC0415
    from shop.menu.models import Category, Product  # noqa: PLC0415
    from tenants.actions import open_cafeteria  # noqa: PLC0415
    from tenants.pulse import bump_menu  # noqa: PLC0415
    from tenants.queries import ref_for  # noqa: PLC0415
    from tenants.scope import tenant_scope  # noqa: PLC0415

    owner = User.objects.create(email="owner@bench.test", full_name="Owner", password="!", role="owner")
    for number in range(CAFETERIAS):
        with tenant_scope(ref_for(open_cafeteria(owner_id=owner.pk, name=f"Café {number}", slug=f"cafe-{number}", currency="ARS"))):
            category = Category.objects.create(name="Cafetería")
            Product.objects.bulk_create([Product(category=category, name=f"Producto {n}", price=1500 + n) for n in range(40)])
            bump_menu()
    return [f"cafe-{number}.localhost" for number in range(CAFETERIAS)]


async def _measure(port: int, hosts: list[str], options: argparse.Namespace, percent: str) -> None:
    hammered, others = HAMMERED, [host for host in hosts if host != HAMMERED]
    await _read(port, hosts, rate=options.rate * len(hosts), seconds=3)
    rounds = []
    for _ in range(options.rounds):
        alone, _ = await _beside(port, others, hammered, options, "share")
        hammer, refused = await _beside(port, others, hammered, options, "hammer")
        flood, flooded = await _beside(port, others, hammered, options, "flood")
        rounds.append((alone, hammer, flood, refused, flooded))
    fair = "without fair shares" if percent == "0" else f"fair shares from {percent} of 100 on"
    print(f"{fair}, {options.threads} thread(s)")
    for name, index in (("nobody hammers", 0), (f"one asked {TIMES} times its share", 1), (f"one asked by {FLOOD} connections", 2)):
        heard = [one[index] for one in rounds]
        ratio = statistics.median(one[index].p(99) / one[0].p(99) for one in rounds)
        bad = sum(count for one in heard for status, count in one.statuses.items() if status != 200)
        p50, p99 = (statistics.median(one.p(part) for one in heard) for part in (50, 99))
        more = "" if index == 0 else f"   ratio {ratio:.2f}   the hammer: {_told(rounds[-1][index + 2])}"
        print(f"  the others, {name:<30} p50 {p50:6.1f} ms   p99 {p99:6.1f} ms   not 200: {bad}{more}")
    print(f"  goal: the others' p99 rises by less than {GOAL} times, asked {TIMES} times the share\n", flush=True)


def _told(hammer: Heard) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(hammer.statuses.items()))


async def _beside(port: int, others: list[str], hammered: str, options: argparse.Namespace, kind: str) -> tuple[Heard, Heard]:
    rate, seconds = options.rate, options.seconds
    ours = _read(port, others, rate=rate * len(others), seconds=seconds)
    if kind == "flood":
        theirs = _flood(port, hammered, seconds=seconds)
    else:
        theirs = _read(port, [hammered], rate=rate * (TIMES if kind == "hammer" else 1), seconds=seconds)
    heard, hammer = await asyncio.gather(ours, theirs)
    await asyncio.sleep(3)
    return heard, hammer


async def _read(port: int, hosts: list[str], *, rate: float, seconds: float) -> Heard:
    """An open loop: one every 1/rate seconds, whether the last one has been answered or not."""
    heard = Heard()
    free: list[Connection] = []
    tasks = []
    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        message = _message(hosts[number % len(hosts)], PATHS[number // len(hosts) % len(PATHS)], number)
        tasks.append(asyncio.create_task(_one(port, free, message, due, heard)))
    await asyncio.gather(*tasks)
    for _, writer in free:
        writer.close()
    return heard


async def _flood(port: int, host: str, *, seconds: float) -> Heard:
    """wrk, which costs little itself, as many people of many addresses."""
    with tempfile.TemporaryDirectory() as name:
        script = Path(name) / "flood.lua"
        script.write_text(FLOOD_SCRIPT.format(host=host))
        command = ("wrk", "-t1", f"-c{FLOOD}", f"-d{seconds:.0f}s", "-s", str(script), f"http://127.0.0.1:{port}/")
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        told = (await process.communicate())[0].decode()
    total = int(re.search(r"(\d+) requests in", told)[1])  # type: ignore[index]
    refused = int(found[1]) if (found := re.search(r"Non-2xx or 3xx responses: (\d+)", told)) else 0
    return Heard(statuses=Counter({200: total - refused, 429: refused}))


async def _one(port: int, free: list[Connection], message: bytes, due: float, heard: Heard) -> None:
    status = 0
    with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
        async with asyncio.timeout(20):
            reader, writer = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
            writer.write(message)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            await reader.readexactly(int(head.split("content-length:")[1].split("\r\n", 1)[0]))
            free.append((reader, writer))
            status = int(head.split(" ", 2)[1])
    heard.statuses[status] += 1
    heard.milliseconds.append((time.perf_counter() - due) * 1000)


def _message(host: str, path: str, number: int) -> bytes:
    side = 20 if host == HAMMERED else 0  # the hammer's people and the others' are not the same
    address = f"203.{side}.{number // 250 % 40}.{number % 250}"
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {address}\r\n\r\n".encode()


if __name__ == "__main__":
    main(sys.argv[1:])
