"""Cafeterias that sell online."""

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from payments.ledger.models import Payment
from payments.sellers.models import Seller
from tests.emulator.process import Emulator
from tests.payments.till import Till, open_till
from tests.processes import committed_queue
from tests.world import World


@pytest.fixture
def till(world: World, emulator: Emulator) -> Till:
    """The first cafeteria with an account at Mercado Pago. Rolled back."""
    return open_till(world.a, emulator)


@pytest.fixture
def committed_till(committed_world: World, emulator: Emulator, django_db_blocker: DjangoDbBlocker) -> Iterator[Till]:
    """One whose changes other threads see, while no money has moved yet. Nobody watches its payments afterwards."""
    with django_db_blocker.unblock(), committed_queue():
        till = open_till(committed_world.a, emulator)
        yield till
        Payment.objects.filter(cafeteria_uuid=till.uuid).delete()
        Seller.objects.filter(cafeteria_uuid=till.uuid).delete()
