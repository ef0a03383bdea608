"""GET, POST, PATCH and DELETE of products, as the contract has them."""

from typing import Any

import pytest
from django.test import Client

from shop.menu.models import Product
from tenants.actions import update_cafeteria
from tenants.scope import tenant_scope
from tests.world import Place, World

PRODUCTS = "/api/v1/products"


def listed(place: Place) -> dict[str, dict[str, Any]]:
    return {product["name"]: product for product in place.client().get(PRODUCTS).json()}


def new(client: Client, **fields: object) -> dict[str, Any]:
    body = {"name": "Tostado", "category": "Cocina", "price": "4200.00"} | fields
    response = client.post(PRODUCTS, body, content_type="application/json")
    assert response.status_code == 201, response.content
    product: dict[str, Any] = response.json()
    return product


@pytest.fixture
def manager(world: World) -> Client:
    return world.a.client("manager")


def test_the_list_has_the_contracts_shape(world: World, luna: Client) -> None:
    place = world.a
    assert luna.get(PRODUCTS).json()[2] == {
        "id": place.latte,
        "name": f"Latte {place.canary}",
        "description": place.canary,
        "category": f"Bebidas {place.canary}",
        "price": "1500.00",
        "stock": None,
        "available": True,
        "options": [
            {
                "id": 500,
                "name": "Tamaño",
                "min": 1,
                "max": 1,
                "choices": [
                    {"id": 500, "name": "Chico", "price_delta": "0.00", "available": True},
                    {"id": 501, "name": "Grande", "price_delta": "250.00", "available": True},
                ],
            },
            {
                "id": 501,
                "name": "Leche",
                "min": 0,
                "max": 2,
                "choices": [
                    {"id": 502, "name": "Avena", "price_delta": "150.00", "available": True},
                    {"id": 503, "name": "Sin", "price_delta": "0.00", "available": True},
                ],
            },
        ],
        "tags": [],
        "allergens": [],
        "image": None,
    }


def test_a_new_product_is_answered_and_listed_as_it_was_given(manager: Client, world: World) -> None:
    options = [{"name": "Pan", "min": 1, "max": 1, "choices": [{"name": "Blanco"}, {"name": "Negro", "price_delta": "-100.50"}]}]
    product = new(manager, stock=5, tags=["nuevo", "de la casa"], allergens=["gluten"], options=options, description="Jamón y queso")
    assert product == listed(world.a)["Tostado"]
    [group] = product.pop("options")
    choices = [(choice["name"], choice["price_delta"], choice["available"]) for choice in group["choices"]]
    assert choices == [("Blanco", "0.00", True), ("Negro", "-100.50", True)]
    product.pop("id")
    assert product == {
        "name": "Tostado",
        "description": "Jamón y queso",
        "category": "Cocina",
        "price": "4200.00",
        "stock": 5,
        "available": True,
        "tags": ["nuevo", "de la casa"],
        "allergens": ["gluten"],
        "image": None,
    }


def test_a_patch_changes_what_it_names_and_nothing_else(manager: Client, world: World) -> None:
    product = new(manager, stock=5, tags=["nuevo"], options=[{"name": "Pan", "choices": [{"name": "Blanco"}]}])
    response = manager.patch(f"{PRODUCTS}/{product['id']}", {"price": "4300.00"}, content_type="application/json")
    assert (response.status_code, response.json()) == (200, product | {"price": "4300.00"})
    assert listed(world.a)["Tostado"]["price"] == "4300.00"


def test_a_null_stock_is_not_counted_and_any_other_null_is_left_out(manager: Client) -> None:
    product = new(manager, stock=5, description="Rico")
    nothing = dict.fromkeys(["name", "description", "category", "price", "available", "tags", "allergens", "options"])
    response = manager.patch(f"{PRODUCTS}/{product['id']}", nothing | {"stock": None}, content_type="application/json")
    assert response.json() == product | {"stock": None}
    response = manager.patch(f"{PRODUCTS}/{product['id']}", {}, content_type="application/json")
    assert response.json() == product | {"stock": None}


