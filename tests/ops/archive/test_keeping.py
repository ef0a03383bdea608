"""What the window needs is kept and nothing else; a log that cannot go on begins anew, with a full base after it."""

import secrets
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from core.alerts.models import Alert
from ops.archive.data import FORMAT, SEGMENT_SIZE, Card, lsn_as_text, segment_of
from ops.archive.folder import Folder, end_of_run
from ops.archive.keeping import ArchiveRuns, Keeper
from ops.archive.retention import kept
from ops.archive.source import source_of_settings
from ops.postgres.programs import give_to_system_user
from tests.processes import wait_for
from tests.world import World

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def card(label: str, days: float, *, parent: str = "") -> Card:
    moment = (NOW - timedelta(days=days)).isoformat()
    lsn = lsn_as_text(int((100 - days) * 10) * SEGMENT_SIZE + 40)
    about = {"start_lsn": lsn, "end_lsn": lsn, "began_at": moment, "taken_at": moment, "manifest_sha256": "", "release": ""}
    numbers = {"format": FORMAT, "timeline": 1, "size": 1, "server_version": 180004}
    return Card(label=label, kind="incremental" if parent else "full", parent=parent, system_identifier="1", **numbers, **about)  # type: ignore[arg-type]


def test_the_window_keeps_the_base_before_it_with_all_that_it_stands_on(settings: Settings) -> None:
    settings.ARCHIVE_DAYS = 7
    older = [card("a", 20), card("b", 19, parent="a")]
    chain = [card("c", 14), card("d", 10, parent="c"), card("e", 8, parent="d")]
    within = [card("f", 6, parent="e"), card("g", 1)]
    labels, first = kept([*older, *chain, *within], now=NOW)
    assert labels == {"c", "d", "e", "f", "g"}
    assert first == chain[-1].first_segment  # The log of c and d is of no use any more.


def test_a_run_ends_where_a_segment_is_missing() -> None:
    names = ["000000010000000000000005", "000000010000000000000006", "000000010000000000000008.partial"]
    segments = [found for name in names if (found := segment_of(name))]
    end = end_of_run(5, segments)
    assert end is not None
    assert end.name == names[1]
    assert end_of_run(7, segments) is None
    assert segment_of("backup_label") is None
    assert segment_of("0000000100000001000000FF").number == 0x1FF  # type: ignore[union-attr]


def test_a_log_that_cannot_go_on_begins_anew(committed_world: World, settings: Settings, tmp_path: Path) -> None:
    settings.ARCHIVE_FOLDER, settings.ARCHIVE_SLOT = tmp_path / "archive", f"test_{secrets.token_hex(4)}"
    folder, source = Folder(settings.ARCHIVE_FOLDER), source_of_settings()
    folder.prepare()
    ahead = folder.root / "wal" / "0000000100000FFF00000001.partial"  # As after going back to an older server.
    ahead.write_bytes(bytes(SEGMENT_SIZE))
    give_to_system_user(ahead)
    keeper = Keeper(folder, source)
    thread = threading.Thread(target=keeper.run)
    thread.start()
    try:
        wait_for(folder.cards, seconds=60)
        gap = folder.gap()
        assert gap is not None
        assert gap < folder.cards()[0].moment
        assert (folder.cards()[0].kind, keeper.receiver.gaps) == ("full", 1)
        assert [path.name for path in (folder.root / "earlier").iterdir()] == [ahead.name]
        with pytest.raises(ArchiveRuns):
            Keeper(folder, source).run()
    finally:
        keeper.stopping.set()
        thread.join()
        with source.connected() as cursor:
            cursor.execute("SELECT pg_drop_replication_slot(%s)", [settings.ARCHIVE_SLOT])
        Alert.objects.filter(kind__startswith="archive.").delete()
