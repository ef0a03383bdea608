"""The menu as a file: what is read, what is refused and how that is said, and what a second file changes."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from shop.menu.actions import import_menu
from shop.menu.models import Choice, Product
from tenants.scope import tenant_scope
from tests.world import Place, World

HEADER = "category,name,description,price,stock,tags,allergens,options\n"
IMPORT, EXPORT, PRODUCTS = "/api/v1/products/import", "/api/v1/products/export", "/api/v1/products"
MENU = HEADER + (
    'Café,Latte,"Espresso, leche",1500,,"vegetariano, de la casa",leche,Size[1-1]: Small=0 | Large=250; Milk[0-1]: Oat=150.50\n'
    "Café,Espresso,,900.00,12,,,\n"
    "Cocina,Tostado,,4200,0,,gluten,Pan[0-2]: Sin corteza=-50\n"
)


def not_an_amount(value: str) -> str:
    return f'"{value}" is not an amount: write it like 350.00, without a sign for the currency or for thousands.'


@pytest.fixture
def manager(world: World) -> Client:
    return world.a.client("manager")


def send(client: Client, raw: str | bytes) -> tuple[int, Any]:
    response = client.post(IMPORT, raw, content_type="text/csv")
    return response.status_code, response.json()


def problems(client: Client, raw: str | bytes) -> list[tuple[int, str, str]]:
    status, answer = send(client, raw)
    assert (status, answer["code"]) == (422, "menu_file_refused"), answer
    assert answer["detail"].startswith("Nothing was imported. ")
    return [(row["line"], row["column"], row["problem"]) for row in answer["rows"]]


def listed(place: Place) -> list[dict[str, Any]]:
    products: list[dict[str, Any]] = place.client().get(PRODUCTS).json()
    return products


def test_a_file_becomes_products_in_its_order(manager: Client, world: World) -> None:
    status, answer = send(manager, MENU)
    assert (status, answer) == (
        200,
        {
            "created": 3,
            "updated": 0,
            "unchanged": 0,
            "rows": [
                {"line": 2, "name": "Latte", "result": "created"},
                {"line": 3, "name": "Espresso", "result": "created"},
                {"line": 4, "name": "Tostado", "result": "created"},
            ],
        },
    )
    latte, espresso, toast = listed(world.a)[3:]
    assert [latte["name"], espresso["name"], toast["name"]] == ["Latte", "Espresso", "Tostado"]
    assert (latte["description"], latte["price"], latte["stock"]) == ("Espresso, leche", "1500.00", None)
    assert (latte["tags"], latte["allergens"]) == (["vegetariano", "de la casa"], ["leche"])
    assert [(group["name"], group["min"], group["max"]) for group in latte["options"]] == [("Size", 1, 1), ("Milk", 0, 1)]
    assert [choice["price_delta"] for group in latte["options"] for choice in group["choices"]] == ["0.00", "250.00", "150.50"]
    assert (espresso["stock"], toast["stock"], toast["options"][0]["choices"][0]["price_delta"]) == (12, 0, "-50.00")


def test_a_second_file_changes_what_it_says_and_leaves_the_rest(manager: Client, world: World) -> None:
    send(manager, MENU)
    before = listed(world.a)
    with tenant_scope(world.a.ref):
        Product.objects.filter(name="Tostado").update(is_available=False, image="0" * 64)
        Choice.objects.filter(name="Large").update(is_available=False)
    changed = MENU.replace("900.00,12", "950,12").replace("Oat=150.50", "Oat=150.50 | Soja=100") + "Postres,Flan,,100,,,,\n"
    status, answer = send(manager, changed)
    assert status == 200
    assert [row["result"] for row in answer["rows"]] == ["updated", "updated", "unchanged", "created"]
    after = listed(world.a)
    assert after[:3] == before[:3]
    assert [product["id"] for product in after[3:6]] == [product["id"] for product in before[3:]]
    latte, espresso, toast, flan = after[3:]
    assert (espresso["price"], flan["category"]) == ("950.00", "Postres")
    assert (toast["available"], toast["image"]) == (False, f"/media/{'0' * 64}-400.webp")
    assert [choice["available"] for group in latte["options"] for choice in group["choices"]] == [True, False, True, True]
    assert latte["options"][1]["choices"][0] == before[3]["options"][1]["choices"][0]
    status, answer = send(manager, changed)
    assert [answer["created"], answer["updated"], answer["unchanged"]] == [0, 0, 4]


def test_a_product_that_left_the_menu_is_made_anew(manager: Client, world: World) -> None:
    send(manager, MENU)
    old = listed(world.a)[-1]["id"]
    manager.delete(f"{PRODUCTS}/{old}")
    assert [row["result"] for row in send(manager, MENU)[1]["rows"]] == ["unchanged", "unchanged", "created"]
    assert listed(world.a)[-1]["id"] != old


def test_a_form_may_carry_the_file(manager: Client) -> None:
    file = SimpleUploadedFile("menu.csv", MENU.encode(), content_type="text/csv")
    response = manager.post(IMPORT, {"file": file})
    assert (response.status_code, response.json()["created"]) == (200, 3)
    response = manager.post(IMPORT, {"menu": "not a file"})
    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbf" + MENU.encode(),
        MENU.replace("\n", "\r\n").encode(),
        MENU.replace("category,name", ' Category,"NAME"').encode(),
        MENU.replace("Cocina", "\n,,,,,,,\n  \nCocina").encode(),
        MENU.rstrip("\n").encode(),
        MENU.replace("Café", "Cafe\u0301").encode(),
    ],
    ids=["BOM", "CRLF", "header", "blank lines", "no last line end", "decomposed"],
)
def test_files_as_programs_write_them_are_read(manager: Client, world: World, raw: bytes) -> None:
    assert send(manager, raw)[1]["created"] == 3
    assert {product["category"] for product in listed(world.a)[3:]} == {"Café", "Cocina"}


@pytest.mark.parametrize(
    ("row", "column", "problem"),
    [
        (",Té,,100,,,,", "category", "It cannot be empty."),
        ("Café,  ,,100,,,,", "name", "It cannot be empty."),
        (f"Café,{'a' * 121},,100,,,,", "name", "At most 120 characters."),
        (f"{'a' * 81},Té,,100,,,,", "category", "At most 80 characters."),
        (f"Café,Té,{'a' * 2001},100,,,,", "description", "At most 2000 characters."),
        ("Café,T\x07é,,100,,,,", "name", "It holds the control character U+0007: take it out."),
        ("Café,Té,,,,,,", "price", not_an_amount("")),
        ("Café,Té,,$100,,,,", "price", not_an_amount("$100")),
        ("Café,Té,,NaN,,,,", "price", not_an_amount("NaN")),
        ("Café,Té,,1e5,,,,", "price", not_an_amount("1e5")),
        (
            "Café,Té,,\u0663,,,,",
            "price",
            not_an_amount("\u0663"),
        ),
        ("Café,Té,,-1,,,,", "price", "It must lie between 0 and 9999999999.99."),
        ("Café,Té,,99999999999,,,,", "price", "It must lie between 0 and 9999999999.99."),
        ("Café,Té,,1.005,,,,", "price", "1.005 cannot be paid in ARS, which has 2 decimals."),
        ("Café,Té,,100,many,,,", "stock", '"many" is not a whole number.'),
        ("Café,Té,,100,1.5,,,", "stock", '"1.5" is not a whole number.'),
        ("Café,Té,,100,-1,,,", "stock", "It must lie between 0 and 1000000, or be empty when it is not counted."),
        (f"Café,Té,,100,{'9' * 5000},,,", "stock", "It must lie between 0 and 1000000, or be empty when it is not counted."),
        (f"Café,Té,,100,,{'a' * 41},,", "tags", "At most 40 characters."),
        (f'Café,Té,,100,,,"{",".join(map(str, range(21)))}",', "allergens", "At most 20 of them."),
        (
            "Café,Té,,100,,,,Size",
            "options",
            '"Size" cannot be read: write options like Size[1-1]: Small=0 | Large=250; Milk[0-1]: Oat=150',
        ),
        (
            "Café,Té,,100,,,,Size[1-1]: Small",
            "options",
            '"Small" cannot be read: write options like Size[1-1]: Small=0 | Large=250; Milk[0-1]: Oat=150',
        ),
        (
            "Café,Té,,100,,,,Size[1-1]: Small=x",
            "options",
            not_an_amount("x"),
        ),
        (
            "Café,Té,,100,,,,Size[2-1]: Small=0",
            "options",
            "Size can be chosen from 2 to 1 times: it must be from 0 or more to 1 or more, 50 at most.",
        ),
        ("Café,Té,,100,,,,Size[2-2]: Small=0", "options", "Size has 1 choices, fewer than the 2 that must be taken."),
        ("Café,Té,,100,,,,Size[0-1]: Small=0 | Small=1", "options", "Small is there twice."),
        ("Café,Té,,100,,,,Size[0-1]: S=0; Size[0-1]: S=0", "options", "Size is there twice."),
        (
            "Café,Té,,100,,,,Size[0-1]: Small=-100.01",
            "options",
            "With its cheapest choices the product would cost -0.01: it cannot be less than 0.",
        ),
        ("Café,Té,,100", "", "It has 4 cells instead of 8: put cells that hold a comma in quotes."),
        ("Café,Té,uno, dos,100,,,,", "", "It has 9 cells instead of 8: put cells that hold a comma in quotes."),
        ("Café,Latte,,100,,,,", "name", "The same product is on line 2."),
    ],
)
def test_a_bad_row_is_named_by_line_and_column_and_nothing_is_imported(
    manager: Client, world: World, row: str, column: str, problem: str
) -> None:
    before = listed(world.a)
    assert problems(manager, MENU + row + "\n") == [(5, column, problem)]
    assert listed(world.a) == before


def test_every_bad_cell_is_named(manager: Client) -> None:
    text = HEADER + 'Café,"Latte\ncon leche",,x,y,,,\n,,,1,,,,\nCafé,Té,,1,,,,z\n'
    assert [(line, column) for line, column, _ in problems(manager, text)] == [
        (2, "price"),
        (2, "stock"),
        (4, "category"),
        (4, "name"),
        (5, "options"),
    ]
    answer = send(manager, HEADER + ",Té,,1,,,,\n" * 30)[1]
    assert len(answer["rows"]) == 30
    assert answer["detail"].splitlines()[0] == "Nothing was imported. line 2, category: It cannot be empty."
    assert answer["detail"].splitlines()[-1] == "There are 10 more problems."


@pytest.mark.parametrize(
    ("raw", "line", "problem"),
    [
        (b"", 0, "The file is empty"),
        (b"\xef\xbb\xbf", 0, "The file is empty"),
        (HEADER.encode(), 2, "The file has no products"),
        (b"name,price\nLatte,1\n", 1, "The first line has to be"),
        (HEADER.replace(",", ";").encode() + b"a;b;;1;;;;\n", 1, "The cells are not parted by commas"),
        (MENU.encode("utf-16"), 0, "The file is in UTF-16"),
        (MENU.encode("utf-16-le"), 1, "The file holds a NUL character"),
        (MENU.encode("latin-1"), 2, "The byte 0xe9 is not UTF-8"),
        (MENU.encode() + b"Caf\x00,b,,1,,,,\n", 5, "The file holds a NUL character"),
        (MENU.encode() + b'Postres,"Flan,,1,,,,\n', 5, "This is not proper CSV"),
        (MENU.encode() + b'Postres,"Flan" casero,,1,,,,\n', 5, "This is not proper CSV"),
        (MENU.encode() + b"Postres," + b"a" * 200_000 + b",,1,,,,\n", 5, "This is not proper CSV"),
        (HEADER.encode() + b"".join(b"C,P%d,,1,,,,\n" % n for n in range(2001)), 0, "The file has 2001 products: 2000 are the most."),
    ],
)
def test_a_file_that_is_none_is_refused_with_a_sentence(manager: Client, world: World, raw: bytes, line: int, problem: str) -> None:
    before = listed(world.a)
    [(at, column, sentence)] = problems(manager, raw)
    assert (at, column, sentence[: len(problem)]) == (line, "", problem)
    assert listed(world.a) == before


def test_a_file_above_the_limit_is_refused(manager: Client) -> None:
    raw = MENU.encode() + b" " * (1024 * 1024)
    assert send(manager, raw)[0] == 413
    file = SimpleUploadedFile("menu.csv", raw, content_type="text/csv")
    response = manager.post(IMPORT, {"file": file})
    assert (response.status_code, response.json()["code"]) == (422, "menu_file_refused")
    file = SimpleUploadedFile("menu.csv", raw * 10, content_type="text/csv")
    response = manager.post(IMPORT, {"file": file})
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


def test_a_menu_has_a_size_that_a_page_can_show(manager: Client, world: World) -> None:
    rows = "".join(f"C,P{n},,1,,,,\n" for n in range(1_998))
    assert send(manager, HEADER + rows)[1]["code"] == "menu_full"
    assert len(listed(world.a)) == 3


@pytest.mark.parametrize("count", [3, 300])
def test_an_import_costs_the_same_queries_whatever_its_size(world: World, count: int) -> None:
    text = HEADER + "".join(f"C,P{n},,1,,,,Size[1-1]: S=0 | L=2; Milk[0-1]: Oat=1\n" for n in range(count))
    with tenant_scope(world.a.ref):
        for prices, most in ((",1,", 16), (",2,", 12), (",2,", 10)):
            with CaptureQueriesContext(connection) as queries:
                import_menu(raw=text.replace(",1,", prices).encode())
            assert len(queries) <= most, [query["sql"][:90] for query in queries]


def test_the_export_is_the_file_that_changes_nothing(manager: Client, world: World) -> None:
    send(manager, MENU)
    before = listed(world.a)
    response = manager.get(EXPORT)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == f'attachment; filename="{world.a.ref.slug}-menu.csv"'
    status, answer = send(manager, response.content)
    assert (status, answer["unchanged"], len(answer["rows"])) == (200, 6, 6)
    assert listed(world.a) == before
    there = world.b.client("owner")
    send(there, response.content)
    assert [without_ids(product) for product in listed(world.b)[3:]] == [without_ids(product) for product in before]


def without_ids(thing: Any) -> Any:
    if isinstance(thing, list):
        return [without_ids(each) for each in thing]
    return {name: without_ids(value) for name, value in thing.items() if name != "id"} if isinstance(thing, dict) else thing
