import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from core.alerts.models import Alert
from ops.archive.folder import Folder
from ops.archive.keeping import Keeper
from ops.archive.moments import folder_of_settings
from ops.archive.source import Source, source_of_settings
from tests.processes import committed_queue, wait_for
from tests.world import Place, World


@pytest.fixture
def archive(committed_world: World, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    """Of the tests' own server, kept as `manage.py archive` keeps it, with a first base backup in it."""
    settings.ARCHIVE_FOLDER, settings.BACKUP_FOLDER = tmp_path / "archive", tmp_path / "backups"
    settings.ARCHIVE_SLOT = f"test_{secrets.token_hex(4)}"
    for name in ("keeping.TICK_SECONDS", "keeping.BASE_SECONDS", "receiving.LOOK_SECONDS"):
        monkeypatch.setattr(f"ops.archive.{name}", 0.1)
    keeper = Keeper(folder_of_settings(), source_of_settings())
    thread = threading.Thread(target=keeper.run)
    thread.start()
    try:
        wait_for(keeper.folder.cards, seconds=60)
        yield keeper.folder
    finally:
        keeper.stopping.set()
        thread.join()
        with keeper.source.connected() as cursor:
            query = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s"
            cursor.execute(query, [settings.ARCHIVE_SLOT])
        Alert.objects.filter(kind__startswith="archive.").delete()


@pytest.fixture
def place(committed_world: World, archive: Folder) -> Iterator[Place]:
    with committed_queue():
        yield committed_world.a


@pytest.fixture
def source(archive: Folder) -> Source:
    return source_of_settings()
