"""The guardian's parent, when its guardian is gone."""

from pathlib import Path

from config.dev import locks
from config.dev.guardian import guardian


def test_a_guardian_who_is_gone_is_told_nothing(tmp_path: Path) -> None:
    with locks.opened(tmp_path / "run.lock") as lock, guardian(tmp_path, lock=lock) as guard:
        guard.process.kill()
        guard.process.wait(10)
        guard.watch(2**22)
