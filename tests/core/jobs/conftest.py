from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker, Settings

from tests.processes import committed_queue


@pytest.fixture
def committed_jobs(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """An empty queue whose changes are committed, for threads and processes. Nothing else of the database is touched."""
    with django_db_blocker.unblock(), committed_queue():
        yield


@pytest.fixture(autouse=True)
def _no_periodic_jobs(settings: Settings) -> None:
    """The platform's own come by the hour: what a tick does in these tests must not depend on the time of day."""
    settings.PERIODIC_JOBS = {}
