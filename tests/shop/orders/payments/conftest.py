import pytest

from tests.emulator.process import Emulator
from tests.payments.till import Till, open_till
from tests.world import World


@pytest.fixture
def till(world: World, emulator: Emulator) -> Till:
    return open_till(world.a, emulator)
