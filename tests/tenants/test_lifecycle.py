"""Suspend, resume, close, change: each allowed from where it makes sense, each felt at once."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from core.jobs.models import Job
from shop.orders.models import Order
from tenants import routing
from tenants.actions import close_cafeteria, drop_closed_cafeteria, resume_cafeteria, suspend_cafeteria, touch_cafeteria, update_cafeteria
from tenants.errors import CafeteriaNotFound, CurrencyInUse, InvalidDetails, InvalidLifecycle, StaleTenant
from tenants.models import Cafeteria
from tenants.queries import cafeterias_of, open_cafeterias, ref_by_id, ref_by_slug, ref_by_uuid
from tenants.scope import tenant_scope
from tests.world import World

type Action = Callable[..., Cafeteria]


def put(world: World, status: str) -> int:
    Cafeteria.objects.filter(pk=world.a.ref.id).update(status=status, closed_at=timezone.now() if status == "closed" else None)
    return world.a.ref.id


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        (suspend_cafeteria, "open", "suspended"),
        (resume_cafeteria, "suspended", "open"),
        (close_cafeteria, "open", "closed"),
        (close_cafeteria, "suspended", "closed"),
    ],
)
def test_allowed(world: World, action: Action, before: str, after: str) -> None:
    cafeteria = action(cafeteria_id=put(world, before))
    stored = Cafeteria.objects.get(pk=cafeteria.pk)
    assert (cafeteria.status, cafeteria.revision) == (stored.status, stored.revision) == (after, world.a.ref.revision + 1)


@pytest.mark.parametrize(
    ("action", "before"),
    [
        (suspend_cafeteria, "suspended"),
        (suspend_cafeteria, "closed"),
        (resume_cafeteria, "open"),
        (resume_cafeteria, "closed"),
        (close_cafeteria, "closed"),
    ],
)
def test_not_allowed(world: World, action: Action, before: str) -> None:
    with pytest.raises(InvalidLifecycle) as caught:
        action(cafeteria_id=put(world, before))
    assert caught.value.status == 409
    assert Cafeteria.objects.get(pk=world.a.ref.id).revision == world.a.ref.revision


@pytest.mark.parametrize("action", [suspend_cafeteria, resume_cafeteria, close_cafeteria, update_cafeteria, touch_cafeteria])
def test_one_that_does_not_exist(db: None, action: Action) -> None:
    with pytest.raises(CafeteriaNotFound):
        action(cafeteria_id=10**12)


def test_the_neighbour_is_not_touched(world: World) -> None:
    before = ref_by_id(world.b.ref.id)
    suspend_cafeteria(cafeteria_id=world.a.ref.id)
    update_cafeteria(cafeteria_id=world.a.ref.id, name="Otra")
    close_cafeteria(cafeteria_id=world.a.ref.id)
    assert ref_by_id(world.b.ref.id) == before


def test_every_reference_from_before_a_change_is_stale(world: World) -> None:
    update_cafeteria(cafeteria_id=world.a.ref.id, name="Otra")
    with pytest.raises(StaleTenant), tenant_scope(world.a.ref):
        pass


def test_details_are_changed_alone(world: World) -> None:
    changes: dict[str, Any] = {"name": "Otra", "description": "x", "address": "y", "timezone": "America/Lima", "language": "en"}
    update_cafeteria(cafeteria_id=world.a.ref.id, **changes, accepts_orders=False)
    stored = Cafeteria.objects.get(pk=world.a.ref.id)
    assert {name: getattr(stored, name) for name in changes} == changes
    assert (stored.accepts_orders, stored.slug, stored.status) == (False, world.a.ref.slug, "open")


@pytest.mark.parametrize(
    "change", [{"timezone": "Mars/Base"}, {"currency": "USD"}, {"name": ""}, {"accepts_orders": "yes"}, {"language": "fr"}]
)
def test_details_that_cannot_be(world: World, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidDetails):
        update_cafeteria(cafeteria_id=world.a.ref.id, **change)


@pytest.mark.parametrize("field", ["slug", "status", "owner_id", "schema_name", "generation", "schema_head"])
def test_what_no_update_may_touch(world: World, field: str) -> None:
    with pytest.raises(TypeError):
        update_cafeteria(cafeteria_id=world.a.ref.id, **{field: "x"})


def test_a_closed_one_is_not_changed(world: World) -> None:
    with pytest.raises(CafeteriaNotFound):
        update_cafeteria(cafeteria_id=put(world, "closed"), name="Otra")


def test_the_currency_changes_until_the_first_order(world: World) -> None:
    update_cafeteria(cafeteria_id=world.a.ref.id, currency="CLP")
    with tenant_scope(ref_by_id(world.a.ref.id)):
        now = timezone.now()
        Order.objects.create(
            business_date=now.date(), number=1, subtotal=1, total=1, currency="CLP", secret="s", created_at=now, updated_at=now
        )
    update_cafeteria(cafeteria_id=world.a.ref.id, currency="CLP", name="Otra")  # the same one is no change
    with pytest.raises(CurrencyInUse):
        update_cafeteria(cafeteria_id=world.a.ref.id, currency="ARS")
    update_cafeteria(cafeteria_id=world.b.ref.id, currency="CLP")  # the neighbour's orders are its own


def schemas(ref: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname = %s", [ref.schema_name])
        return int(cursor.fetchone()[0])


class TestDroppingAClosedOne:
    def test_closing_keeps_the_data_and_plans_the_drop(self, world: World) -> None:
        cafeteria = close_cafeteria(cafeteria_id=world.a.ref.id)
        job = Job.objects.get(kind="tenants.jobs.drop_closed_cafeteria")
        assert job.cafeteria_uuid == world.a.ref.uuid
        assert cafeteria.closed_at is not None
        assert job.run_after == cafeteria.closed_at + timedelta(days=30)
        assert schemas(world.a.ref) == 1

    def test_it_waits_for_its_time(self, world: World) -> None:
        close_cafeteria(cafeteria_id=world.a.ref.id)
        assert drop_closed_cafeteria(cafeteria_id=world.a.ref.id) is False
        assert schemas(world.a.ref) == 1

    @pytest.mark.parametrize("status", ["open", "suspended"])
    def test_it_never_drops_one_that_is_not_closed(self, world: World, status: str) -> None:
        put(world, status)
        Cafeteria.objects.filter(pk=world.a.ref.id).update(closed_at=timezone.now() - timedelta(days=400))
        assert drop_closed_cafeteria(cafeteria_id=world.a.ref.id) is False
        assert schemas(world.a.ref) == 1

    def test_then_the_schema_goes_and_the_row_stays(self, committed_world: World) -> None:
        close_cafeteria(cafeteria_id=committed_world.a.ref.id)
        Cafeteria.objects.filter(pk=committed_world.a.ref.id).update(closed_at=timezone.now() - timedelta(days=31))
        for _ in range(2):  # a job may run twice
            assert drop_closed_cafeteria(cafeteria_id=committed_world.a.ref.id) is True
            assert (schemas(committed_world.a.ref), schemas(committed_world.b.ref)) == (0, 1)
        assert Cafeteria.objects.get(pk=committed_world.a.ref.id).schema_head == ""
        Job.objects.filter(cafeteria_uuid=committed_world.a.ref.uuid).delete()


def test_the_directory_has_the_open_ones_by_name(world: World) -> None:
    Cafeteria.objects.filter(pk=world.a.ref.id).update(name="Zeta")
    Cafeteria.objects.filter(pk=world.b.ref.id).update(name="Alfa")
    ours = {world.a.ref.id, world.b.ref.id}
    assert [cafeteria.pk for cafeteria in open_cafeterias() if cafeteria.pk in ours] == [world.b.ref.id, world.a.ref.id]
    suspend_cafeteria(cafeteria_id=world.b.ref.id)
    assert [cafeteria.pk for cafeteria in open_cafeterias() if cafeteria.pk in ours] == [world.a.ref.id]
    assert [cafeteria.pk for cafeteria in cafeterias_of(world.owner_b)] == [world.b.ref.id]
    close_cafeteria(cafeteria_id=world.b.ref.id)
    assert list(cafeterias_of(world.owner_b)) == []


def test_references_by_all_their_names(world: World) -> None:
    ref = world.a.ref
    assert ref_by_id(ref.id) == ref_by_slug(ref.slug) == ref_by_uuid(ref.uuid) == ref
    assert routing.resolve(f"{ref.slug}.localhost") == ref
    with pytest.raises(CafeteriaNotFound):
        ref_by_slug("nobody")
