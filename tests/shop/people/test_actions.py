from collections.abc import Iterator

import pytest

from core.audit.models import AuditEntry
from core.identity.callers import Caller
from core.identity.errors import EmailTaken, InvalidEmail
from core.passwords import unusable_password
from shop.people import actions
from shop.people.errors import NotAStaffRole, OwnerUntouchable, PersonNotFound
from shop.people.models import Person
from tenants.scope import tenant_scope
from tests.world import World


@pytest.fixture
def owner(world: World) -> Iterator[Caller]:
    with tenant_scope(world.a.ref):
        person = Person.objects.get(pk=world.a.people["owner"])
        yield Caller(
            kind="person",
            id=person.pk,
            email=person.email,
            full_name=person.full_name,
            role=person.role,
            session_id=world.a.sessions["owner"],
            token_version=1,
        )


def create(owner: Caller, **changes: str) -> Person:
    return actions.create_staff(
        actor=owner, **{"email": "caja@example.test", "full_name": "Caja", "role": "cashier", "password": unusable_password(), **changes}
    )


def test_staff_is_made_moved_and_let_go_with_a_trace(owner: Caller, world: World) -> None:
    person = create(owner)
    actions.set_role(person_id=person.pk, role="manager", actor=owner)
    actions.deactivate(person_id=person.pk, actor=owner)
    actions.activate(person_id=person.pk, actor=owner)
    person.refresh_from_db()
    assert (person.role, person.is_active, person.token_version) == ("manager", True, 2)
    traces = AuditEntry.objects.filter(target=person.email, cafeteria_uuid=world.a.ref.uuid).order_by("id")
    assert [trace.action for trace in traces] == ["person.created", "person.role_set", "person.deactivated", "person.activated"]


@pytest.mark.parametrize("role", ["owner", "customer", "admin", ""])
def test_only_roles_of_the_staff_are_given(owner: Caller, role: str) -> None:
    with pytest.raises(NotAStaffRole):
        create(owner, role=role)


def test_addresses_are_unique_and_real(owner: Caller) -> None:
    create(owner)
    with pytest.raises(EmailTaken):
        create(owner, email="CAJA@example.test")
    with pytest.raises(InvalidEmail):
        create(owner, email="x")


def test_the_owner_is_out_of_reach_and_strangers_are_not_found(owner: Caller) -> None:
    with pytest.raises(OwnerUntouchable):
        actions.deactivate(person_id=owner.id, actor=owner)
    with pytest.raises(OwnerUntouchable):
        actions.set_role(person_id=owner.id, role="customer", actor=owner)
    with pytest.raises(PersonNotFound):
        actions.deactivate(person_id=999, actor=owner)


def test_letting_somebody_go_ends_their_tokens_at_once(world: World) -> None:
    client = world.a.client("cashier")
    assert client.get("/api/v1/auth/me").status_code == 200
    with tenant_scope(world.a.ref):
        actions.end_sessions(Person.objects.get(pk=world.a.people["cashier"]))
    assert client.get("/api/v1/auth/me").status_code == 401


def test_admitting_the_owner_again_keeps_the_person(owner: Caller) -> None:
    first = actions.admit_owner(email="duena@example.test", full_name="Dueña", platform_user_id=7)
    again = actions.admit_owner(email="duena@example.test", full_name="Dueña Nueva", platform_user_id=7)
    assert (first.pk, first.token_version) == (again.pk, again.token_version)
    assert again.full_name == "Dueña Nueva"