def test_replaced_options_keep_the_ids_of_what_keeps_its_name(manager: Client, world: World) -> None:
    place = world.a
    options: list[dict[str, Any]] = [
        {"name": "Leche", "max": 1, "choices": [{"name": "Coco", "price_delta": 90}, {"name": "Avena", "price_delta": "160.00"}]},
        {"name": "Tamaño", "min": 1, "choices": [{"name": "Grande", "price_delta": "250.00", "available": False}]},
    ]
    response = manager.patch(f"{PRODUCTS}/{place.latte}", {"options": options}, content_type="application/json")
    milk, size = response.json()["options"]
    assert (milk["id"], milk["min"], milk["max"], size["id"], size["max"]) == (501, 0, 1, 500, 1)
    assert [choice["name"] for choice in milk["choices"]] == ["Coco", "Avena"]
    assert milk["choices"][1] == {"id": place.milks[0], "name": "Avena", "price_delta": "160.00", "available": True}
    assert size["choices"] == [{"id": place.sizes[1], "name": "Grande", "price_delta": "250.00", "available": False}]
    # What is not said about availability stays, and the neighbour's options are its own.
    del options[1]["choices"][0]["available"]
    again = manager.patch(f"{PRODUCTS}/{place.latte}", {"options": options}, content_type="application/json")
    assert again.json()["options"] == response.json()["options"]
    assert [len(group["choices"]) for group in listed(world.b)[f"Latte {world.b.canary}"]["options"]] == [2, 2]


def test_a_deleted_product_leaves_the_menu_and_frees_its_name(manager: Client, world: World) -> None:
    product = new(manager)
    assert manager.delete(f"{PRODUCTS}/{product['id']}").status_code == 204
    assert "Tostado" not in listed(world.a)
    assert manager.delete(f"{PRODUCTS}/{product['id']}").status_code == 404
    assert manager.patch(f"{PRODUCTS}/{product['id']}", {"stock": 1}, content_type="application/json").status_code == 404
    assert new(manager)["id"] != product["id"]
    with tenant_scope(world.a.ref):
        assert Product.objects.filter(name="Tostado").count() == 2


