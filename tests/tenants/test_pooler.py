"""Two clients in turn over one pooled connection: PgBouncer in transaction mode, with a pool of one, in front of the real database."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.db import DatabaseError, InterfaceError, ProgrammingError, connection, connections, transaction

from shop.menu.models import Category, Product
from tenants.errors import NoTenantScope
from tenants.scope import current_tenant, tenant_scope
from tests.pooler import PORT, running_pooler
from tests.world import Place, World

TRANSACTIONS = 10_000


@pytest.fixture(scope="module")
def pooler(lasting_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a running PgBouncer's socket."""
    with running_pooler(Path(short_folder(tmp_path_factory))) as folder:
        yield folder


def short_folder(factory: pytest.TempPathFactory) -> Path:
    folder = factory.mktemp("pool")
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o055)
    return folder


@contextmanager
def pooled_connection(folder: Path) -> Iterator[None]:
    """This thread's `connection` goes through the pooler."""
    wrapper = connections.create_connection("default")
    wrapper.settings_dict = {**wrapper.settings_dict, "HOST": str(folder), "PORT": str(PORT), "USER": "postgres"}
    connections["default"] = wrapper  # of this thread
    try:
        yield
    finally:
        wrapper.close()


def look_around(place: Place) -> list[str]:
    """What can be seen, which must all be the place's own."""
    seen = [Category.objects.get().name, *Product.objects.values_list("description", flat=True)]
    seen += [product.description for product in Product.objects.order_by("id").iterator(chunk_size=1)]
    return [text for text in seen if place.canary not in text]


def ask_once(place: Place) -> list[str]:
    with tenant_scope(place.ref), connection.cursor() as cursor:
        cursor.execute("SELECT name FROM shop_category")
        return [text for (text,) in cursor.fetchall() if place.canary not in text]


def look_and_iterate(place: Place) -> list[str]:
    with tenant_scope(place.ref):
        return look_around(place)


def with_savepoints(place: Place) -> list[str]:
    with tenant_scope(place.ref):
        try:
            with transaction.atomic():
                Category.objects.update(name="lost")
                connection.cursor().execute("SELECT 1/0")
        except DatabaseError:
            pass
        with tenant_scope(place.ref):
            return look_around(place)


def with_an_error(place: Place) -> list[str]:
    try:
        with tenant_scope(place.ref):
            Category.objects.update(name="lost")
            connection.cursor().execute("SELECT nothing_like_it")
    except ProgrammingError:
        return []
    return ["the error was swallowed"]


def inside_a_wider_transaction(place: Place) -> list[str]:
    with transaction.atomic():
        with tenant_scope(place.ref):
            wrong = look_around(place)
        try:
            with transaction.atomic():
                return [*wrong, Category.objects.get().name]
        except ProgrammingError:
            return wrong


def outside(place: Place) -> list[str]:
    with suppress(NoTenantScope):
        return [f"a scope of {current_tenant().slug}"]
    try:
        return [Category.objects.get().name]
    except ProgrammingError:
        return []


def killed(place: Place) -> list[str]:
    try:
        with tenant_scope(place.ref):
            Category.objects.update(name="lost")
            connection.cursor().execute("SELECT pg_terminate_backend(pg_backend_pid())")
    except (DatabaseError, InterfaceError):
        connection.close()
        return []
    return ["the backend survived"]


STEPS: tuple[Callable[[Place], list[str]], ...] = (
    ask_once,
    look_and_iterate,
    with_savepoints,
    with_an_error,
    inside_a_wider_transaction,
    outside,
    killed,
)
WEIGHTS = (69.7, 6, 8, 8, 4, 4, 0.3)


def test_ten_thousand_interleaved_transactions_never_cross(lasting_world: World, pooler: Path) -> None:
    wrong: list[str] = []
    done: Counter[str] = Counter()
    backends: set[int] = set()

    def client(place: Place, seed: int) -> None:
        dice = random.Random(seed)
        with pooled_connection(pooler):
            for number in range(TRANSACTIONS // 2):
                [step] = dice.choices(STEPS, WEIGHTS)
                try:
                    wrong.extend(f"{step.__name__}: {text}" for text in step(place))
                except (DatabaseError, InterfaceError) as error:
                    # The other client has killed the backend that both share, or the pooler has just noticed.
                    connection.close()
                    done[f"lost: {type(error).__name__}"] += 1
                done[step.__name__] += 1
                if number % 100 == 0:
                    backends.add(backend_of(place))

    threads = [threading.Thread(target=client, args=(place, seed)) for seed, place in enumerate((lasting_world.a, lasting_world.b))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert wrong == []
    lost = sum(count for name, count in done.items() if name.startswith("lost"))
    assert sum(done.values()) - lost == TRANSACTIONS, done
    assert lost < TRANSACTIONS * 0.02, done
    assert all(done[step.__name__] > 10 for step in STEPS), done
    assert len(backends) > 2  # they were killed and replaced


def backend_of(place: Place) -> int:
    try:
        with tenant_scope(place.ref), connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            row = cursor.fetchone()
    except (DatabaseError, InterfaceError):
        connection.close()
        return 0
    assert row is not None
    return int(row[0])


def test_both_clients_share_one_backend(lasting_world: World, pooler: Path) -> None:
    seen: list[int] = []

    def client(place: Place) -> None:
        with pooled_connection(pooler):
            seen.extend(backend_of(place) for _ in range(20))

    threads = [threading.Thread(target=client, args=(place,)) for place in (lasting_world.a, lasting_world.b)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(seen) == 40
    assert len(set(seen)) == 1


def test_only_a_direct_connection_prepares_statements(lasting_world: World, pooler: Path) -> None:
    """Behind the pooler the next transaction may meet another backend, which would not know them, or know another client's."""
    seen: dict[str, tuple[set[str] | None, list[str]]] = {}

    def visit(how: str) -> None:
        wrong = [text for _ in range(2) for place in (lasting_world.a, lasting_world.b) for text in ask_once(place)]
        seen[how] = (connections["default"].prepared, wrong)  # type: ignore[attr-defined]

    def pooled() -> None:
        with pooled_connection(pooler):
            visit("pooled")

    def direct() -> None:
        try:
            visit("direct")
        finally:
            connections["default"].close()

    for client in (pooled, direct):
        thread = threading.Thread(target=client)
        thread.start()
        thread.join(60)
    assert seen == {"pooled": (None, []), "direct": ({"enter_scope"}, [])}
