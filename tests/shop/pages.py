"""Ways to walk through a cafeteria's pages without a browser."""

from typing import Any

from django.test import Client

from shop.orders.models import Order
from tenants.actions import update_cafeteria
from tenants.refs import TenantRef
from tenants.routing import resolve
from tenants.scope import tenant_scope
from tests.world import PASSWORD, Place

HTMX = {"HX-Request": "true"}


def visitor(place: Place, role: str | None = None) -> Client:
    """A browser on the cafeteria's site, signed in as this role or as nobody."""
    client = Client(headers={"host": place.host})
    if role is not None:
        assert client.post("/sign-in", {"email": f"{role}@people.test", "password": PASSWORD}).status_code == 302
    return client


def fill_cart(client: Client, place: Place, *, quantity: int = 1) -> None:
    assert client.post(f"/p/{place.coffee}/add", {"quantity": quantity}).status_code == 302


def checkout(client: Client, **details: Any) -> Any:
    """Sends the checkout as its page would."""
    page = client.get("/cart")
    fields = {"name": "Ana", "where": "pickup", "tip": "0", "key": page.context["key"], "seen": page.context["seen"]}
    return client.post("/cart/place", fields | details)


def order_of(place: Place) -> Order:
    """The only order there, with its items fetched."""
    with tenant_scope(fresh(place)):
        [order] = Order.objects.prefetch_related("items")
        list(order.items.all())
        return order


def fresh(place: Place) -> TenantRef:
    ref = resolve(place.host.split(":")[0])
    assert ref is not None
    return ref


def pause(place: Place) -> None:
    update_cafeteria(cafeteria_id=place.ref.id, accepts_orders=False)
