import re
from decimal import Decimal
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils.translation import override

from shop.menu.errors import Missing
from shop.menu.imports.errors import BadRow, MenuFileRefused, SameProduct
from shop.menu.models import Product
from tenants.scope import tenant_scope
from tests.shop.pages import HTMX, fresh, visitor
from tests.world import Place, World

HEADER = "category,name,description,price,stock,tags,allergens,options\n"


def product(place: Place, product_id: int) -> Product:
    with tenant_scope(fresh(place)):
        return Product.objects.get(pk=product_id)


def upload(text: str | bytes) -> dict[str, Any]:
    return {"file": SimpleUploadedFile("menu.csv", text.encode() if isinstance(text, str) else text)}


@pytest.mark.parametrize(("role", "status"), [("kitchen", 200), ("manager", 200), ("customer", 403), (None, 302)])
def test_the_page_is_the_staffs(world: World, role: str | None, status: int) -> None:
    assert visitor(world.a, role).get("/staff/menu").status_code == status


def test_the_kitchen_switches_sold_out_and_counts_but_sets_no_price(world: World) -> None:
    client = visitor(world.a, "kitchen")
    address = f"/staff/menu/{world.a.coffee}"
    assert client.post(address, {"available": "no"}).status_code == 302
    assert client.post(address, {"stock": "7"}).status_code == 302
    assert client.post(address, {"stock": "7", "price": "1"}).status_code == 403
    changed = product(world.a, world.a.coffee)
    assert (changed.is_available, changed.stock, changed.price) == (False, 7, Decimal(1000))
    assert "Agotado" in visitor(world.a).get("/").content.decode()


@pytest.mark.parametrize("role", ["kitchen", "cashier"])
@pytest.mark.parametrize("page", ["add", "import", "pause"])
def test_the_rest_is_the_managers(world: World, role: str, page: str) -> None:
    client = visitor(world.a, role)
    assert client.post(f"/staff/menu/{page}").status_code == 403
    assert client.get("/staff/menu/export").status_code == 403


def test_a_row_is_saved_in_place(world: World) -> None:
    client = visitor(world.a, "manager")
    part = client.post(f"/staff/menu/{world.a.coffee}", {"price": "1234.50", "stock": ""}, headers=HTMX)
    page = part.content.decode()
    assert "Guardado" in page
    assert "<html" not in page
    changed = product(world.a, world.a.coffee)
    assert (changed.price, changed.stock) == (Decimal("1234.50"), None)


@pytest.mark.parametrize("wrong", [{"price": "NaN"}, {"price": "-1"}, {"price": "1.555"}, {"price": ""}, {"price": "1", "stock": "-2"}])
def test_what_is_wrong_is_said_in_the_row(world: World, wrong: dict[str, str]) -> None:
    client = visitor(world.a, "manager")
    for headers, status in ((HTMX, 200), ({}, 422)):
        answer = client.post(f"/staff/menu/{world.a.coffee}", {"stock": "", **wrong}, headers=headers)
        assert answer.status_code == status
        assert 'role="alert"' in answer.content.decode()
    assert product(world.a, world.a.coffee).price == Decimal(1000)


def test_a_product_is_added(world: World) -> None:
    client = visitor(world.a, "manager")
    fields = {"name": "Medialuna", "category": "Facturas", "price": "900", "stock": "", "description": "De manteca."}
    assert client.post("/staff/menu/add", fields).status_code == 302
    assert "Medialuna ya está en el menú." in client.get("/staff/menu").content.decode()
    assert "Medialuna" in visitor(world.a).get("/").content.decode()


@pytest.mark.parametrize(("field", "value"), [("name", ""), ("category", ""), ("price", "caro"), ("stock", "x"), ("name", "a" * 200)])
def test_a_product_that_cannot_be_added_says_why_and_keeps_the_rest(world: World, field: str, value: str) -> None:
    fields = {"name": "Medialuna", "category": "Facturas", "price": "900", "stock": "3", "description": "De manteca."}
    answer = visitor(world.a, "manager").post("/staff/menu/add", fields | {field: value})
    assert answer.status_code == 422
    assert answer.context["new_errors"]
    assert "De manteca." in answer.content.decode()


def test_a_file_is_imported_whole(world: World) -> None:
    client = visitor(world.a, "manager")
    assert client.post("/staff/menu/import", upload(HEADER + "Panes,Hogaza,,4800,,,,\nPanes,Baguette,,2000,5,,,\n")).status_code == 302
    assert "2 nuevos" in client.get("/staff/menu").content.decode()
    exported = client.get("/staff/menu/export")
    assert exported["Content-Disposition"] == 'attachment; filename="menu-luna.csv"'
    assert "Panes,Baguette,,2000.00,5" in exported.content.decode()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (HEADER + "Panes,Hogaza,,caro,,,,\nPanes,,,1,,,,\n", ["Línea 2", "<code>price</code>", "Línea 3", "<code>name</code>"]),
        (b"\xff\xfea\x00", ["UTF-16"]),
        (HEADER + "a\x00b", ["NUL"]),
        ("", ["No se importó nada"]),
    ],
)
def test_each_bad_row_of_a_file_is_shown_and_nothing_imported(world: World, file: str | bytes, said: list[str]) -> None:
    answer = visitor(world.a, "manager").post("/staff/menu/import", upload(file))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert [words for words in said if words not in page] == []
    assert "Hogaza" not in visitor(world.a).get("/").content.decode()


