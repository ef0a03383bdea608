"""The cafeterias as the platform's API shows them. Above shop, since a new one's products can be put in from here."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any, Literal

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Router, Status
from pydantic import AfterValidator, Field

from accounts.actions import check_may_enter
from accounts.doors import guest_or_signed_in, owner, signed_in
from accounts.support import check_support, visit_life
from core.audit.actions import record
from core.doors import caller_of, caller_or_none
from core.errors import NotAllowed
from core.http import Body, Schema, errors, text
from core.identity.callers import Caller
from shop.menu.api import ProductIn, ProductOut, menu_answer, new_product
from shop.menu.queries import current_menu
from shop.people.actions import issue_owner_token, issue_support_token
from tenants import actions
from tenants.errors import CafeteriaNotFound, InvalidDetails, InvalidSlug, SlugReserved, StaleTenant
from tenants.models import Cafeteria
from tenants.queries import open_cafeterias, ref_by_id
from tenants.refs import TenantRef
from tenants.routing import site_url
from tenants.scope import tenant_scope
from tenants.slugs import check_slug

router = Router(tags=["businesses"])
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]


def _valid(field: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        try:
            actions.check_details({field: value})
        except InvalidDetails as error:
            raise ValueError(str(error)) from None
        return value

    return check


def _slug(value: str) -> str:
    try:
        check_slug(value)
    except InvalidSlug as error:
        raise ValueError(str(error)) from None
    except SlugReserved:
        pass  # 409, like a taken one: the action says so.
    return value


Name = Annotated[str, *text(least=1, most=120).__metadata__]
Description = Annotated[str, *text(most=2_000).__metadata__]
Address = Annotated[str, *text(most=200).__metadata__]
Timezone = Annotated[str, Field(max_length=64), AfterValidator(_valid("timezone"))]
Currency = Annotated[str, Field(max_length=3), AfterValidator(_valid("currency"))]
Slug = Annotated[str, Field(max_length=63), AfterValidator(_slug)]


class BusinessIn(Body):
    name: Name
    description: Description = ""
    address: Address = ""
    slug: Slug | None = None
    timezone: Timezone = "America/Argentina/Buenos_Aires"
    currency: Currency = "ARS"


class BusinessPut(Body):
    """The whole of what can be changed; what is left out is set back, but for time zone and currency."""

    name: Name
    description: Description = ""
    address: Address = ""
    timezone: Timezone | None = None
    currency: Currency | None = None


class BusinessPatch(Body):
    name: Name | None = None
    description: Description | None = None
    address: Address | None = None
    timezone: Timezone | None = None
    currency: Currency | None = None


class BusinessOut(Schema):
    id: int
    name: str
    slug: str
    description: str
    address: str
    url: str
    currency: str
    timezone: str
    status: str


class BusinessTokenOut(Schema):
    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - no password
    expires_in: int
    url: str


@router.get("/businesses", auth=guest_or_signed_in, response={200: list[BusinessOut], **errors(401, 403, 422)})
def list_businesses(request: HttpRequest, status: Literal["open", "suspended", "closed", "all"] = "open") -> Any:
    """The open cafeterias, by name. Admins may ask for others by `status`."""
    if status == "open":
        return [_shown(cafeteria) for cafeteria in open_cafeterias()]
    caller = caller_or_none(request)
    if caller is None or not caller.is_admin:
        raise NotAllowed
    asked = Cafeteria.objects.order_by("name", "id")
    return [_shown(cafeteria) for cafeteria in (asked if status == "all" else asked.filter(status=status))]


@router.post("/businesses", auth=owner, response={201: BusinessOut, **errors(400, 401, 403, 409, 413, 422)})
def open_business(request: HttpRequest, body: BusinessIn) -> Any:
    """A new cafeteria, whose site is there when this answers. Without a slug, one is made from the name."""
    caller = caller_of(request)
    person = actions.OwnerPerson(email=caller.email, full_name=caller.full_name)
    with transaction.atomic():
        cafeteria = actions.open_cafeteria(owner_id=caller.id, owner_person=person, **body.model_dump())
        record("cafeteria.opened", actor=caller, cafeteria_uuid=cafeteria.uuid, target=cafeteria.slug)
    return Status(201, _shown(cafeteria))


@router.get("/businesses/{business_id}", auth=guest_or_signed_in, response={200: BusinessOut, **errors(401, 403, 404, 422)})
def get_business(request: HttpRequest, business_id: Id) -> Any:
    """An open cafeteria; a suspended one for its owner and admins only."""
    return _shown(_visible(business_id, caller_or_none(request)))


@router.put("/businesses/{business_id}", auth=signed_in, response={200: BusinessOut, **errors(400, 401, 403, 404, 409, 413, 422)})
def put_business(request: HttpRequest, business_id: Id, body: BusinessPut) -> Any:
    """Sets name, description and address, and time zone and currency where given. The currency of past orders cannot change."""
    return _changed(request, business_id, {key: value for key, value in body.model_dump().items() if value is not None})


@router.patch("/businesses/{business_id}", auth=signed_in, response={200: BusinessOut, **errors(400, 401, 403, 404, 409, 413, 422)})
def patch_business(request: HttpRequest, business_id: Id, body: BusinessPatch) -> Any:
    """Sets what is given. A null is as if it had been left out."""
    return _changed(request, business_id, {key: value for key, value in body.model_dump().items() if value is not None})


@router.delete("/businesses/{business_id}", auth=signed_in, response={204: None, **errors(401, 403, 404, 409, 422)})
def close_business(request: HttpRequest, business_id: Id) -> Any:
    """Closes the cafeteria for good. Its site answers 404 from then on."""
    caller = caller_of(request)
    with transaction.atomic():
        cafeteria = _managed(business_id, caller)
        actions.close_cafeteria(cafeteria_id=cafeteria.pk)
        record("cafeteria.closed", actor=caller, cafeteria_uuid=cafeteria.uuid, target=cafeteria.slug)
    return HttpResponse(status=204)


@router.post("/businesses/{business_id}/token", auth=signed_in, response={200: BusinessTokenOut, **errors(400, 401, 403, 404, 422, 503)})
def issue_business_token(request: HttpRequest, business_id: Id) -> Any:
    """An access token of the owner, or of an admin with the owner's consent, for that cafeteria's host.

    It cannot be refreshed: ask for another one here.
    """
    caller = caller_of(request)
    cafeteria = _managed(business_id, caller)
    check_may_enter(cafeteria, caller=caller)
    life = settings.ACCESS_TOKEN_LIFE
    with scope_of(business_id) as ref:
        if caller.is_admin:
            life = min(life, visit_life(check_support(business_id)))
            token = issue_support_token(full_name=caller.full_name, platform_user_id=caller.id, life=life)
        else:
            token = issue_owner_token(email=caller.email, full_name=caller.full_name, platform_user_id=caller.id)
        record("cafeteria.token_issued", actor=caller, cafeteria_uuid=ref.uuid, target=ref.slug)
    return {"access_token": token, "expires_in": int(life.total_seconds()), "url": site_url(ref.slug)}


@router.get(
    "/businesses/{business_id}/products",
    auth=guest_or_signed_in,
    response={200: list[ProductOut], 304: None, **errors(401, 403, 404, 422, 503)},
)
def list_products(request: HttpRequest, business_id: Id) -> HttpResponse:
    """What is on sale there, as on the cafeteria's own host."""
    _visible(business_id, caller_or_none(request))
    try:
        menu = current_menu(ref_by_id(business_id))
    except StaleTenant:
        menu = current_menu(ref_by_id(business_id))
    return menu_answer(request, menu)


