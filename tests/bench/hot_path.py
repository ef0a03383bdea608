"""The hot path: reading the menu and placing an order over HTTP, against what the parts cost in the same run.

The load generator, the web process and PostgreSQL share the machine, so that ratios mean something and absolute figures little.
"""

import argparse
import json
import os
import statistics
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil

from config.dev.postgres import embedded_database
from ops.postgres.programs import run_program
from tests.bench.load import Result, http_load, machine, web

SECONDS, ROUNDS, PRODUCTS, CLIENTS = 6, 3, 40, 16

PLAIN_SEQUENCE = "CREATE SEQUENCE {schema}.bench_number; CREATE SEQUENCE {schema}.bench_secret"
# What pgbench does on the same tables: two products locked, one order, two items, two stocks. No token, key, number, event or pulse.
PLAIN_ORDER = r"""\set a random(1000, 1000 + {half} - 1)
\set b random(1000 + {half}, 1000 + {products} - 1)
BEGIN;
SELECT id, name, price, stock FROM shop_product WHERE id IN (:a, :b) ORDER BY id FOR UPDATE;
INSERT INTO shop_order (business_date, number, status, payment_status, channel, guest_name, guest_phone, guest_email, "table", notes,
  subtotal, tip, total, currency, secret, created_at, updated_at)
  VALUES ('2001-01-01', nextval('bench_number'), 'pending', 'pending', 'online', '', '', '', '', '',
  10, 0, 10, 'ARS', nextval('bench_secret')::text, now(), now()) RETURNING id \gset
INSERT INTO shop_orderitem (order_id, product_id, name, quantity, unit_price, choices, subtotal, notes, stock_taken)
  VALUES (:id, :a, 'Producto', 1, 5, '[]', 5, '', true);
INSERT INTO shop_orderitem (order_id, product_id, name, quantity, unit_price, choices, subtotal, notes, stock_taken)
  VALUES (:id, :b, 'Producto', 1, 5, '[]', 5, '', true);
UPDATE shop_product SET stock = stock - 1 WHERE id = :a;
UPDATE shop_product SET stock = stock - 1 WHERE id = :b;
COMMIT;
"""
ORDER_SCRIPT = """
local n = 0
local mark = tostring(os.time()) .. tostring(math.random(1000000))
wrk.method = "POST"
request = function()
  n = n + 1
  local a, b = {first} + n % {half}, {first} + {half} + n % {half}
  local body = '{{"items": [{{"product_id": ' .. a .. ', "quantity": 1}}, {{"product_id": ' .. b .. ', "quantity": 1}}]}}'
  return wrk.format(nil, nil, {{["Host"] = "{host}", ["Authorization"] = "Bearer {token}", ["Content-Type"] = "application/json",
    ["Idempotency-Key"] = mark .. "-" .. n}}, body)
end
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench hot_path")
    parser.add_argument("--threads", type=int, default=1, help="of each of the two web processes")
    threads = parser.parse_args(arguments or []).threads
    with tempfile.TemporaryDirectory(prefix="comanda-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with embedded_database(folder) as url:
            environment = _environment(url, folder)
            os.environ.update(environment)
            place = _prepare()
            run_program("psql", "-q", "-v", "ON_ERROR_STOP=1", "-c", PLAIN_SEQUENCE.format(**place), url)
            print(f"\nHot path: {machine()}\n{ROUNDS} rounds of {SECONDS} s, medians; {threads} thread(s) in each web process\n")
            _measure_menu(place, {**environment, "WEB_THREADS": str(threads)}, folder)
            _measure_orders(place, {**environment, "WEB_THREADS": str(threads)}, folder, url)


def _environment(url: str, folder: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": url,
        "COMANDA_DATA": str(folder),
        "SECRET_KEY": "bench-" + "x" * 50,
        "VAULT_KEYS": "b25seS1mb3ItYmVuY2hzb25seS1mb3ItYmVuY2hzMTE=",
        "PUBLIC_URL": "http://localhost:8000",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "LOG_LEVEL": "WARNING",
    }


def _prepare() -> dict[str, str]:
    import django  # noqa: PLC0415 - after the environment

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415

    call_command("migrate_fleet")
    call_command("collectstatic", interactive=False, verbosity=0)
    from shop.menu.models import Category, Product  # noqa: PLC0415
    from tenants.pulse import bump_menu  # noqa: PLC0415
    from tenants.scope import tenant_scope  # noqa: PLC0415
    from tests.world import build_world  # noqa: PLC0415

    world = build_world("bench", "bench2")
    with tenant_scope(world.a.ref):
        Product.objects.all().delete()
        category = Category.objects.get()
        category.name = "Cafetería"
        category.save()
        rows = [
            Product(
                id=1000 + n,
                category=category,
                name=f"Producto {n}",
                description="Con leche de avena y canela",
                price=1500 + n,
                stock=1_000_000_000,
                tags=["vegano"],
            )
            for n in range(PRODUCTS)
        ]
        Product.objects.bulk_create(rows)
        bump_menu()
    return {"host": world.a.host, "token": world.a.token("customer"), "schema": world.a.ref.schema_name}


def _measure_menu(place: dict[str, str], environment: dict[str, str], folder: Path) -> None:
    with web("config.wsgi:application", threads=int(environment["WEB_THREADS"]), environment=environment) as (port, process):
        url = f"http://127.0.0.1:{port}/api/v1/products"
        request = urllib.request.Request(url, headers={"Host": place["host"]})
        body = urllib.request.urlopen(request, timeout=10).read().decode()
        assert len(json.loads(body)) == PRODUCTS
        with web("tests.bench.bare:application", environment={**environment, "BARE_PAYLOAD": '{"status": "ok"}'}) as (bare_port, _):
            bare_url = f"http://127.0.0.1:{bare_port}/bare"
            rounds = [
                (
                    http_load(bare_url, host="localhost", clients=CLIENTS, seconds=SECONDS, folder=folder),
                    http_load(url, host=place["host"], clients=CLIENTS, seconds=SECONDS, folder=folder),
                )
                for _ in range(ROUNDS)
            ]
        _row("bare JsonResponse view", [bare for bare, _ in rounds])
        _row(f"GET /products, {PRODUCTS} products, {len(body):,} bytes", [products for _, products in rounds])
        print(f"  ratio {_median(lambda r: r[1].rate / r[0].rate, rounds):.2f} (goal: at least 0.5)\n")
        page = http_load(f"http://127.0.0.1:{port}/", host=place["host"], clients=CLIENTS, seconds=SECONDS, folder=folder)
        _row("the menu page", [page])
        print(f"  web processes: {_memory(process)} (goal: each under 150 MB)\n")


def _measure_orders(place: dict[str, str], environment: dict[str, str], folder: Path, url: str) -> None:
    script = ORDER_SCRIPT.format(first=1000, half=PRODUCTS // 2, **place)
    with web("config.wsgi:application", threads=int(environment["WEB_THREADS"]), environment=environment) as (port, process):
        address = f"http://127.0.0.1:{port}/api/v1/orders"
        http_load(address, host=place["host"], clients=2, seconds=2, script=script, folder=folder)
        rounds = [
            (
                _pgbench(url, place["schema"], folder, clients=2),
                http_load(address, host=place["host"], clients=CLIENTS, seconds=SECONDS, script=script, folder=folder),
            )
            for _ in range(ROUNDS)
        ]
        print(f"pgbench, plain order, 2 clients        {statistics.median(plain for plain, _ in rounds):8.0f}/s")
        _row(f"POST /orders, 2 lines, {CLIENTS} clients", [orders for _, orders in rounds])
        print(f"  ratio {_median(lambda r: r[1].rate / r[0], rounds):.2f} (goal: at least 0.35); p99 goal: under 100 ms")
        print(f"  web processes: {_memory(process)} (goal: each under 150 MB)\n")


def _pgbench(url: str, schema: str, folder: Path, *, clients: int) -> float:
    """Transactions a second. Simple protocol, as psycopg2 has no other; as many connections as the web server has."""
    script = folder / "plain.sql"
    script.write_text(PLAIN_ORDER.format(products=PRODUCTS, half=PRODUCTS // 2))
    options = ("-n", "-M", "simple", "-c", str(clients), "-j", "1", "-T", str(SECONDS), "-f", str(script))
    path = {"PGOPTIONS": f"-c search_path={schema}"}
    text = run_program("pgbench", *options, url, environment=path, timeout=SECONDS + 30).stdout
    return float(next(line.split("=")[1].split()[0] for line in text.splitlines() if line.startswith("tps")))


def _row(name: str, results: list[Result]) -> None:
    rate, p99 = statistics.median(r.rate for r in results), statistics.median(r.p99 for r in results)
    failed = sum(r.failed for r in results)
    print(f"{name:<38} {rate:8.0f}/s   p99 {p99:6.1f} ms   failed {failed}")


def _median[Round](figure: Callable[[Round], float], rounds: list[Round]) -> float:
    return statistics.median(figure(one) for one in rounds)


def _memory(process: psutil.Process) -> str:
    return ", ".join(f"{child.memory_info().rss / 2**20:.0f} MB" for child in process.children(recursive=True))


if __name__ == "__main__":
    main()
