"""The cafeteria at which the smoke tests order after each deploy."""

from datetime import timedelta
from typing import Any

from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from billing.looking import apply_policy
from billing.models import Subscription
from shop.menu.actions import set_stock
from shop.menu.models import Product
from shop.orders.models import IdempotencyKey, Order
from shop.people.models import Person
from tenants.models import Cafeteria
from tenants.queries import ref_by_slug
from tenants.scope import tenant_scope
from tests.world import World

SLUG = "prueba-de-humo"


def test_it_stays_open_when_its_trial_is_over_and_gets_new_stock(world: World, settings: Any) -> None:
    """A deploy two months later must not be rolled back because nobody pays for it."""
    settings.BILLING_ENFORCED, settings.MERCADOPAGO_ACCESS_TOKEN = True, "APP_USR-x"
    call_command("open_smoke_cafeteria", SLUG)
    uuid = ref_by_slug(SLUG).uuid
    with tenant_scope(ref_by_slug(SLUG)):
        set_stock(product_id=Product.objects.get().pk, stock=1)
    subscription = Subscription.objects.filter(cafeteria_uuid=uuid)
    subscription.update(trial_ends_at=timezone.now() - timedelta(days=60))
    apply_policy()
    subscription.exclude(grace_until=None).update(grace_until=timezone.now() - timedelta(days=1))
    apply_policy()
    assert Cafeteria.objects.get(uuid=uuid).status == Cafeteria.Status.OPEN
    call_command("open_smoke_cafeteria", SLUG)
    with tenant_scope(ref_by_slug(SLUG)):
        assert Product.objects.get().stock == 1_000


def test_what_old_runs_of_the_smoke_tests_left_is_let_go_of(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr("config.management.commands.open_smoke_cafeteria.KEPT", 1)
    call_command("open_smoke_cafeteria", SLUG)
    ref = ref_by_slug(SLUG)
    host = world.a.host.replace(world.a.ref.slug, SLUG, 1)
    for number in range(3):
        _smoke_run(host, f"smoke-{number}@smoke.example")
    _smoke_run(host, "ana@somewhere.example")
    call_command("open_smoke_cafeteria", SLUG)
    with tenant_scope(ref):
        kept = ["ana@somewhere.example", "smoke-2@smoke.example"]
        assert sorted(Order.objects.values_list("customer__email", flat=True)) == kept
        assert sorted(Person.objects.filter(role="customer").values_list("email", flat=True)) == kept
        assert IdempotencyKey.objects.count() == 2


def _smoke_run(host: str, email: str) -> None:
    """As tests/smoke does it: an account, an order with a key, and its end."""
    client = Client(HTTP_HOST=host)
    account = {"email": email, "password": "correct horse battery", "full_name": "Smoke"}
    assert client.post("/api/v1/auth/register", account, content_type="application/json").status_code == 201
    signed = client.post("/api/v1/auth/login", {"username": email, "password": account["password"]}).json()
    headers = {"authorization": f"Bearer {signed['access_token']}", "idempotency-key": email}
    [product] = client.get("/api/v1/products").json()
    wanted = {"items": [{"product_id": product["id"], "quantity": 1}]}
    placed = client.post("/api/v1/orders", wanted, content_type="application/json", headers=headers)
    assert placed.status_code == 201, placed.content
    assert client.delete(f"/api/v1/orders/{placed.json()['id']}", headers=headers).status_code == 200
