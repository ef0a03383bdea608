from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from payments.gateway import transport
from tests.billing.desk import Desk, open_desk
from tests.emulator.process import Emulator, running_emulator
from tests.payments.application import point_to
from tests.world import World


@pytest.fixture(scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running_emulator(tmp_path_factory.mktemp("mercadopago")) as emulator:
        yield emulator


@pytest.fixture
def emulator(_running: Emulator, settings: Settings) -> Emulator:
    """One that has just been emptied, and that the product talks to."""
    _running.control("DELETE", "/_emu/all")
    point_to(_running, settings)
    return _running


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the attempts at a call."""
    monkeypatch.setattr(transport, "sleep", lambda _seconds: None)


@pytest.fixture
def desk(world: World, emulator: Emulator, settings: Settings) -> Desk:
    """The account of luna, whose trial has just begun; who does not pay is suspended."""
    settings.BILLING_ENFORCED = True
    return open_desk(world, emulator)
