"""Two cafeterias with identical primary keys and different canaries, their people, and ways to act as each of them."""

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import uuid4

from django.contrib.auth.hashers import make_password
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import User, UserSession
from core import tokens
from core.identity.callers import Caller, Claims
from shop.menu.models import Category, Choice, OptionGroup, Product
from shop.people.models import Person, PersonSession
from tenants.actions import open_cafeteria
from tenants.queries import ref_for
from tenants.refs import TenantRef
from tenants.scope import tenant_scope

PASSWORD = "correct horse battery"
ROLES = ("owner", "manager", "cashier", "kitchen", "customer", "customer2")
FIRST_PERSON, FIRST_PRODUCT, FIRST_FREE = 100, 500, 1_000


@cache
def password_hash() -> str:
    return make_password(PASSWORD)


@dataclass(kw_only=True)
class Place:
    """One cafeteria, and how to act there."""

    ref: TenantRef
    canary: str  # in every name and description, so that a leak shows
    people: dict[str, int] = field(default_factory=dict)  # role -> id
    sessions: dict[str, Any] = field(default_factory=dict)  # role -> sign-in id
    coffee: int = 0  # not counted, no options, 1000.00
    cake: int = 0  # 20 in stock, 2500.50
    latte: int = 0  # a size (1 to 1) and milks (0 to 2), 1500.00
    sizes: tuple[int, int] = (0, 0)  # small +0, large +250
    milks: tuple[int, int] = (0, 0)  # oat +150, none +0

    @property
    def host(self) -> str:
        return f"{self.ref.slug}.localhost:8000"

    def token(self, role: str) -> str:
        claims = Claims(account_id=self.people[role], session_id=self.sessions[role], token_version=1)
        return tokens.issue_access(self.ref.audience, claims)

    def caller(self, role: str = "owner") -> Caller:
        """One of the people, as the doors hand them to actions."""
        about: dict[str, Any] = {"email": f"{role}@people.test", "full_name": role, "session_id": self.sessions[role], "token_version": 1}
        return Caller(kind="person", id=self.people[role], role=role.rstrip("2"), **about)

    def client(self, role: str | None = None) -> Client:
        """An API client: with this role's token, or nobody's."""
        headers = {"host": self.host}
        if role is not None:
            headers["authorization"] = f"Bearer {self.token(role)}"
        return Client(headers=headers)

    def order(self, **more: Any) -> dict[str, Any]:
        return {"items": [{"product_id": self.coffee, "quantity": 1}], **more}


@dataclass(kw_only=True)
class World:
    a: Place
    b: Place
    owner_a: int  # accounts.User of each
    owner_b: int
    admin: int
    user_sessions: dict[int, Any]

    def platform_token(self, user_id: int) -> str:
        claims = Claims(account_id=user_id, session_id=self.user_sessions[user_id], token_version=1)
        return tokens.issue_access(tokens.PLATFORM, claims)

    def platform_client(self, user_id: int | None = None) -> Client:
        headers = {"host": "localhost:8000"}
        if user_id is not None:
            headers["authorization"] = f"Bearer {self.platform_token(user_id)}"
        return Client(headers=headers)


def unique_slugs() -> tuple[str, str]:
    mark = secrets.token_hex(4)
    return f"luna-{mark}", f"sol-{mark}"


def build_world(slug_a: str, slug_b: str) -> World:
    users = [_user(f"{slug}@owners.test", "owner") for slug in (slug_a, slug_b)] + [_user(f"admin-{slug_a}@comanda.test", "admin")]
    sessions = {user.pk: UserSession.objects.create(user=user, expires_at=_later()).pk for user in users}
    places = [_place(slug, owner) for slug, owner in zip((slug_a, slug_b), users[:2], strict=True)]
    return World(a=places[0], b=places[1], owner_a=users[0].pk, owner_b=users[1].pk, admin=users[2].pk, user_sessions=sessions)


MONEY = ("ledgerentry", "refund", "charge", "payment", "notification", "daystatement", "connecting", "seller")


