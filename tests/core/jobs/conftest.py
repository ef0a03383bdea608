from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from tests.processes import committed_queue


@pytest.fixture
def committed_jobs(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """An empty queue whose changes are committed, for threads and processes. Nothing else of the database is touched."""
    with django_db_blocker.unblock(), committed_queue():
        yield
