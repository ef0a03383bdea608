"""The emulator's fixtures are everybody's by now (tests/conftest.py); their names are for who still imports them from here."""

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from core.alerts.models import Alert
from payments.gateway import transport
from tests.conftest import _running, emulator
from tests.emulator.process import Emulator
from tests.payments.till import Till, open_till
from tests.processes import committed_queue
from tests.world import World

__all__ = ["_running", "emulator"]


@pytest.fixture
def till(world: World, emulator: Emulator) -> Till:
    """A connected cafeteria that sells. Rolled back."""
    return open_till(world.a, emulator)


@pytest.fixture
def committed_till(committed_world: World, emulator: Emulator, django_db_blocker: DjangoDbBlocker) -> Iterator[Till]:
    """The same, whose changes are committed: for threads and processes. Dropped afterwards."""
    with django_db_blocker.unblock(), committed_queue():
        yield open_till(committed_world.a, emulator)
        Alert.objects.filter(cafeteria_uuid=None, kind="payments.bad_signature").delete()  # The rest goes with the cafeterias.


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow one another at once."""
    monkeypatch.setattr(transport, "sleep", lambda _seconds: None)