def drop_world(world: World) -> None:
    uuids = [world.a.ref.uuid, world.b.ref.uuid]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # The ledger lets nobody erase it.
        for table in (*(f"payments_{name}" for name in MONEY), "core_alert", "ops_backup", "ops_backupturn", "ops_restore"):
            cursor.execute(f"DELETE FROM public.{table} WHERE cafeteria_uuid = ANY(%s)", [uuids])
    with connection.cursor() as cursor:
        for place in (world.a, world.b):
            # With what restores have kept of it.
            cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ %s", [f"^{place.ref.schema_name}(_|$)"])
            for (schema,) in cursor.fetchall():
                cursor.execute(f'DROP SCHEMA "{schema}" CASCADE')
    with connection.cursor() as cursor:
        ids = [world.a.ref.id, world.b.ref.id]
        for table in ("tenants_pulse", "tenants_migrationstatus"):
            cursor.execute(f"DELETE FROM public.{table} WHERE cafeteria_id = ANY(%s)", [ids])
        cursor.execute("DELETE FROM public.tenants_domain WHERE tenant_id = ANY(%s)", [ids])
        cursor.execute("DELETE FROM public.tenants_cafeteria WHERE id = ANY(%s)", [ids])
    User.objects.filter(pk__in=[world.owner_a, world.owner_b, world.admin]).delete()


def _user(email: str, role: str) -> User:
    return User.objects.create(email=email, full_name=f"User {email}", password=password_hash(), role=role)


def _later() -> Any:
    return timezone.now() + timedelta(days=30)


def _place(slug: str, owner: User) -> Place:
    cafeteria = open_cafeteria(owner_id=owner.pk, name=f"Café {slug}", slug=slug, currency="ARS")
    place = Place(ref=ref_for(cafeteria), canary=f"CANARY-{slug}-{secrets.token_hex(4)}")
    with tenant_scope(place.ref):
        _fill_people(place)
        _fill_menu(place)
        _count_on_from(FIRST_FREE)
    return place


def _count_on_from(first: int) -> None:
    """What the tests add gets ids after those that were chosen here. Sequences go on over all tests: no rollback takes them back."""
    with connection.cursor() as cursor:
        for model in (Category, Product, OptionGroup, Choice, Person):
            cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", [model._meta.db_table, first])


def _fill_people(place: Place) -> None:
    Person.objects.all().delete()
    for offset, role in enumerate(ROLES):
        person = Person.objects.create(
            id=FIRST_PERSON + offset,
            email=f"{role}@people.test",  # the same on both sides
            full_name=f"{role} {place.canary}",
            password=password_hash(),
            role=role.rstrip("2"),
        )
        place.people[role] = person.pk
        place.sessions[role] = PersonSession.objects.create(id=uuid4(), person=person, expires_at=_later()).pk


def _fill_menu(place: Place) -> None:
    category = Category.objects.create(id=FIRST_PRODUCT, name=f"Bebidas {place.canary}")
    about = {"category": category, "description": place.canary}
    place.coffee = Product.objects.create(id=FIRST_PRODUCT, name=f"Café {place.canary}", price="1000.00", **about).pk
    place.cake = Product.objects.create(id=FIRST_PRODUCT + 1, name=f"Torta {place.canary}", price="2500.50", stock=20, **about).pk
    place.latte = Product.objects.create(id=FIRST_PRODUCT + 2, name=f"Latte {place.canary}", price="1500.00", **about).pk
    size = OptionGroup.objects.create(id=FIRST_PRODUCT, product_id=place.latte, name="Tamaño", minimum=1, maximum=1)
    milk = OptionGroup.objects.create(id=FIRST_PRODUCT + 1, product_id=place.latte, name="Leche", minimum=0, maximum=2, position=1)
    ids = iter(range(FIRST_PRODUCT, FIRST_PRODUCT + 4))
    place.sizes = (_choice(next(ids), size, "Chico", 0), _choice(next(ids), size, "Grande", 250))
    place.milks = (_choice(next(ids), milk, "Avena", 150), _choice(next(ids), milk, "Sin", 0))


def _choice(choice_id: int, group: OptionGroup, name: str, delta: int) -> int:
    return Choice.objects.create(id=choice_id, group=group, name=name, price_delta=delta, position=choice_id % 2).pk
