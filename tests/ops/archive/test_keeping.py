"""What the window needs is kept and nothing else; a log that cannot go on begins anew, with a full base after it."""

import math
import secrets
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg2.extensions import make_dsn
from pytest_django.fixtures import Settings

from core.alerts.actions import raise_alert
from core.alerts.models import Alert
from ops.archive.data import FORMAT, SEGMENT_SIZE, Card, lsn_as_text, segment_of
from ops.archive.folder import Folder, end_of_run
from ops.archive.keeping import ALERTS, ArchiveRuns, Keeper, pause
from ops.archive.recovery import restore_command
from ops.archive.retention import kept
from ops.archive.scratch import scratch_folder, sweep_scratch
from ops.archive.source import Source, source_of_settings
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


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keeper:
    """Of a server that nobody reaches, which does not wait between two tries."""
    monkeypatch.setattr("ops.archive.keeping.FIRST_PAUSE_SECONDS", 0.0)
    folder = Folder(tmp_path / "archive")
    folder.prepare()
    return Keeper(folder, Source(f"host={tmp_path} user=nobody dbname=none"))


def test_the_pause_between_failures_has_an_end() -> None:
    assert [pause(failures) for failures in (1, 2, 3, 7, 100_000)] == [5.0, 10.0, 20.0, 300.0, 300.0]


def test_a_duty_that_fails_as_nobody_thought_is_tried_again(keeper: Keeper) -> None:
    tries = [ValueError("no number"), KeyError("no name"), None]

    def duty() -> bool:
        if (error := tries.pop(0)) is not None:
            raise error
        keeper.stopping.set()
        return True

    keeper._again_and_again("a duty", duty, 0.0)
    assert tries == []


def test_an_alert_of_the_process_before_ends_when_the_duty_is_done(committed_world: World, keeper: Keeper) -> None:
    outcomes, seen = [False, True], list[bool]()
    raise_alert(kind=ALERTS["offsite"], subject="offsite", detail="It is away.", severity="critical")
    open_ones = Alert.objects.filter(kind=ALERTS["offsite"], resolved_at=None)

    def duty() -> bool:
        seen.append(open_ones.exists())
        if not outcomes:
            keeper.stopping.set()
            return True
        return outcomes.pop(0)

    try:
        keeper._again_and_again("offsite", duty, 0.0)
        assert seen == [True, True, False]
    finally:
        Alert.objects.filter(kind=ALERTS["offsite"]).delete()


def test_a_disk_without_room_does_not_end_the_keeper(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    keeper.tick()
    assert "cannot be reached" in keeper.folder.state().problem  # type: ignore[union-attr]
    keeper._state_at = -math.inf
    monkeypatch.setattr(Folder, "note_state", full)
    keeper.tick()
    assert "No space left" in keeper.receiver.problem


def test_an_archive_that_moves_away_is_moved_on_by_the_next(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "archive")
    folder.prepare()
    (folder.bases / "a").mkdir()
    (folder.root / "wal" / "b").touch()
    (folder.root / "state.json").write_text("{}")
    killed_in_the_midst = folder.root / "former" / "1-1"
    killed_in_the_midst.mkdir(parents=True)
    folder.bases.rename(killed_in_the_midst / "bases")
    folder.prepare()  # As the next one does first.
    assert folder.retire("1") == killed_in_the_midst
    assert sorted(path.name for path in killed_in_the_midst.glob("*/*")) == ["a", "b"]
    assert (killed_in_the_midst / "state.json").exists()
    assert not (folder.root / "state.json").exists()
    assert list(folder.bases.iterdir()) == []


def test_a_recovery_that_cannot_be_erased_yet_is_found_by_the_next_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path / "archive")
    with monkeypatch.context() as patch:
        patch.setattr("ops.archive.scratch.shutil.rmtree", lambda *_, **__: None)  # As while a dying process writes into it.
        with scratch_folder(folder) as path:
            pass
        assert sweep_scratch(folder) == 0
    assert path.exists()
    assert sweep_scratch(folder) == 1
    assert list(folder.scratch.iterdir()) == []


def test_a_segment_that_cannot_be_copied_is_not_the_end_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "A").touch()

    def status(name: str, target: Path) -> int:
        command = restore_command([tmp_path]).replace("%f", name).replace("%p", str(target))
        return subprocess.run(["sh", "-c", command], check=False, capture_output=True).returncode

    assert status("A", tmp_path / "copy") == 0
    assert status("B", tmp_path / "copy") == 1
    assert status("A", tmp_path / "nowhere" / "copy") == 200  # More than 125: PostgreSQL does not go on without it.


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
        wait_for(lambda: source.positions().received is not None)
        of_another_machine = Source(make_dsn(**source._parameters), slot="test_of_another_machine")
        assert of_another_machine.positions().received is None
    finally:
        keeper.stopping.set()
        thread.join()
        with source.connected() as cursor:
            cursor.execute("SELECT pg_drop_replication_slot(%s)", [settings.ARCHIVE_SLOT])
        Alert.objects.filter(kind__startswith="archive.").delete()
