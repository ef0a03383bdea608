from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from tests.ops.backups.offsite.storage import ACCESS_KEY, SECRET_KEY, Storage, running_storage


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
