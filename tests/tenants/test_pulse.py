"""The counters that say whether anything has changed."""

from collections.abc import Callable

import pytest
from django.db import transaction
from pytest_django import DjangoAssertNumQueries

from tenants.actions import close_cafeteria, suspend_cafeteria
from tenants.errors import CafeteriaNotFound, CafeteriaSuspended, NoTenantScope, StaleTenant
from tenants.models import Cafeteria, Pulse
from tenants.pulse import bump_menu, bump_menu_and_orders, bump_orders, read_pulse
from tenants.queries import ref_by_id
from tenants.scope import tenant_scope
from tests.world import World


@pytest.mark.parametrize(("bump", "change"), [(bump_menu, (1, 0)), (bump_orders, (0, 1)), (bump_menu_and_orders, (1, 1))])
def test_a_bump_shows_in_its_own_cafeteria_only(world: World, bump: Callable[[], None], change: tuple[int, int]) -> None:
    a, b = read_pulse(world.a.ref), read_pulse(world.b.ref)
    with tenant_scope(world.a.ref):
        bump()
    assert read_pulse(world.a.ref) == (a.menu + change[0], a.orders + change[1])
    assert read_pulse(world.b.ref) == b


def test_a_bump_that_is_rolled_back_never_was(world: World) -> None:
    before = read_pulse(world.a.ref)
    with tenant_scope(world.a.ref):
        bump_menu()
        transaction.set_rollback(True)
    assert read_pulse(world.a.ref) == before


def test_a_bump_needs_a_scope(db: None) -> None:
    with pytest.raises(NoTenantScope):
        bump_menu()


def test_a_bump_that_nobody_could_see_fails(world: World) -> None:
    Pulse.objects.filter(pk=world.a.ref.id).delete()
    with pytest.raises(LookupError), tenant_scope(world.a.ref):
        bump_orders()


def test_a_reading_is_one_query(world: World, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(1):
        read_pulse(world.a.ref)


@pytest.mark.parametrize("change", [{"generation": 5}, {"revision": 5}])
def test_a_reading_proves_the_reference_current(world: World, change: dict[str, int]) -> None:
    Cafeteria.objects.filter(pk=world.a.ref.id).update(**change)
    with pytest.raises(StaleTenant):
        read_pulse(world.a.ref)


def test_a_reading_of_a_suspended_or_closed_one(world: World) -> None:
    suspend_cafeteria(cafeteria_id=world.a.ref.id)
    with pytest.raises(CafeteriaSuspended):
        read_pulse(ref_by_id(world.a.ref.id))
    close_cafeteria(cafeteria_id=world.a.ref.id)
    with pytest.raises(CafeteriaNotFound):
        read_pulse(ref_by_id(world.a.ref.id))
