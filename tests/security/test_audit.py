import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.security.audit import is_affected, main
from tests.security.test_lock import locked


def advise(folder: Path, **more: Any) -> None:
    (folder / "vulns" / "django").mkdir(parents=True, exist_ok=True)
    advisory = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "modified": "2026-01-02T03:04:05Z", **more}
    (folder / "vulns" / "django" / f"{advisory['id']}.yaml").write_text(yaml.safe_dump(advisory))


def of_django(*events: dict[str, str]) -> list[dict[str, Any]]:
    return [{"package": {"ecosystem": "PyPI", "name": "Django"}, "ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}]


def test_what_is_known_to_be_weak_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = locked()["django"][0]
    advise(tmp_path, affected=of_django({"introduced": "0"}))
    assert main(tmp_path) == 1
    assert f"django {version}: PYSEC-2026-1 CVE-2026-1\n" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["fixed", "withdrawn"])
def test_what_is_fixed_or_withdrawn_is_not(tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    version = locked()["django"][0]
    events = [{"introduced": "0"}, {"fixed": version}] if how == "fixed" else [{"introduced": "0"}]
    advise(tmp_path, affected=of_django(*events), **({"withdrawn": "2026-02-01T00:00:00Z"} if how == "withdrawn" else {}))
    assert main(tmp_path) == 0
    assert "1 advisories of them, the newest of 2026-01-02: 0 weak" in capsys.readouterr().out


def test_a_mirror_is_read_as_well(tmp_path: Path) -> None:
    advise(tmp_path, affected=of_django({"introduced": "0"}))
    git = ("git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t.test", "-c", "init.defaultBranch=main")
    for command in (("init", "-q"), ("add", "."), ("commit", "-qm", "one")):
        subprocess.run((*git, *command), check=True)
    assert main(tmp_path / ".git") == 1


def test_a_folder_without_advisories_is_no_clean_bill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(tmp_path) == 2
    assert "advisory-database" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("version", "weak"),
    [("1.9", False), ("2.0", True), ("2.0.9", True), ("2.1", False), ("3.0", True), ("3.5", True), ("3.5.1", False), ("9.9", True)],
)
def test_stretches_of_versions(version: str, weak: bool) -> None:
    events = [{"fixed": "2.1"}, {"introduced": "3.0"}, {"introduced": "2.0"}, {"last_affected": "3.5"}]
    affected = {"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}, {"type": "ECOSYSTEM", "events": events}], "versions": ["9.9"]}
    assert is_affected(version, affected) is weak
