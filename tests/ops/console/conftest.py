from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from ops.restores.models import Clone
from tenants.models import Cafeteria
from tenants.provisioning.schema import drop_schema
from tests.accounts.test_pages import signed_in
from tests.ops.console.desk import Desk
from tests.processes import committed_queue
from tests.world import World


@pytest.fixture
def desk(world: World, settings: Settings, tmp_path: Path) -> Desk:
    """All of it is rolled back. Nothing can be backed up: that needs what others see."""
    settings.BACKUP_FOLDER, settings.FAIR_SHARE_PERCENT = tmp_path / "backups", 100_000
    return Desk(world=world, admin=signed_in(world, world.admin))


@pytest.fixture
def real_desk(committed_world: World, settings: Settings, tmp_path: Path) -> Iterator[Desk]:
    """Committed, with backups and restores that happen."""
    settings.BACKUP_FOLDER, settings.FAIR_SHARE_PERCENT = tmp_path / "backups", 100_000
    with committed_queue():
        yield Desk(world=committed_world, admin=signed_in(committed_world, committed_world.admin))
    for copy in Cafeteria.objects.filter(copy_of=committed_world.a.ref.uuid):
        drop_schema(copy.schema_name)
        Cafeteria.objects.filter(pk=copy.pk).delete()
    Clone.objects.filter(cafeteria_uuid=committed_world.a.ref.uuid).delete()
