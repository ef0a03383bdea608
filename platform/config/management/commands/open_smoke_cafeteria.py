import secrets
from argparse import ArgumentParser
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from accounts.realm import platform_realm
from billing.actions import choose_free_plan, subscription_of_cafeteria
from billing.plans import FREE
from core.errors import AppError
from core.identity.actions import register
from shop.menu.actions import create_product, set_stock
from shop.menu.models import Product
from shop.orders.models import IdempotencyKey, Order
from shop.people.models import Person
from tenants.actions import open_cafeteria
from tenants.models import Cafeteria
from tenants.queries import ref_for
from tenants.routing import site_url
from tenants.scope import tenant_scope

NAME, STOCK = "Prueba", 1_000
KEPT = 20  # of the smoke tests' customers, with their orders


class Command(BaseCommand):
    help = "Opens the smoke tests' cafeteria, with one counted product. Again: fills its stock up, and lets go of what old runs left."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")

    def handle(self, *, slug: str, **_: Any) -> None:
        email = f"smoke@{settings.BASE_DOMAIN if '.' in settings.BASE_DOMAIN else 'comanda.example'}"
        try:
            cafeteria = self._cafeteria(slug, email)
            subscription = subscription_of_cafeteria(cafeteria)
            if FREE not in {subscription.plan, subscription.next_plan}:  # Nobody pays for it: after its trial it would be suspended.
                choose_free_plan(cafeteria=cafeteria, person=None, label="manage.py open_smoke_cafeteria")
            with tenant_scope(ref_for(cafeteria)):
                product = Product.objects.filter(archived_at=None).order_by("id").first()
                if product is None:
                    create_product(name=NAME, category=NAME, price=Decimal(100), stock=STOCK)
                else:
                    set_stock(product_id=product.pk, stock=STOCK)
                _forget_old_runs()
        except AppError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"The smoke tests order at {site_url(slug)}")

    def _cafeteria(self, slug: str, email: str) -> Cafeteria:
        """Of an owner of its own, whose password nobody knows. CommandError when the address is somebody else's."""
        owner = User.objects.filter(email=email).first()
        found = Cafeteria.objects.filter(slug=slug).first()
        if found is not None:
            if owner is None or found.owner_id != owner.pk:
                raise CommandError(f"{slug} is somebody's cafeteria. Name another one in SMOKE_CAFETERIA.")
            return found
        if owner is None:
            password, here = secrets.token_urlsafe(24), "127.0.0.1"
            made = register(platform_realm, email=email, password=password, full_name="Smoke", address=here, role="owner")
            assert isinstance(made, User)
            owner = made
        person = {"email": owner.email, "full_name": owner.full_name}
        return open_cafeteria(owner_id=owner.pk, owner_person=person, name=NAME, slug=slug)  # type: ignore[arg-type]


def _forget_old_runs() -> None:
    """Each run of the smoke tests leaves a customer and a cancelled order that nobody paid. The newest stay, to be looked at."""
    old = Person.objects.filter(email__startswith="smoke-", email__endswith="@smoke.example", role=Person.Role.CUSTOMER)
    people = list(old.order_by("-pk").values_list("pk", flat=True)[KEPT:])
    IdempotencyKey.objects.filter(caller__in=[f"person:{pk}" for pk in people]).delete()
    Order.objects.filter(customer__in=people, status=Order.Status.CANCELLED, paid=0, refunded=0).delete()
    Person.objects.filter(pk__in=people, orders=None).delete()
