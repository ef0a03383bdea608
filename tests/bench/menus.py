"""`python -m tests.bench menus`: the menu pages of a whole fleet in both languages, by each process alone and with Valkey beside them.

16 clients ask for random cafeterias in random languages. Two web processes, PostgreSQL, Valkey and the sender share the cores.
"""

import argparse
import os
import statistics
import tempfile
import urllib.request
from pathlib import Path

from config.dev.postgres import embedded_database
from tests.bench.hot_path import _environment
from tests.bench.load import Result, http_load, machine, web
from tests.valkey import PASSWORD, running_valkey

PRODUCTS, CLIENTS = 40, 16
SCRIPT = """
math.randomseed({seed})
request = function()
  local language = math.random(2) == 1 and "es" or "en"
  return wrk.format("GET", "/", {{["Host"] = "cafe-" .. math.random({count}) .. ".localhost", ["Cookie"] = "lang=" .. language}})
end
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench menus")
    parser.add_argument("--cafeterias", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments or [])
    with tempfile.TemporaryDirectory(prefix="comanda-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with embedded_database(folder) as url, running_valkey(folder) as valkey:
            os.environ.update(_environment(url, folder))
            _prepare(options.cafeterias)
            print(f"\nMenu pages: {machine()}\n{options.cafeterias} cafeterias of {PRODUCTS} products, {options.rounds} rounds, medians\n")
            shared = {"CACHE_URL": valkey.url, "CACHE_PASSWORD": PASSWORD, "COMANDA_RELEASE": "bench"}
            found = [(_measure({}, options, folder), _measure(shared, options, folder)) for _ in range(options.rounds)]
            for index, way in enumerate(("each process alone", "with Valkey")):
                for part, when in enumerate(("right after a start", "then")):
                    results = [one[index][part] for one in found]
                    rate, p99 = (statistics.median(getattr(result, figure) for result in results) for figure in ("rate", "p99"))
                    print(f"{way}, {when:<20} {rate:7.0f}/s   p99 {p99:6.1f} ms   failed {sum(result.failed for result in results)}")
            for part, when in enumerate(("right after a start", "then")):
                print(f"  ratio {when}: {statistics.median(one[1][part].rate / one[0][part].rate for one in found):.2f}")


def _measure(values: dict[str, str], options: argparse.Namespace, folder: Path) -> tuple[Result, Result]:
    """Of fresh processes, and of the same ones after that."""
    with web("config.wsgi:application", environment={**values, "FAIR_SHARE_PERCENT": "0"}) as (port, _):
        url = f"http://127.0.0.1:{port}/"
        request = urllib.request.Request(url, headers={"Host": "cafe-1.localhost"})
        assert urllib.request.urlopen(request, timeout=30).read().decode().count('<article class="product"') == PRODUCTS
        first, second = (
            http_load(
                url,
                host="cafe-1.localhost",
                clients=CLIENTS,
                seconds=options.seconds,
                script=SCRIPT.format(seed=seed, count=options.cafeterias),
                folder=folder,
            )
            for seed in (1, 2)
        )
        return first, second


def _prepare(count: int) -> None:
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
    for number in range(1, count + 1):
        with tenant_scope(ref_for(open_cafeteria(owner_id=owner.pk, name=f"Café {number}", slug=f"cafe-{number}", currency="ARS"))):
            category = Category.objects.create(name="Cafetería")
            Product.objects.bulk_create(
                [
                    Product(category=category, name=f"Café {number}.{n}", description="Con leche de avena y canela", price=1500 + n)
                    for n in range(PRODUCTS)
                ]
            )
            bump_menu()
