"""Wall 2: a cafeteria's rows can be reached in its own scope and nowhere else."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, ProgrammingError, connection, transaction
from django.http import StreamingHttpResponse
from django.test import RequestFactory
from django_tenants.utils import schema_context, tenant_context

from shop.menu.models import Category, OptionGroup, Product
from shop.models import __all__ as shop_models
from tenants import routing
from tenants.actions import close_cafeteria, suspend_cafeteria
from tenants.base import TenantModel, TenantQuerySet
from tenants.errors import CafeteriaNotFound, CafeteriaSuspended, CrossedTenantScope, NoTenantScope, StaleTenant
from tenants.models import Cafeteria
from tenants.queries import ref_by_id
from tenants.refs import TenantRef
from tenants.scope import current_tenant, current_tenant_or_none, request_scope, tenant_scope
from tests.world import World

type Step = Callable[[World], object]


def whoami(ref: TenantRef) -> str:
    with tenant_scope(ref):
        return Category.objects.get().name


def in_thread(work: Callable[[], object]) -> list[object]:
    """What it returned or raised, in a thread of its own."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
            outcome.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    return outcome


def test_each_scope_sees_its_own_rows_under_the_same_ids(lasting_world: World) -> None:
    a, b = lasting_world.a, lasting_world.b
    with tenant_scope(a.ref):
        assert Product.objects.get(pk=a.coffee).description == a.canary
    with tenant_scope(b.ref):
        assert Product.objects.get(pk=a.coffee).description == b.canary


def test_without_a_scope_every_table_of_a_cafeteria_is_unknown(lasting_world: World) -> None:
    for model in TenantModel.__subclasses__():
        if not model._meta.abstract:
            with pytest.raises(ProgrammingError, match="does not exist"):
                model._default_manager.count()


def test_current_tenant_is_known_in_a_scope_only(lasting_world: World) -> None:
    with pytest.raises(NoTenantScope):
        current_tenant()
    with tenant_scope(lasting_world.a.ref) as ref:
        assert current_tenant() == ref == lasting_world.a.ref
    assert current_tenant_or_none() is None


def test_the_session_keeps_its_own_path(lasting_world: World) -> None:
    def path() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SHOW search_path")
            return str(cursor.fetchone())

    before = path()
    whoami(lasting_world.a.ref)
    assert path() == before
    with tenant_scope(lasting_world.a.ref), connection.cursor() as cursor:
        assert "shop_product" in connection.introspection.table_names(cursor)
        connection.introspection.get_constraints(cursor, "shop_product")
    assert path() == before
    assert "shop_product" not in connection.introspection.table_names()
    assert path() == before


@pytest.mark.parametrize("inside", [True, False], ids=["in another scope", "in no scope"])
@pytest.mark.parametrize(
    "use",
    [
        list,
        len,
        bool,
        lambda products: products.count(),
        lambda products: products.exists(),
        lambda products: products.first(),
        lambda products: products.filter(pk=1).get(),
        lambda products: products.update(name="x"),
        lambda products: products.delete(),
        lambda products: products.in_bulk(),
        lambda products: products.create(name="x", price=1, category_id=1),
        lambda products: list(products.values_list("name")),
        lambda products: next(products.iterator()),
        lambda products: products.aggregate(),
        lambda products: products.explain(),
        lambda products: products.bulk_create([Product(name="x", price=1, category_id=1)]),
        lambda products: products.select_for_update().get_or_create(name="x"),
    ],
)
def test_a_lazy_queryset_works_in_its_own_scope_only(lasting_world: World, use: Callable[[Any], object], inside: bool) -> None:
    with tenant_scope(lasting_world.a.ref):
        products = Product.objects.all()
    if not inside:
        with pytest.raises(CrossedTenantScope):
            use(products)
        return
    with tenant_scope(lasting_world.b.ref), pytest.raises(CrossedTenantScope):
        use(products)


def test_a_queryset_made_before_any_scope_is_bound_by_its_first_clone(lasting_world: World) -> None:
    base = Product.objects.all()
    with tenant_scope(lasting_world.a.ref):
        products = base.order_by("id")
        assert products[0].description == lasting_world.a.canary
    with tenant_scope(lasting_world.b.ref), pytest.raises(CrossedTenantScope):
        products.count()


def change_name(world: World, product: Product) -> None:
    product.name = "changed"
    product.save()


