import pytest

from tests.emulator.process import Emulator
from tests.payments.conftest import _running, emulator
from tests.payments.till import Till, open_till
from tests.world import World

__all__ = ["_running", "emulator"]


@pytest.fixture
def till(world: World, emulator: Emulator) -> Till:
    return open_till(world.a, emulator)
