"""The base world of the tests: a cafeteria with its people, and a neighbour with the same primary keys and its own."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import Client
from django.test.utils import setup_databases
from pytest_django import Settings

from tests.emulator.process import Emulator, SharedEmulator
from tests.passwords import make_cheap
from tests.payments.application import point_to
from tests.world import World, build_world, drop_world, unique_slugs

# They ask a platform that serves: tests/deploy/test_stack.py runs them against the stack, `make smoke` against any other.
collect_ignore = ["smoke"]


def pytest_configure() -> None:
    # Pages in the tests name their assets plainly; tests in a browser collect them and start the real server.
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    make_cheap()
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: pytest.FixtureRequest) -> None:
    """The public schema, and the two cafeterias, once a session; each test's own changes are rolled back.

    In place of pytest-django's, which makes no database when no test at hand has its mark. The server goes with the session.
    """
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        setup_databases(verbosity=0, interactive=False, aliases=["default"])  # type: ignore[arg-type]
        _Worlds.base = build_world("luna", "sol")


class _Worlds:
    base: World


@pytest.fixture
def world(db: None) -> World:
    """Two cafeterias, luna and sol: the same ids, other people, other canaries. Rolled back after the test."""
    return _Worlds.base


@pytest.fixture
def committed_world(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> Iterator[World]:
    """Two cafeterias of this test alone, whose changes are committed: for threads, processes and crashes. Dropped afterwards."""
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        world = build_world(*unique_slugs())
        try:
            yield world
        finally:
            drop_world(world)


@pytest.fixture(scope="module")
def module_world(django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> Iterator[World]:
    """As committed_world, one for all tests of a module."""
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        world = build_world(*unique_slugs())
        yield world
        drop_world(world)


@pytest.fixture(scope="session")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedEmulator]:
    shared = SharedEmulator(lambda: tmp_path_factory.mktemp("mercadopago"))
    yield shared
    shared.close()


@pytest.fixture
def emulator(_running: SharedEmulator, settings: Settings) -> Emulator:
    """The Mercado Pago emulator's process: just emptied, with a clock that is right, and the product's own settings lead to it."""
    emulator = _running.emptied()
    point_to(emulator, settings)
    return emulator


@pytest.fixture
def luna(world: World) -> Client:
    return world.a.client()


@pytest.fixture
def sol(world: World) -> Client:
    return world.b.client()