@router.post(
    "/businesses/{business_id}/products",
    auth=signed_in,
    response={201: ProductOut, **errors(400, 401, 403, 404, 409, 413, 422, 503)},
)
def create_product(request: HttpRequest, business_id: Id, body: ProductIn) -> Any:
    """A product at the end of its category, as on the cafeteria's own host."""
    caller = caller_of(request)
    _managed(business_id, caller)
    with scope_of(business_id) as ref:
        product = new_product(body)
        record("product.created", actor=caller, cafeteria_uuid=ref.uuid, target=body.name)
    return Status(201, product)


@contextmanager
def scope_of(cafeteria_id: int) -> Iterator[TenantRef]:
    """The scope of a cafeteria as it is now; one that changes in between is read again, once."""
    with ExitStack() as stack:
        try:
            ref = stack.enter_context(tenant_scope(ref_by_id(cafeteria_id)))
        except StaleTenant:
            ref = stack.enter_context(tenant_scope(ref_by_id(cafeteria_id)))
        yield ref


def _shown(cafeteria: Cafeteria) -> dict[str, Any]:
    names = ("id", "name", "slug", "description", "address", "currency", "timezone", "status")
    return {name: getattr(cafeteria, name) for name in names} | {"url": site_url(cafeteria.slug)}


def _visible(business_id: int, caller: Caller | None) -> Cafeteria:
    """An open one for anyone, a suspended one for those who manage it. Raises CafeteriaNotFound."""
    cafeteria: Cafeteria | None = Cafeteria.objects.filter(pk=business_id).first()
    if cafeteria is not None and cafeteria.status == Cafeteria.Status.OPEN:
        return cafeteria
    if caller is None:
        raise CafeteriaNotFound
    return _managed(business_id, caller)


def _managed(business_id: int, caller: Caller) -> Cafeteria:
    """Its owner's or an admin's. What somebody may not manage is not found: nobody learns that it is there."""
    cafeteria: Cafeteria | None = Cafeteria.objects.filter(pk=business_id).exclude(status=Cafeteria.Status.CLOSED).first()
    if cafeteria is None or not (caller.is_admin or cafeteria.owner_id == caller.id):
        raise CafeteriaNotFound
    return cafeteria


def _changed(request: HttpRequest, business_id: int, changes: dict[str, Any]) -> dict[str, Any]:
    caller = caller_of(request)
    with transaction.atomic():
        _managed(business_id, caller)
        cafeteria = actions.update_cafeteria(cafeteria_id=business_id, **changes)
        record("cafeteria.changed", actor=caller, cafeteria_uuid=cafeteria.uuid, target=cafeteria.slug, fields=sorted(changes))
    return _shown(cafeteria)
