"""The Mercado Pago emulator as a process, which the product's own settings lead to."""

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from tests.emulator.process import Emulator, running_emulator
from tests.payments.application import point_to


@pytest.fixture(scope="package")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running_emulator(tmp_path_factory.mktemp("mercadopago")) as emulator:
        yield emulator


@pytest.fixture
def emulator(_running: Emulator, settings: Settings) -> Emulator:
    """One that has just been emptied, and that the product talks to."""
    _running.control("DELETE", "/_emu/all")
    point_to(_running, settings)
    return _running
