"""The demo's data by itself: what the menus say, and that the bakery's menu has every article that its sales name."""

import csv
import gzip
import io
import json
import re
from decimal import Decimal
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest

from core.design.brands import BRANDS
from core.money import DECIMALS, is_exact
from shop.orders.imports.forms import NOT_SOLD

FOLDER = files("config.demo")
CAFETERIAS = json.loads((FOLDER / "cafeterias.json").read_text())
HEADER = ["category", "name", "description", "price", "stock", "tags", "allergens", "options"]
GROUP = re.compile(r"[^:\[\]|=;]+\[(\d+)-(\d+)\]: [^:\[\]|=;]+=\d+( \| [^:\[\]|=;]+=\d+)*")


def menu(slug: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((FOLDER / f"{slug}.csv").read_text()), strict=True))


def test_there_are_three_cafeterias_of_different_places() -> None:
    assert [cafeteria["slug"] for cafeteria in CAFETERIAS] == ["la-espiga", "altamar", "araucaria"]
    assert {cafeteria["currency"] for cafeteria in CAFETERIAS} == {"ARS", "UYU", "CLP"}
    assert len({ZoneInfo(cafeteria["timezone"]) for cafeteria in CAFETERIAS}) == 3
    assert {cafeteria["currency"] for cafeteria in CAFETERIAS} <= DECIMALS.keys()
    assert {cafeteria["brand"] for cafeteria in CAFETERIAS} <= BRANDS.keys()


@pytest.mark.parametrize("cafeteria", CAFETERIAS, ids=lambda cafeteria: cafeteria["slug"])
def test_a_menu_is_whole(cafeteria: dict[str, str]) -> None:
    rows = menu(cafeteria["slug"])
    assert list(rows[0]) == HEADER
    assert len({row["name"] for row in rows}) == len(rows)
    for row in rows:
        price = Decimal(row["price"])
        assert price > 0, row
        assert is_exact(price, cafeteria["currency"]), row
        assert 10 <= len(row["description"]) <= 80, row
        for group in filter(None, row["options"].split("; ")):
            bounds = GROUP.fullmatch(group)
            assert bounds is not None, row
            assert int(bounds[1]) <= int(bounds[2]) <= group.count("="), row


def test_the_bakery_sells_exactly_what_its_sales_name() -> None:
    text = gzip.decompress((FOLDER / "la-espiga-sales.csv.gz").read_bytes()).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    names = json.loads((FOLDER / "la-espiga-names.json").read_text())
    sold = {row["item"] for row in rows} - {"NONE", "Adjustment"}
    products = {article: name for article, name in names.items() if name is not None}
    assert (len(rows), len({row["transaction"] for row in rows}), len(sold)) == (12_070, 5_623, 78)
    assert products.keys() == sold
    assert sorted(products.values()) == sorted(row["name"] for row in menu("la-espiga"))
    assert {article.casefold() for article, name in names.items() if name is None} == NOT_SOLD
