"""The cafeteria at which the smoke tests order after each deploy."""

from datetime import timedelta
from typing import Any

from django.core.management import call_command
from django.utils import timezone

from billing.looking import apply_policy
from billing.models import Subscription
from shop.menu.actions import set_stock
from shop.menu.models import Product
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