ROW = "Panes,Hogaza,,4800,,,,"
BAD_FILES = {
    "empty": "",
    "no rows": HEADER,
    "another header": "name,price\nHogaza,1\n",
    "semicolons": HEADER.replace(",", ";") + "Panes;Hogaza;;4800;;;;\n",
    "UTF-16": (HEADER + ROW).encode("utf-16"),
    "NUL": HEADER + "a\x00b",
    "Latin-1": (HEADER + "Panes,Pan de maíz,,4800,,,,").encode("latin-1"),
    "an open quote": HEADER + 'Panes,"Hogaza,,4800,,,,\n',
    "a lone quote": HEADER + 'Panes,"Hogaza" casera,,4800,,,,\n',
    "a huge cell": HEADER + f"Panes,{'a' * 200_000},,4800,,,,\n",
    "too few cells": HEADER + "Panes,Hogaza,,4800\n",
    "the same twice": HEADER + f"{ROW}\n{ROW}\n",
    "too many products": HEADER + "".join(f"C,P{n},,1,,,,\n" for n in range(2_001)),
    "no room": HEADER + "".join(f"C,P{n},,1,,,,\n" for n in range(1_998)),
    "too large": HEADER + " " * (1024 * 1024),
    "bad cells": HEADER
    + f",{'a' * 121},T\x07,caro,x,{'a' * 41},,Grande\n"
    + f'Panes,Flan,,1.005,-1,,"{",".join(map(str, range(21)))}",G[2-1]: S=0\n'
    + "Panes,Pita,,-1,,,,G[2-2]: S=0\nPanes,Chipá,,1,,,,G[0-1]: S=0 | S=1\n"
    + "Panes,Lavash,,1,,,,G[0-1]: S=-2\nPanes,Bollo,,9999999999,,,,G[1-1]: S=1\n",
}
# Words of every sentence that the import says in English, none of them a column's name.
ENGLISH = {
    "the",
    "and",
    "with",
    "that",
    "than",
    "which",
    "most",
    "must",
    "cannot",
    "first",
    "file",
    "line",
    "cells",
    "products",
    "whole",
    "amount",
}


@pytest.mark.parametrize("file", BAD_FILES.values(), ids=BAD_FILES)
def test_what_is_wrong_with_a_file_is_said_in_the_pages_language(world: World, file: str | bytes) -> None:
    client = visitor(world.a, "manager")
    said = {}
    for language in ("es", "en"):
        client.cookies["lang"] = language
        answer = client.post("/staff/menu/import", upload(file))
        assert answer.status_code == 422
        [notice] = re.findall(r'<div role="alert">.*?</ul>', answer.content.decode(), re.DOTALL)
        said[language] = [set(re.findall(r"[a-z]+", problem.lower())) for problem in re.findall(r"<li>.*?</li>", notice, re.DOTALL)]
    assert [words & ENGLISH for words in said["es"] if words & ENGLISH] == []
    assert [words for words in said["en"] if not words & ENGLISH] == []
    assert len(said["es"]) == len(said["en"]) > 0


@pytest.mark.parametrize("language", ["es", "en"])
def test_the_api_says_it_in_english_whatever_the_browser_prefers(world: World, language: str) -> None:
    client = world.a.client("manager")
    client.cookies["lang"] = language
    answer = client.post("/api/v1/products/import", HEADER + "Panes,Hogaza,,4800,x,,,\nPanes,Flan\n", "text/csv").json()
    assert answer["detail"].splitlines() == [
        'Nothing was imported. line 2, stock: "x" is not a whole number.',
        "line 3: It has 2 cells instead of 8: put cells that hold a comma in quotes.",
    ]
    assert answer["rows"][1]["problem"].startswith("It has 2 cells")


def test_a_refusal_is_said_in_spanish_whole() -> None:
    rows = [BadRow(line=line, column="price", problem=Missing()) for line in range(2, 24)]
    with override("es"):
        said = MenuFileRefused([*rows, BadRow(line=1, problem=SameProduct(first=3))]).translated().splitlines()
    assert said[:2] == ["No se importó nada. línea 1: El mismo producto está en la línea 3.", "línea 2, price: No puede quedar vacío."]
    assert said[-1] == "Hay 3 problemas más."


def test_without_a_file_the_page_says_what_to_choose(world: World) -> None:
    answer = visitor(world.a, "manager").post("/staff/menu/import")
    assert answer.status_code == 422
    assert "Hay que elegir un archivo CSV" in answer.content.decode()


def test_orders_from_the_site_are_paused_and_taken_again(world: World) -> None:
    client = visitor(world.a, "manager")
    client.post("/staff/menu/pause", {"accepts": "no"})
    assert "en pausa" in visitor(world.a).get("/").content.decode()
    client.post("/staff/menu/pause", {"accepts": "yes"})
    assert "Recibiendo pedidos" in visitor(world.a).get("/").content.decode()
