"""Brings the demo in, through the same actions as everybody's data."""

import gzip
from collections.abc import Callable
from uuid import uuid4

from django.conf import settings

from accounts.actions import create_admin
from accounts.models import User
from accounts.realm import platform_realm
from config.demo import ADMIN, OWNERS, PASSWORD, DemoCafeteria, DemoOrder, DemoPerson, demo_cafeterias, read
from config.demo.errors import DemoNotAllowed
from config.demo.sellers import connect_later
from core import passwords
from core.identity.actions import register
from core.identity.callers import Caller
from payments.ledger.actions import take_at_counter
from payments.ledger.data import Actor
from payments.sellers.models import Seller
from shop.menu.imports.actions import import_menu
from shop.menu.models import Product
from shop.orders.actions import change_status, place_order
from shop.orders.data import Guest, NewLine, NewOrder
from shop.orders.imports.actions import Progress, import_sales
from shop.orders.imports.forms import read_names
from shop.orders.models import Order
from shop.orders.payments.actions import facts_of
from shop.people.actions import create_staff
from shop.people.models import Person
from shop.people.realm import realm_of_cafeteria
from tenants.actions import open_cafeteria, update_cafeteria
from tenants.models import Cafeteria
from tenants.queries import ref_for
from tenants.refs import TenantRef
from tenants.scope import current_tenant, tenant_scope

HERE = "127.0.0.1"  # the address from which the demo's people sign up
STEPS = {
    "pending": (),
    "preparing": ("confirmed", "preparing"),
    "ready": ("confirmed", "preparing", "ready"),
    "completed": ("confirmed", "completed"),
}


def load_demo(*, say: Callable[[str], None], progress: Progress) -> bool:
    """Brings in what is missing of the demo; False when nothing was. Raises DemoNotAllowed outside development.

    A cafeteria is filled in one transaction, so that a killed run leaves it empty and the next one fills it. What people did with the
    demo stays: a cafeteria that is there and has its people is left alone, and so is one that was closed or is somebody else's.
    """
    if not settings.DEVELOPMENT:
        raise DemoNotAllowed
    missing = [cafeteria for cafeteria in demo_cafeterias() if _is_missing(cafeteria)]
    if not User.objects.filter(email=ADMIN.email).exists():
        create_admin(email=ADMIN.email, full_name=ADMIN.full_name, password=PASSWORD)
    owners = {owner.email: _owner(owner) for owner in OWNERS} if missing else {}
    for cafeteria in missing:
        say(f"Opening {cafeteria.name}")
        owner = owners[cafeteria.owner]
        ref = _opened(cafeteria, owner)
        encoded = passwords.hash_password(PASSWORD)
        with tenant_scope(ref):
            _fill(cafeteria, ref, encoded, progress)
    if settings.MERCADOPAGO_EMULATOR_KEY:
        _connect_accounts()
    return bool(missing)


def _connect_accounts() -> None:
    """For those that were there before there were payments. The stand-in does not run yet: by a job, once."""
    slugs = [cafeteria.slug for cafeteria in demo_cafeterias()]
    for uuid in Cafeteria.objects.filter(slug__in=slugs, status=Cafeteria.Status.OPEN).values_list("uuid", flat=True):
        if not Seller.objects.filter(cafeteria_uuid=uuid).exists():
            connect_later(uuid)


def _is_missing(cafeteria: DemoCafeteria) -> bool:
    row = Cafeteria.objects.filter(slug=cafeteria.slug).first()
    if row is None:
        return True
    if row.status != Cafeteria.Status.OPEN or not User.objects.filter(pk=row.owner_id, email=cafeteria.owner).exists():
        return False
    with tenant_scope(ref_for(row)):
        return not Person.objects.filter(email=cafeteria.people[0].email).exists()


def _owner(owner: DemoPerson) -> User:
    known = User.objects.filter(email=owner.email).first()
    if known is not None:
        return known
    made = register(platform_realm, email=owner.email, password=PASSWORD, full_name=owner.full_name, address=HERE, role=owner.role)
    assert isinstance(made, User)
    return made


def _opened(cafeteria: DemoCafeteria, owner: User) -> TenantRef:
    row = Cafeteria.objects.filter(slug=cafeteria.slug).first() or open_cafeteria(
        owner_id=owner.pk,
        owner_person={"email": owner.email, "full_name": owner.full_name},
        slug=cafeteria.slug,
        name=cafeteria.name,
        description=cafeteria.description,
        address=cafeteria.address,
        currency=cafeteria.currency,
        timezone=cafeteria.timezone,
        brand=cafeteria.brand,
    )
    if row.day_cutoff != cafeteria.day_cutoff:
        row = update_cafeteria(cafeteria_id=row.pk, day_cutoff=cafeteria.day_cutoff)
    return ref_for(row)


def _fill(cafeteria: DemoCafeteria, ref: TenantRef, encoded: str, progress: Progress) -> None:
    people = _people(cafeteria, ref, encoded)
    import_menu(raw=read(cafeteria.menu))
    if cafeteria.sales is not None:
        names = None if cafeteria.names is None else read_names(read(cafeteria.names))
        import_sales(raw=gzip.decompress(read(cafeteria.sales)), names=names, progress=progress)
    for order in cafeteria.board:
        _place(order, people)


def _people(cafeteria: DemoCafeteria, ref: TenantRef, encoded: str) -> dict[str, Caller]:
    """By their roles."""
    owner = _caller(Person.objects.get(role=Person.Role.OWNER))
    people = {"owner": owner}
    for demo in cafeteria.people:
        if demo.role == Person.Role.CUSTOMER:
            realm = realm_of_cafeteria(ref)
            person = register(realm, email=demo.email, password=PASSWORD, full_name=demo.full_name, address=HERE, role=demo.role)
        else:
            person = create_staff(email=demo.email, full_name=demo.full_name, role=demo.role, password=encoded, actor=owner)
        assert isinstance(person, Person)
        people[demo.role] = _caller(person)
    return people


def _caller(person: Person) -> Caller:
    return Caller(
        kind="person",
        id=person.pk,
        email=person.email,
        full_name=person.full_name,
        role=person.role,
        session_id=uuid4(),
        token_version=person.token_version,
    )


def _place(order: DemoOrder, people: dict[str, Caller]) -> None:
    placed = place_order(
        order=NewOrder(
            lines=tuple(_line(*line) for line in order.lines),
            notes=order.notes,
            table=order.table,
            guest=Guest(name=order.name, phone=order.phone) if order.by == "guest" else None,
        ),
        caller=None if order.by == "guest" else people[order.by],
    )
    if order.status == "completed":
        _take_cash(placed.id, people["cashier"])
    for status in STEPS[order.status]:
        change_status(order_id=placed.id, status=status, actor=people["cashier"])


def _take_cash(order_id: int, cashier: Caller) -> None:
    facts = facts_of(Order.objects.prefetch_related("items").get(pk=order_id), with_copy=True)
    by = Actor(person_id=cashier.id, label=cashier.email)
    take_at_counter(cafeteria_uuid=current_tenant().uuid, order=facts, method="cash", actor=by)


def _line(name: str, quantity: int, wanted: tuple[str, ...]) -> NewLine:
    product = Product.objects.get(name=name)
    choices: list[int] = []
    for group in product.option_groups.prefetch_related("choices"):
        offered = list(group.choices.all())
        chosen = [choice for choice in offered if choice.name in wanted] or offered[: group.minimum]
        choices += [choice.pk for choice in chosen]
    return NewLine(product_id=product.pk, quantity=quantity, choices=tuple(choices))