@pytest.mark.parametrize(
    "use",
    [
        change_name,
        lambda world, product: product.save(update_fields=["name"]),
        lambda world, product: product.delete(),
        lambda world, product: product.refresh_from_db(),
        lambda world, product: product.category,
        lambda world, product: product.option_groups.count(),
        lambda world, product: list(product.option_groups.all()),
        lambda world, product: product.option_groups.create(name="x"),
        lambda world, product: OptionGroup.objects.create(product=product, name="x"),
        lambda world, product: Product.objects.bulk_update([product], ["name"]),
        lambda world, product: Product.objects.bulk_create([product]),
        lambda world, product: product.description,  # deferred
    ],
)
@pytest.mark.parametrize("inside", [True, False], ids=["in another scope", "in no scope"])
def test_a_row_works_in_its_own_scope_only(lasting_world: World, use: Callable[[World, Product], object], inside: bool) -> None:
    with tenant_scope(lasting_world.a.ref):
        product = Product.objects.defer("description").get(pk=lasting_world.a.latte)
    if not inside:
        with pytest.raises(CrossedTenantScope):
            use(lasting_world, product)
        return
    with tenant_scope(lasting_world.b.ref), pytest.raises(CrossedTenantScope):
        use(lasting_world, product)
    with tenant_scope(lasting_world.b.ref):
        assert Product.objects.get(pk=lasting_world.b.latte).name == f"Latte {lasting_world.b.canary}"


def test_a_related_manager_made_in_one_scope_does_not_work_in_another(lasting_world: World) -> None:
    with tenant_scope(lasting_world.a.ref):
        groups = Product.objects.get(pk=lasting_world.a.latte).option_groups
    with tenant_scope(lasting_world.b.ref), pytest.raises(CrossedTenantScope):
        groups.first()


def test_a_half_read_iterator_does_not_go_on_elsewhere(lasting_world: World) -> None:
    with tenant_scope(lasting_world.a.ref):
        rows = Product.objects.order_by("id").iterator()
        assert next(rows).description == lasting_world.a.canary
    with tenant_scope(lasting_world.b.ref), pytest.raises(CrossedTenantScope):
        next(rows)


def test_a_prefetch_reads_from_the_scope_of_its_rows(lasting_world: World) -> None:
    with tenant_scope(lasting_world.a.ref):
        products = Product.objects.prefetch_related("option_groups__choices").order_by("id")
        assert [len(product.option_groups.all()) for product in products] == [0, 0, 2]
    assert [group.name for group in products[2].option_groups.all()] == ["Tamaño", "Leche"]  # loaded before


def test_raw_queries_are_refused(lasting_world: World) -> None:
    with tenant_scope(lasting_world.a.ref), pytest.raises(TypeError, match="cursor"):
        Product.objects.raw("SELECT * FROM shop_product")


@pytest.mark.parametrize("model", [model for model in TenantModel.__subclasses__() if not model._meta.abstract])
def test_every_way_to_a_model_is_guarded(model: type[TenantModel]) -> None:
    assert isinstance(model._base_manager.get_queryset(), TenantQuerySet)
    assert isinstance(model._default_manager.get_queryset(), TenantQuerySet)


def test_all_models_of_the_shop_are_tenant_models() -> None:
    assert {model.__name__ for model in TenantModel.__subclasses__()} >= set(shop_models)


def test_a_new_thread_starts_outside(lasting_world: World) -> None:
    with tenant_scope(lasting_world.a.ref):
        products = Product.objects.all()
        [raised] = in_thread(Product.objects.count)
        assert isinstance(raised, ProgrammingError)
        [raised] = in_thread(lambda: list(products))
        assert isinstance(raised, CrossedTenantScope)
        [raised] = in_thread(current_tenant)
        assert isinstance(raised, NoTenantScope)


