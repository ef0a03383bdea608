"""A few of the deaths that `python -m tests.bench archive_deaths` goes through."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from ops.archive.moments import folder_of_settings
from ops.archive.source import source_of_settings
from tests.ops.archive.deaths import ArchiveDeaths
from tests.processes import UNMEASURED, committed_queue, manage
from tests.world import World


@pytest.fixture
def deaths(committed_world: World, settings: Settings, tmp_path: Path) -> Iterator[ArchiveDeaths]:
    settings.ARCHIVE_FOLDER, settings.BACKUP_FOLDER = tmp_path / "archive", tmp_path / "backups"
    settings.ARCHIVE_SLOT = f"test_{secrets.token_hex(4)}"
    source = source_of_settings()
    env = {"ARCHIVE_FOLDER": str(settings.ARCHIVE_FOLDER), "ARCHIVE_SLOT": settings.ARCHIVE_SLOT}
    with committed_queue():
        yield ArchiveDeaths(
            place=committed_world.a,
            folder=folder_of_settings(),
            source=source,
            keeper=lambda: manage("archive", data_folder=tmp_path, **UNMEASURED, **env),
        )
    with source.connected() as cursor:
        query = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s"
        cursor.execute(query, [settings.ARCHIVE_SLOT])


def test_dead_ones_leave_nothing(deaths: ArchiveDeaths) -> None:
    deaths.run_some()
    assert deaths.problems == []
    assert deaths.counts == {"base": 1, "scratch servers": 1, "server": 1, "recovery without room": 1, "program": 1}
