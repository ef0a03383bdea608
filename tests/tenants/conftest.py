import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tenants import routing
from tests.world import World, build_world, drop_world, unique_slugs

# Debian's, not Python's: without it the tests of pooling are left out, and the report says so.
collect_ignore = [] if shutil.which("pgbouncer") else ["test_pooler.py"]


def pytest_report_header() -> list[str]:
    return ["PgBouncer is not installed: tests/tenants/test_pooler.py is left out"] if collect_ignore else []


@pytest.fixture(scope="module")
def lasting_world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """Two committed cafeterias, the same for all tests of a module: for tests that change nothing, or undo it."""
    with django_db_blocker.unblock():
        world = build_world(*unique_slugs())
        try:
            yield world
        finally:
            drop_world(world)


@pytest.fixture(autouse=True)
def _fresh_routing() -> Iterator[None]:
    routing.forget_all()
    yield
    routing.forget_all()
