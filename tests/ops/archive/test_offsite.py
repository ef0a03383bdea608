"""The archive of which only the S3 is left."""

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from ops.archive.cluster import recover_cluster
from ops.archive.errors import ArchiveDamaged
from ops.archive.folder import Folder
from ops.archive.offsite import LOG_END, Offsite, Shipping, opened, sealed
from ops.archive.recovery import material
from ops.archive.source import Source
from ops.backups.bundles.keys import new_key
from ops.postgres.programs import run_program
from ops.postgres.servers import connect, start, stop
from tests.ops.archive.test_moments import write
from tests.ops.backups.offsite.conftest import _running_storage, storage  # noqa: F401 - fixtures
from tests.ops.backups.offsite.storage import Storage
from tests.world import Place


@pytest.fixture
def offsite(storage: Storage, place: Place, archive: Folder, source: Source, settings: Settings, tmp_path: Path) -> Offsite:  # noqa: F811
    """With a base and the log, up to the newest write."""
    settings.BACKUP_FOLDER = tmp_path / "backups"
    write(place, 7)
    position, _now = source.mark()
    while (source.positions().received or 0) < position:
        time.sleep(0.1)
    found = Offsite(source.system_identifier)
    shipping = Shipping(archive, found)
    assert shipping.ship_bases() == 1
    assert shipping.ship_log() > 0
    assert shipping.ship_log() == 0
    return found


def test_a_cluster_out_of_the_storage_alone(offsite: Offsite, place: Place, tmp_path: Path, source: Source) -> None:
    elsewhere = Folder(tmp_path / "elsewhere")
    card, last = recover_cluster(material(elsewhere, offsite), tmp_path / "again", user=source.user, database=source.database)
    assert last is not None
    assert card.moment <= last <= datetime.now(UTC)
    assert [path.name for path in elsewhere.scratch.iterdir()] == []
    log = tmp_path / "again.log"
    server = start(tmp_path / "again", settings={"listen_addresses": ""}, log=log, user=source.user, database=source.database)
    try:
        own = connect(server, source.database)
        with own.cursor() as cursor:
            cursor.execute(f'SELECT price FROM "{place.ref.schema_name}".shop_product WHERE id = %s', [place.coffee])
            assert int(cursor.fetchone()[0]) == 1007  # type: ignore[index]
        own.close()
    finally:
        stop(server)
    assert "in production" not in run_program("pg_controldata", str(tmp_path / "again")).stdout


def test_what_was_altered_there_is_refused_by_name(offsite: Offsite, storage: Storage, tmp_path: Path) -> None:  # noqa: F811
    label = offsite.cards()[0].label
    key = f"{offsite.root}bases/{label}.tar.zst.age"
    storage.client.put_object(Bucket="backups", Key=key, Body=b"age-encryption.org/v1\nnothing")
    (tmp_path / "base").mkdir()
    with pytest.raises(ArchiveDamaged, match=label):
        offsite.fetch_base(label, tmp_path / "base")
    name = min(offsite.log_names())
    storage.client.put_object(Bucket="backups", Key=f"{offsite.root}log/{name}{LOG_END}", Body=sealed("another", b"x" * 100))
    with pytest.raises(ArchiveDamaged, match=f"{name} is signed by nobody"):
        offsite.fetch_log(name, tmp_path / name)
    shutil.rmtree(tmp_path / "base")


def test_the_log_under_a_key_of_others_is_refused(settings: Settings) -> None:
    name, content = "000000010000000000000001", b"x" * 1_000_000
    text = sealed(name, content)
    assert opened(name, text) == content
    assert len(text) < 1_000
    settings.BACKUP_KEYS = [new_key()]
    with pytest.raises(ArchiveDamaged, match=f"{name} is cut off or altered"):
        opened(name, text)
