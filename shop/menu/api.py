"""The menu over HTTP: reading the request, who may, and the answer. The rules are in shop.menu.forms and the actions."""

from collections.abc import Callable
from decimal import Decimal
from functools import wraps
from typing import Annotated, Any, Literal, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.http import parse_etags
from ninja import Router, Status
from ninja.decorators import decorate_view
from pydantic import Field

from core.errors import BadRequest, TooLarge
from core.http import Body, ErrorOut, Schema, ValidationOut, errors, json_error, scoped, text
from core.money import LARGEST
from shop.menu import actions, forms
from shop.menu.data import ChoiceDraft, OptionDraft, ProductFields
from shop.menu.imports.errors import MenuFileRefused
from shop.menu.models import Category
from shop.menu.queries import MenuSnapshot, categories_on_the_menu, menu_for_request, product_data
from shop.people.doors import anyone, manager
from tenants.scope import current_tenant, request_scope

router = Router(tags=["menu"])

LARGEST_ID = 2**63 - 1
SLACK = 64 * 1024  # what a multipart form may add to its file

Id = Annotated[int, Field(ge=-LARGEST_ID, le=LARGEST_ID)]
Ids = Annotated[list[Id], Field(max_length=forms.MOST_PRODUCTS)]
ProductName = Annotated[str, *text(least=1, most=forms.LONGEST_PRODUCT_NAME).__metadata__]
CategoryName = Annotated[str, *text(least=1, most=forms.LONGEST_CATEGORY_NAME).__metadata__]
OptionName = Annotated[str, *text(least=1, most=forms.LONGEST_OPTION_NAME).__metadata__]
Description = Annotated[str, *text(most=forms.LONGEST_DESCRIPTION).__metadata__]
Tag = Annotated[str, *text(most=forms.LONGEST_TAG).__metadata__]
Tags = Annotated[list[Tag], Field(max_length=forms.MOST_TAGS)]
Price = Annotated[Decimal, Field(ge=0, le=LARGEST)]
Delta = Annotated[Decimal, Field(ge=-LARGEST, le=LARGEST)]
Stock = Annotated[int, Field(ge=0, le=forms.MOST_STOCK)]


class ChoiceIn(Body):
    name: OptionName
    price_delta: Delta = Decimal(0)
    available: bool | None = None


class OptionIn(Body):
    name: OptionName
    min: Annotated[int, Field(ge=0, le=forms.MOST_CHOICES)] = 0
    max: Annotated[int, Field(ge=1, le=forms.MOST_CHOICES)] = 1
    choices: Annotated[list[ChoiceIn], Field(min_length=1, max_length=forms.MOST_CHOICES)]


Options = Annotated[list[OptionIn], Field(max_length=forms.MOST_GROUPS)]


class ProductIn(Body):
    name: ProductName
    description: Description = ""
    category: CategoryName
    price: Price
    stock: Stock | None = None
    available: bool = True
    tags: Tags = []
    allergens: Tags = []
    options: Options = []


class ProductPatch(Body):
    """What is left out stays. A null is as if it had been left out, but for `stock`, where it means: not counted."""

    name: ProductName | None = None
    description: Description | None = None
    category: CategoryName | None = None
    price: Price | None = None
    stock: Stock | None = None
    available: bool | None = None
    tags: Tags | None = None
    allergens: Tags | None = None
    options: Options | None = None


class ChoiceOut(Schema):
    id: int
    name: str
    price_delta: str
    available: bool


class OptionOut(Schema):
    id: int
    name: str
    min: int
    max: int
    choices: list[ChoiceOut]


class ProductOut(Schema):
    id: int
    name: str
    description: str
    category: str
    price: str
    stock: int | None
    available: bool
    options: list[OptionOut]
    tags: list[str]
    allergens: list[str]
    image: str | None


class CategoryIn(Body):
    name: CategoryName


class CategoryOut(Schema):
    id: int
    name: str
    position: int


class OrderIn(Body):
    ids: Ids


class ImportedRowOut(Schema):
    line: int
    name: str
    result: Literal["created", "updated", "unchanged"]


class ImportedOut(Schema):
    created: int
    updated: int
    unchanged: int
    rows: list[ImportedRowOut]


