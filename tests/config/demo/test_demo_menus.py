"""The demo's data by itself: what the menus say, and that the bakery's menu has every article that its sales name."""

import csv
import gzip
import io
import json
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest

from core.design.brands import BRANDS
from core.money import DECIMALS
from shop.menu.imports.forms import read_menu
from shop.orders.imports.forms import NOT_SOLD

FOLDER = files("config.demo")
CAFETERIAS = json.loads((FOLDER / "cafeterias.json").read_text())


def test_there_are_three_cafeterias_of_different_places() -> None:
    assert [cafeteria["slug"] for cafeteria in CAFETERIAS] == ["la-espiga", "altamar", "araucaria"]
    assert {cafeteria["currency"] for cafeteria in CAFETERIAS} == {"ARS", "UYU", "CLP"}
    assert len({ZoneInfo(cafeteria["timezone"]) for cafeteria in CAFETERIAS}) == 3
    assert {cafeteria["currency"] for cafeteria in CAFETERIAS} <= DECIMALS.keys()
    assert {cafeteria["brand"] for cafeteria in CAFETERIAS} <= BRANDS.keys()


@pytest.mark.parametrize("cafeteria", CAFETERIAS, ids=lambda cafeteria: cafeteria["slug"])
def test_a_menu_is_whole(cafeteria: dict[str, str]) -> None:
    products = [row.product for row in read_menu((FOLDER / cafeteria["menu"]).read_bytes(), currency=cafeteria["currency"])]
    assert len(products) == {"la-espiga": 78, "altamar": 24, "araucaria": 24}[cafeteria["slug"]]
    assert len({product["name"] for product in products}) == len(products)
    assert [product["name"] for product in products if not 10 <= len(product.get("description", "")) <= 80] == []
    assert [product["name"] for product in products if product["price"] <= 0] == []
    assert sum(bool(product.get("options")) for product in products) >= len(products) // 2
    assert sum(product.get("stock") is not None for product in products) in range(2, 8)


def test_the_bakery_sells_exactly_what_its_sales_name() -> None:
    text = gzip.decompress((FOLDER / "la-espiga-sales.csv.gz").read_bytes()).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    names = json.loads((FOLDER / "la-espiga-names.json").read_text())
    menu = read_menu((FOLDER / "la-espiga.csv").read_bytes(), currency="ARS")
    sold = {row["item"] for row in rows} - {"NONE", "Adjustment"}
    products = {article: name for article, name in names.items() if name is not None}
    assert (len(rows), len({row["transaction"] for row in rows}), len(sold)) == (12_070, 5_623, 78)
    assert products.keys() == sold
    assert sorted(products.values()) == sorted(row.product["name"] for row in menu)
    assert {article.casefold() for article, name in names.items() if name is None} == NOT_SOLD