def test_a_name_is_used_once_in_a_category(manager: Client) -> None:
    new(manager)
    other = new(manager, category="Desayunos")
    body = {"name": " Tostado ", "category": "Cocina", "price": 1}
    response = manager.post(PRODUCTS, body, content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (409, "name_taken")
    response = manager.patch(f"{PRODUCTS}/{other['id']}", {"category": "Cocina"}, content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (409, "name_taken")


def test_a_product_moved_to_another_category_comes_last_there(manager: Client, world: World) -> None:
    new(manager, name="Uno")
    new(manager, name="Dos", category="Otra")
    new(manager, name="Tres")
    manager.patch(f"{PRODUCTS}/{listed(world.a)['Dos']['id']}", {"category": "Cocina"}, content_type="application/json")
    assert [name for name, product in listed(world.a).items() if product["category"] == "Cocina"] == ["Uno", "Tres", "Dos"]


def test_products_are_shown_in_the_order_that_was_asked_for(manager: Client, world: World) -> None:
    place = world.a
    ids = {"ids": [place.latte, place.coffee]}
    assert manager.post(f"{PRODUCTS}/reorder", ids, content_type="application/json").status_code == 204
    assert [product["id"] for product in listed(place).values()] == [place.latte, place.coffee, place.cake]
    other = new(manager)["id"]
    mixed = {"ids": [place.latte, other]}
    assert manager.post(f"{PRODUCTS}/reorder", mixed, content_type="application/json").status_code == 404
    assert manager.post(f"{PRODUCTS}/reorder", {"ids": [9999]}, content_type="application/json").status_code == 404
    assert manager.post(f"{PRODUCTS}/reorder", {"ids": []}, content_type="application/json").status_code == 204


@pytest.mark.parametrize(
    "fields",
    [
        {"price": "-0.01"},
        {"price": "NaN"},
        {"price": "Infinity"},
        {"price": float("nan")},
        {"price": float("inf")},
        {"price": "1e400"},
        {"price": "1e-400"},
        {"price": "10000000000.00"},
        {"price": "1.005"},
        {"price": "1,50"},
        {"price": None},
        {"price": True},
        {"price": []},
        {"name": ""},
        {"name": "   "},
        {"name": "a" * 121},
        {"name": "a\x00b"},
        {"name": "a\x07b"},
        {"name": "\ud800"},
        {"name": 5},
        {"category": ""},
        {"category": "a" * 81},
        {"description": "a" * 2001},
        {"description": "\x00"},
        {"stock": -1},
        {"stock": 1_000_001},
        {"stock": 10**30},
        {"stock": 1.5},
        {"available": "perhaps"},
        {"tags": ["a" * 41]},
        {"tags": ["a,b,c,d,e,f,g,h,i,j", "k,l,m,n,o,p,q,r,s,t", "u"]},
        {"tags": "vegano"},
        {"options": [{"name": "Pan", "choices": []}]},
        {"options": [{"name": "Pan", "min": 2, "max": 2, "choices": [{"name": "Blanco"}]}]},
        {"options": [{"name": "Pan", "min": 2, "max": 1, "choices": [{"name": "Blanco"}, {"name": "Negro"}]}]},
        {"options": [{"name": "Pan", "max": 10**20, "choices": [{"name": "Blanco"}]}]},
        {"options": [{"name": "Pan", "choices": [{"name": "Blanco"}, {"name": " Blanco"}]}]},
        {"options": [{"name": "Pan", "choices": [{"name": "Blanco"}]}] * 2},
        {"options": [{"name": "Pan", "choices": [{"name": "Blanco", "price_delta": "-4200.01"}]}]},
        {"options": [{"name": "Pan", "choices": [{"name": "Blanco", "price_delta": "9999999999.99"}]}]},
        {"options": [{"name": "Pan", "choices": [{"name": "Blanco", "price_delta": "0.001"}]}]},
        {"options": [{"name": "Pan", "choices": [{"name": "Blanco", "price_delta": "nan"}]}]},
    ],
    ids=str,
)
def test_what_no_product_can_be_is_refused_and_nothing_is_stored(manager: Client, world: World, fields: dict[str, object]) -> None:
    before = listed(world.a)
    body = {"name": "Tostado", "category": "Cocina", "price": "4200.00"} | fields
    response = manager.post(PRODUCTS, body, content_type="application/json")
    assert response.status_code == 422, response.content
    assert response.json()["detail"]
    product = new(manager)
    if list(fields.values()) != [None]:
        response = manager.patch(f"{PRODUCTS}/{product['id']}", fields, content_type="application/json")
        assert response.status_code == 422, response.content
    assert listed(world.a) == before | {"Tostado": product}


@pytest.mark.parametrize(
    ("path", "status"),
    [("9999", 404), ("0", 404), ("-1", 404), (str(2**63 - 1), 404), (str(2**63), 422), ("9" * 5000, 422), ("x", 422), ("1.5", 422)],
)
def test_an_id_that_is_none_is_refused(manager: Client, path: str, status: int) -> None:
    assert manager.delete(f"{PRODUCTS}/{path}").status_code == status
    assert manager.patch(f"{PRODUCTS}/{path}", {"stock": 1}, content_type="application/json").status_code == status


def test_a_cheaper_price_is_refused_when_a_choice_would_take_it_below_zero(manager: Client) -> None:
    options = [{"name": "Con", "max": 2, "choices": [{"name": "Menos", "price_delta": -30}, {"name": "Menos aún", "price_delta": -20}]}]
    product = new(manager, price="50.00", options=options)
    response = manager.patch(f"{PRODUCTS}/{product['id']}", {"price": "49.99"}, content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (422, "invalid_product")
    assert response.json()["detail"] == "options: With its cheapest choices the product would cost -0.01: it cannot be less than 0."


def test_a_currency_without_decimals_takes_and_shows_none(world: World) -> None:
    update_cafeteria(cafeteria_id=world.a.ref.id, currency="CLP")
    manager = world.a.client("manager")
    assert new(manager, price=4200)["price"] == "4200"
    response = manager.post(PRODUCTS, {"name": "Otro", "category": "Cocina", "price": "10.50"}, content_type="application/json")
    assert response.json() == {"detail": "price: 10.50 cannot be paid in CLP, which has 0 decimals.", "code": "invalid_product"}


def test_a_price_of_nothing_has_no_minus(manager: Client) -> None:
    assert new(manager, price="-0.00")["price"] == "0.00"
    with_delta = [{"name": "Pan", "choices": [{"name": "Blanco", "price_delta": "-0"}]}]
    [group] = new(manager, name="Otro", options=with_delta)["options"]
    assert group["choices"][0]["price_delta"] == "0.00"