class BadRowOut(Schema):
    line: int
    column: str
    problem: str


class ImportRefusedOut(ErrorOut):
    rows: list[BadRowOut]


type Operation = Callable[..., HttpResponse]


def limited(most: int) -> Callable[[Operation], Operation]:
    """A ninja decorator of mode "view" that answers 413 to a body of more bytes, before anything reads it."""

    def decorate(operation: Operation) -> Operation:
        @wraps(operation)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            length = request.META.get("CONTENT_LENGTH") or "0"
            if length.isdecimal() and int(length[:20]) > most + SLACK:
                return json_error(TooLarge(limit=max(1, most // 1024 // 1024)))
            return operation(request, *args, **kwargs)

        return wrapper

    return decorate


WRITE = errors(400, 401, 403, 404, 409, 413, 422, 503)
FILE_PART = {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}}


@router.get("/products", auth=anyone, response={200: list[ProductOut], 304: None, **errors(404, 503)})
def list_products(request: HttpRequest) -> HttpResponse:
    """Everything on sale, in the menu's order; always as it is now. With If-None-Match of the last ETag: 304 when nothing has changed."""
    return menu_answer(request, menu_for_request(request))


def menu_answer(request: HttpRequest, menu: MenuSnapshot) -> HttpResponse:
    given = request.META.get("HTTP_IF_NONE_MATCH")
    if given and menu.etag in {tag.removeprefix("W/") for tag in parse_etags(given)}:
        response: HttpResponse = HttpResponseNotModified()
    else:
        response = HttpResponse(menu.body, content_type="application/json")
    response.headers["ETag"] = menu.etag
    response.headers["Cache-Control"] = "no-cache"  # Keep it, and ask each time.
    return response


@router.post("/products", auth=manager, response={201: ProductOut, **WRITE})
@decorate_view(scoped)
def create_product(request: HttpRequest, body: ProductIn) -> Any:
    """A product at the end of its category, which is made when there is none of that name."""
    return Status(201, new_product(body))


def new_product(body: ProductIn) -> Any:
    """Inside a scope: the product as the API answers it. For the platform's door as well."""
    product = actions.create_product(**drafted(body, stock_given=True))
    return product_data(product.pk)


@router.post(
    "/products/import",
    auth=manager,
    response={200: ImportedOut, **WRITE, 422: ImportRefusedOut | ErrorOut | ValidationOut},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"text/csv": {"schema": {"type": "string"}}, "multipart/form-data": {"schema": FILE_PART}},
        }
    },
)
@decorate_view(scoped, limited(settings.MENU_CSV_MAX_BYTES))
def import_products(request: HttpRequest) -> Any:
    """The menu's CSV, as the body or as the part `file` of a form. All or nothing: a refusal names every bad cell in `rows`."""
    raw = uploaded(request) if request.content_type == "multipart/form-data" else request.body
    try:
        done = actions.import_menu(raw=raw)
    except MenuFileRefused as refused:
        rows = [{"line": row.line, "column": row.column, "problem": str(row.problem)} for row in refused.rows]
        return Status(422, {"detail": str(refused), "code": refused.code, "rows": rows})
    rows = [{"line": row.line, "name": row.name, "result": row.result} for row in done.rows]
    return {
        "created": done.count("created"),
        "updated": done.count("updated"),
        "unchanged": done.count("unchanged"),
        "rows": rows,
    }


