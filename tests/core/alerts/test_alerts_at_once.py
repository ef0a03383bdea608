import threading
from collections.abc import Iterator
from uuid import UUID

import pytest
from django.db import connections
from pytest_django import DjangoDbBlocker

from core.alerts.actions import raise_alert
from core.alerts.models import Alert

LUNA, REVIEW = UUID(int=1), "payments.review"


@pytest.fixture
def committed_alerts(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """An empty table whose changes are committed, for threads."""
    with django_db_blocker.unblock():
        Alert.objects.all().delete()
        yield
        Alert.objects.all().delete()


def test_many_at_once_are_one_that_has_counted_them_all(committed_alerts: None) -> None:
    gate, failures = threading.Barrier(6), []

    def work() -> None:
        try:
            gate.wait(60)
            for _ in range(5):
                raise_alert(kind=REVIEW, cafeteria_uuid=LUNA)
        except Exception as error:
            failures.append(error)
            raise
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert list(Alert.objects.values_list("kind", "cafeteria_uuid", "count")) == [(REVIEW, LUNA, 30)]