def test_two_threads_at_once_each_stay_in_their_own(lasting_world: World) -> None:
    wrong: list[str] = []
    together = threading.Barrier(2)

    def visit(place: Any, other: Any) -> None:
        together.wait(10)
        for _ in range(100):
            wrong.extend(name for name in [whoami(place.ref)] if place.canary not in name)
            with pytest.raises(ProgrammingError):
                Category.objects.count()
        connection.close()

    a, b = lasting_world.a, lasting_world.b
    threads = [threading.Thread(target=visit, args=pair) for pair in ((a, b), (b, a))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_on_commit_runs_outside_and_may_open_a_scope_of_its_own(lasting_world: World) -> None:
    seen: list[object] = []
    ref = lasting_world.a.ref

    def hook() -> None:
        seen.append(current_tenant_or_none())
        with pytest.raises(ProgrammingError):
            Product.objects.count()
        seen.append(whoami(ref))

    with tenant_scope(ref):
        transaction.on_commit(hook)
    assert seen == [None, f"Bebidas {lasting_world.a.canary}"]


def names_by_the_orm(products: Any) -> Iterator[str]:
    yield from (product.name for product in products)


def names_by_a_cursor(products: Any) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM shop_product")
        yield from (name for (name,) in cursor.fetchall())


@pytest.mark.parametrize(("lines", "raised"), [(names_by_the_orm, CrossedTenantScope), (names_by_a_cursor, ProgrammingError)])
def test_a_streaming_response_read_after_its_view_gets_nothing(
    lasting_world: World, lines: Callable[[Any], Iterator[str]], raised: type[Exception]
) -> None:
    with tenant_scope(lasting_world.a.ref):
        response = StreamingHttpResponse(lines(Product.objects.all()))
    with pytest.raises(raised):
        response.getvalue()


def test_a_killed_connection_ends_the_scope_and_the_next_one_is_clean(lasting_world: World) -> None:
    def change_and_die() -> None:
        Category.objects.update(name="lost")
        connection.cursor().execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(DatabaseError), tenant_scope(lasting_world.a.ref):
        change_and_die()
    assert current_tenant_or_none() is None
    with pytest.raises(ProgrammingError):
        Category.objects.count()
    assert lasting_world.b.canary in whoami(lasting_world.b.ref)
    assert lasting_world.a.canary in whoami(lasting_world.a.ref)


def test_a_connection_killed_from_outside_between_two_queries(lasting_world: World) -> None:
    def kill(pid: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    def carry_on_in_the_scope() -> None:
        with tenant_scope(lasting_world.a.ref), connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            pid = cursor.fetchone()[0]
            in_thread(lambda: kill(pid))
            with pytest.raises(OperationalError):
                Category.objects.count()
            Category.objects.count()

    with pytest.raises(InterfaceError):
        carry_on_in_the_scope()
    assert lasting_world.b.canary in whoami(lasting_world.b.ref)


def change_and_fail() -> None:
    Category.objects.update(name="lost")
    connection.cursor().execute("SELECT 1/0")


def test_a_savepoint_rolled_back_stays_home(lasting_world: World) -> None:
    with tenant_scope(lasting_world.a.ref):
        with pytest.raises(DatabaseError), transaction.atomic():
            change_and_fail()
        assert Category.objects.get().name == f"Bebidas {lasting_world.a.canary}"
        sid = transaction.savepoint_create()
        transaction.savepoint_rollback(sid)
        assert Category.objects.get().name == f"Bebidas {lasting_world.a.canary}"


def test_an_exception_rolls_back_and_leaves(lasting_world: World) -> None:
    with pytest.raises(DatabaseError), tenant_scope(lasting_world.a.ref):
        change_and_fail()
    assert current_tenant_or_none() is None
    assert whoami(lasting_world.a.ref) == f"Bebidas {lasting_world.a.canary}"


def test_its_own_scope_again_is_a_savepoint(lasting_world: World) -> None:
    with tenant_scope(lasting_world.a.ref):
        with pytest.raises(DatabaseError), tenant_scope(lasting_world.a.ref):
            change_and_fail()
        assert Category.objects.get().name == f"Bebidas {lasting_world.a.canary}"


def test_anothers_scope_inside_is_refused_and_the_outer_one_goes_on(lasting_world: World) -> None:
    with tenant_scope(lasting_world.a.ref):
        with pytest.raises(CrossedTenantScope), tenant_scope(lasting_world.b.ref):
            pass
        assert Category.objects.get().name == f"Bebidas {lasting_world.a.canary}"


@pytest.mark.parametrize("fails", [True, False])
def test_after_a_scope_the_wider_transaction_is_outside_again(lasting_world: World, fails: bool) -> None:
    with transaction.atomic():
        try:
            with tenant_scope(lasting_world.a.ref):
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        with pytest.raises(ProgrammingError), transaction.atomic():
            Category.objects.count()
        assert lasting_world.b.canary in whoami(lasting_world.b.ref)


@pytest.mark.parametrize("change", [{"generation": 99}, {"revision": 99}])
def test_a_stale_reference_is_refused(world: World, change: dict[str, int]) -> None:
    Cafeteria.objects.filter(pk=world.a.ref.id).update(**change)
    with pytest.raises(StaleTenant), tenant_scope(world.a.ref):
        pass
    with tenant_scope(ref_by_id(world.a.ref.id)):
        assert Category.objects.count() == 1


def test_a_row_from_before_a_restore_is_refused_after_it(world: World) -> None:
    with tenant_scope(world.a.ref):
        category = Category.objects.get()
    Cafeteria.objects.filter(pk=world.a.ref.id).update(generation=2)
    with tenant_scope(ref_by_id(world.a.ref.id)), pytest.raises(CrossedTenantScope):
        category.save()


def test_suspended_and_closed_ones_are_refused_unless_asked_for(world: World) -> None:
    suspend_cafeteria(cafeteria_id=world.a.ref.id)
    ref = ref_by_id(world.a.ref.id)
    with pytest.raises(CafeteriaSuspended), tenant_scope(ref):
        pass
    with tenant_scope(ref, also_suspended=True):
        assert Category.objects.count() == 1
    close_cafeteria(cafeteria_id=ref.id)
    ref = ref_by_id(ref.id)
    with pytest.raises(CafeteriaNotFound), tenant_scope(ref, also_suspended=True):
        pass
    with tenant_scope(ref, also_closed=True):
        assert Category.objects.count() == 1


def test_a_refused_scope_leaves_the_transaction_around_it_in_public(world: World) -> None:
    suspend_cafeteria(cafeteria_id=world.a.ref.id)
    with pytest.raises(CafeteriaSuspended), tenant_scope(ref_by_id(world.a.ref.id)):
        pass
    with pytest.raises(ProgrammingError), transaction.atomic():
        Category.objects.count()


def test_a_connection_that_has_visited_many_schemas_is_replaced(lasting_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its backend keeps the catalogue of each and never lets go: the fifth one would be for ever larger."""

    def backend(ref: TenantRef) -> object:
        with tenant_scope(ref):
            return connection.connection.info.backend_pid

    monkeypatch.setattr("tenants.backend.base.MOST_VISITED", 1)
    connection.close()
    first = [backend(lasting_world.a.ref) for _ in range(3)]
    assert len(set(first)) == 1
    assert backend(lasting_world.b.ref) == first[0]  # then it was one too many
    assert backend(lasting_world.b.ref) != first[0]
    with transaction.atomic():
        inside = [backend(ref) for ref in (lasting_world.a.ref, lasting_world.b.ref, lasting_world.a.ref)]
    assert len(set(inside)) == 1


class TestRequestScope:
    def request(self, world: World) -> Any:
        request: Any = RequestFactory().get("/", headers={"host": world.a.host})
        request.comanda_host = routing.normalise_host(world.a.host)
        request.tenant = routing.resolve(request.comanda_host)
        return request

    def test_a_change_elsewhere_is_noticed_at_once(self, world: World) -> None:
        request = self.request(world)
        Cafeteria.objects.filter(pk=world.a.ref.id).update(name="Renamed", revision=7)
        with request_scope(request) as ref:
            assert (ref.name, request.tenant.name) == ("Renamed", "Renamed")

    def test_closed_meanwhile_is_not_found(self, world: World) -> None:
        request = self.request(world)
        Cafeteria.objects.filter(pk=world.a.ref.id).update(status="closed", revision=7)
        with pytest.raises(CafeteriaNotFound), request_scope(request):
            pass

    def test_suspended_meanwhile_is_suspended(self, world: World) -> None:
        request = self.request(world)
        Cafeteria.objects.filter(pk=world.a.ref.id).update(status="suspended", revision=7)
        with pytest.raises(CafeteriaSuspended), request_scope(request):
            pass


class TestOtherWaysToSwitch:
    """django-tenants' own: each would change the connection's idea of the schema without the database's."""

    def cafeteria(self, world: World) -> Cafeteria:
        return Cafeteria.objects.get(pk=world.a.ref.id)

    def test_with_tenant(self, world: World) -> None:
        with pytest.raises(RuntimeError, match="tenant_scope"), self.cafeteria(world):
            pass

    def test_schema_context(self, world: World) -> None:
        with pytest.raises(RuntimeError, match="tenant_scope"), schema_context(world.a.ref.schema_name):
            pass

    def test_tenant_context(self, world: World) -> None:
        with pytest.raises(RuntimeError, match="tenant_scope"), tenant_context(self.cafeteria(world)):
            pass

    def test_activate(self, world: World) -> None:
        with pytest.raises(RuntimeError, match="tenant_scope"):
            self.cafeteria(world).activate()
