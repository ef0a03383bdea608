from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from core.alerts.models import Alert
from ops.backups.models import Backup
from ops.backups.offsite.models import OffsiteErasure, OffsiteStanding
from tests.ops.backups.offsite.storage import ACCESS_KEY, SECRET_KEY, Storage, running_storage
from tests.processes import committed_queue
from tests.world import Place, World


@pytest.fixture(scope="session")
def _running_storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    with running_storage(tmp_path_factory.mktemp("seaweedfs")) as storage:
        yield storage


@pytest.fixture
def storage(_running_storage: Storage, settings: Settings, tmp_path: Path) -> Storage:
    """An empty one, that the settings lead to."""
    _running_storage.empty()
    settings.BACKUP_FOLDER = tmp_path / "backups"
    settings.S3_ENDPOINT, settings.S3_REGION = _running_storage.url, "us-east-1"
    settings.S3_BUCKET, settings.S3_PREFIX = "backups", "comanda/one"
    settings.S3_ACCESS_KEY, settings.S3_SECRET_KEY = ACCESS_KEY, SECRET_KEY
    return _running_storage


@pytest.fixture
def place(committed_world: World, storage: Storage) -> Iterator[Place]:
    """Alone with its backups: rows of here are public, and committed."""
    _forget()
    with committed_queue():
        yield committed_world.a
    _forget()


def _forget() -> None:
    for model in (Backup, OffsiteErasure, OffsiteStanding):
        model._default_manager.all().delete()
    Alert.objects.filter(kind__startswith="backups.").delete()