@router.get(
    "/products/export",
    auth=manager,
    response=errors(401, 403, 404, 503),
    openapi_extra={"responses": {200: {"description": "The menu", "content": {"text/csv": {"schema": {"type": "string"}}}}}},
)
@decorate_view(scoped)
def export_products(request: HttpRequest) -> HttpResponse:
    """The menu as the CSV that the import takes."""
    response = HttpResponse(actions.export_menu(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{current_tenant().slug}-menu.csv"'
    return response


@router.post("/products/reorder", auth=manager, response={204: None, **WRITE})
@decorate_view(scoped)
def reorder_products(request: HttpRequest, body: OrderIn) -> Any:
    """Shows these products of one category in this order; the category's others follow."""
    actions.reorder_products(product_ids=body.ids)
    return Status(204, None)


@router.patch("/products/{product_id}", auth=manager, response={200: ProductOut, **WRITE})
@decorate_view(scoped)
def update_product(request: HttpRequest, product_id: Id, body: ProductPatch) -> Any:
    """Changes what is given. `options` are replaced as a whole; those that keep their names keep their ids."""
    actions.update_product(product_id=product_id, **drafted(body, stock_given="stock" in body.model_fields_set))
    return product_data(product_id)


@router.delete("/products/{product_id}", auth=manager, response={204: None, **errors(401, 403, 404, 422, 503)})
@decorate_view(scoped)
def archive_product(request: HttpRequest, product_id: Id) -> Any:
    """Takes the product off the menu. Past orders keep it."""
    actions.archive_product(product_id=product_id)
    return Status(204, None)


@router.post(
    "/products/{product_id}/image",
    auth=manager,
    response={200: ProductOut, **WRITE},
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FILE_PART}}}},
)
@decorate_view(limited(settings.IMAGE_MAX_BYTES))
def put_picture(request: HttpRequest, product_id: Id) -> Any:
    """A JPEG, PNG or WebP as the part `file` of a form. It is kept as WebP in two sizes, without what the camera wrote into it."""
    with request_scope(request) as cafeteria:
        product_data(product_id)
    # Outside of a scope: the storage may be far away.
    digest = actions.store_picture(cafeteria=cafeteria, raw=uploaded(request))
    with request_scope(request):
        actions.use_picture(product_id=product_id, digest=digest)
        return product_data(product_id)


@router.delete("/products/{product_id}/image", auth=manager, response={200: ProductOut, **errors(401, 403, 404, 422, 503)})
@decorate_view(scoped)
def remove_picture(request: HttpRequest, product_id: Id) -> Any:
    actions.remove_picture(product_id=product_id)
    return product_data(product_id)


@router.get("/categories", auth=anyone, response={200: list[CategoryOut], **errors(404, 503)})
@decorate_view(scoped)
def list_categories(request: HttpRequest) -> Any:
    """All categories in the menu's order, those without products too."""
    return categories_on_the_menu()


@router.post("/categories", auth=manager, response={201: CategoryOut, **WRITE})
@decorate_view(scoped)
def create_category(request: HttpRequest, body: CategoryIn) -> Any:
    return Status(201, _category(actions.create_category(name=body.name)))


@router.post("/categories/reorder", auth=manager, response={200: list[CategoryOut], **WRITE})
@decorate_view(scoped)
def reorder_categories(request: HttpRequest, body: OrderIn) -> Any:
    """Shows the categories in this order; those that are not named follow."""
    actions.reorder_categories(category_ids=body.ids)
    return categories_on_the_menu()


@router.patch("/categories/{category_id}", auth=manager, response={200: CategoryOut, **WRITE})
@decorate_view(scoped)
def rename_category(request: HttpRequest, category_id: Id, body: CategoryIn) -> Any:
    return _category(actions.rename_category(category_id=category_id, name=body.name))


@router.delete("/categories/{category_id}", auth=manager, response={204: None, **errors(401, 403, 404, 409, 422, 503)})
@decorate_view(scoped)
def delete_category(request: HttpRequest, category_id: Id) -> Any:
    """Only one without products on the menu."""
    actions.delete_category(category_id=category_id)
    return Status(204, None)


def _category(category: Category) -> dict[str, Any]:
    return {"id": category.pk, "name": category.name, "position": category.position}


def drafted(body: ProductIn | ProductPatch, *, stock_given: bool) -> ProductFields:
    """The body as the actions take it."""
    given = {name: getattr(body, name) for name in ProductPatch.model_fields}
    fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None or (name == "stock" and stock_given)}
    if "options" in fields:
        fields["options"] = [_option(option) for option in fields["options"]]
    return cast("ProductFields", fields)


def _option(option: OptionIn) -> OptionDraft:
    choices = tuple(ChoiceDraft(name=choice.name, price_delta=choice.price_delta, available=choice.available) for choice in option.choices)
    return OptionDraft(name=option.name, minimum=option.min, maximum=option.max, choices=choices)


def uploaded(request: HttpRequest) -> bytes:
    file = request.FILES.get("file")
    if file is None:
        raise BadRequest(reason='send the file as the part "file" of a multipart form.')
    content: bytes = file.read()
    return content
