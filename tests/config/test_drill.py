"""What `make drill` concludes. The drill itself is run by hand: it takes minutes, and docs/benchmarks.md has its figures."""

import os
from pathlib import Path

import pytest

from config.dev.drill import IN_ALL, Answered, Drill, DrillFailed, seconds_lost, tell


class Remembering(Drill):
    """Of the orders only those with these ids are there."""

    there: frozenset[int] = frozenset()

    def is_there(self, order: Answered) -> bool:
        return order.id in self.there


@pytest.fixture
def drill(tmp_path: Path) -> Remembering:
    return Remembering(folder=tmp_path, port=1, log=tmp_path / "log")


ANSWERED = [Answered(id=number, secret=str(number), at=1000.0 + number) for number in range(5)]


def test_nothing_is_lost_when_the_last_one_is_there(drill: Remembering) -> None:
    drill.there = frozenset(range(5))
    assert seconds_lost(drill, ANSWERED) == 0


def test_what_is_lost_is_counted_from_the_newest_that_is_there(drill: Remembering) -> None:
    drill.there = frozenset({0, 1, 2})
    assert seconds_lost(drill, ANSWERED) == 2


def test_a_hole_is_no_loss_of_the_last_seconds(drill: Remembering) -> None:
    drill.there = frozenset({0, 2, 3, 4})
    with pytest.raises(DrillFailed, match="1 orders are missing"):
        seconds_lost(drill, ANSWERED)


def test_all_lost_is_a_failure(drill: Remembering) -> None:
    with pytest.raises(DrillFailed, match="Not one"):
        seconds_lost(drill, ANSWERED)


@pytest.mark.parametrize(("lost", "took", "status"), [(0.0, 30.0, 0), (61.0, 30.0, 1), (0.0, 7201.0, 1)])
def test_the_goals_decide(drill: Remembering, capsys: pytest.CaptureFixture[str], lost: float, took: float, status: int) -> None:
    drill.times = [("recover_cluster", 5.0), (IN_ALL, took)]
    assert tell(drill, lost, 64) == status
    assert "Lost of 64 answered orders" in capsys.readouterr().out


def test_no_setting_leads_it_elsewhere(drill: Remembering, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = ("ARCHIVE_DATABASE_URL", "ARCHIVE_SLOT", "BACKUP_FOLDER", "DATABASE_URL_FILE", "S3_BUCKET", "SLACK_WEBHOOK_URL", "PGHOST")
    for name in theirs:
        monkeypatch.setenv(name, "theirs")
    monkeypatch.setenv("COMANDA_DATA", "theirs")
    assert [name for name, value in drill.environment.items() if value == "theirs"] == []
    assert drill.environment["COMANDA_DATA"] == str(drill.folder)
    assert drill.environment["PATH"] == os.environ["PATH"]


def test_nobody_answers_where_nothing_runs(drill: Remembering) -> None:
    assert drill.call("localhost", "/health") == (0, None)
    with pytest.raises(DrillFailed, match="in vain"):
        drill.wait(lambda: False, what="a miracle", seconds=0)
