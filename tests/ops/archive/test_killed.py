"""Killed with SIGKILL anywhere: nothing half passes for whole, the next one works, and nothing is left after the sweep."""

import time
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from psycopg2 import sql

from ops.archive.bases import take_base
from ops.archive.errors import ArchiveNotPossible
from ops.archive.folder import Folder
from ops.archive.moments import take_moment
from ops.archive.scratch import sweep_scratch
from ops.archive.source import Source
from ops.backups.models import Backup
from tests.ops.archive.deaths import running_below
from tests.ops.archive.test_moments import contents, is_swept, now, write
from tests.processes import UNMEASURED, manage, wait_for
from tests.world import Place


def is_swept_after_a_sweep(archive: Folder) -> bool:
    sweep_scratch(archive)
    return not list(archive.scratch.iterdir())


def test_a_recovery_is_killed(place: Place, archive: Folder, source: Source, tmp_path: Path) -> None:
    write(place, 1)
    at = now(source)
    env = {"ARCHIVE_FOLDER": str(archive.root), "BACKUP_FOLDER": str(tmp_path / "backups"), "ARCHIVE_SLOT": source.slot}
    command = ("restore", place.ref.slug, "--at", at.isoformat(), "--preview")
    for seconds in (0.0, 0.4, 0.9):  # after the scratch folder is there
        with manage(*command, data_folder=tmp_path, **UNMEASURED, **env) as process:
            wait_for(lambda: list(archive.scratch.iterdir()) or process.poll() is not None, seconds=60)
            time.sleep(seconds)
        wait_for(lambda: is_swept_after_a_sweep(archive))  # A child of the dead one may still be writing.
        assert running_below(archive.scratch) == []
    Backup.objects.filter(cafeteria_uuid=place.ref.uuid).delete()
    assert contents(take_moment(cafeteria_uuid=place.ref.uuid, at=at))
    assert is_swept(archive)


def test_a_base_is_killed(place: Place, archive: Folder, source: Source, tmp_path: Path) -> None:
    before = [card.label for card in archive.cards()]
    env = {"ARCHIVE_FOLDER": str(archive.root), "ARCHIVE_SLOT": source.slot}
    with manage("archive_base", "--full", data_folder=tmp_path, **UNMEASURED, **env) as process:
        wait_for(lambda: list((archive.root / "part").iterdir()) or process.poll() is not None, seconds=60)
    if process.returncode < 0:
        assert [card.label for card in archive.cards()] == before
    assert take_base(archive, source, full=True).label in {card.label for card in archive.cards()}
    assert list((archive.root / "part").iterdir()) == []


def test_a_role_that_may_not_replicate_is_told_what_to_do(place: Place, source: Source, archive: Folder) -> None:
    role = f"weak_{uuid4().hex[:8]}"
    with source.connected() as cursor:
        cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    try:
        weak = Source(psycopg2.extensions.make_dsn(**{**source._parameters, "user": role}))
        with pytest.raises(ArchiveNotPossible, match=f"ALTER ROLE {role} REPLICATION"):
            take_base(archive, weak, full=True)
    finally:
        with source.connected() as cursor:
            cursor.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
