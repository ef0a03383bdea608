"""A server that forbids its archive: whoever asks for a moment is told what to change there, not only that there is nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from django.utils import translation
from psycopg2 import sql
from psycopg2.extensions import make_dsn
from pytest_django.fixtures import Settings

from ops.archive.errors import ArchiveNotPossible
from ops.archive.source import source_of_settings
from ops.backups.models import Backup
from ops.console.targets import moments_of_return
from ops.restores.actions import start_preview, start_restore
from ops.restores.models import Restore
from tests.world import World


@pytest.fixture
def weak(committed_world: World, settings: Settings, tmp_path: Path) -> Iterator[str]:
    """The archive, which is not there, would be kept by this role, which may not replicate."""
    settings.ARCHIVE_FOLDER = tmp_path / "archive"
    role, strong = f"weak_{uuid4().hex[:8]}", source_of_settings()
    with strong.connected() as cursor:
        cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    settings.ARCHIVE_DATABASE_URL = make_dsn(**{**strong._parameters, "user": role})
    yield role
    with strong.connected() as cursor:
        cursor.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_whoever_asks_for_a_moment_is_told_what_to_change(weak: str, committed_world: World) -> None:
    for start in (start_restore, start_preview):
        with pytest.raises(ArchiveNotPossible, match=f"The role {weak} may not replicate: ALTER ROLE {weak} REPLICATION") as refused:
            start(cafeteria_uuid=committed_world.a.ref.uuid, at=datetime.now(UTC))
        with translation.override("es"):
            told = f"El rol {weak} no tiene permiso para replicar: ALTER ROLE {weak} REPLICATION, como superusuario."
            assert refused.value.translated() == f"PostgreSQL no permite que se guarde su archivo: {told}"
    assert not Backup.objects.filter(cafeteria_uuid=committed_world.a.ref.uuid).exists()
    assert not Restore.objects.filter(cafeteria_uuid=committed_world.a.ref.uuid).exists()


def test_the_console_says_it_before_a_moment_is_typed(weak: str) -> None:
    for language, words in {"en": f"The role {weak} may not replicate", "es": f"El rol {weak} no tiene permiso"}.items():
        with translation.override(language):
            found = moments_of_return()
        assert (found.available, words in str(found.why_not)) == (False, True)
