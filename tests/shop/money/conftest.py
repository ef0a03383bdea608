from datetime import timedelta

import pytest
from django.utils import timezone

from payments.sellers.models import Seller
from tests.emulator.process import Emulator
from tests.payments.conftest import _running, emulator
from tests.payments.till import Till, open_till
from tests.world import World

__all__ = ["_running", "emulator"]


@pytest.fixture
def till(world: World, emulator: Emulator) -> Till:
    found = open_till(world.a, emulator)
    Seller.objects.update(connected_at=timezone.now() - timedelta(days=30))
    return found
