"""The shape of the source: sizes, names, and that nothing stands where the standard library would be shadowed."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PARTS = ("platform", "tenants", "shop", "billing", "ops", "deploy")
BANNED = {"utils", "util", "helpers", "helper", "services", "service", "common", "managers", "misc", "lib"}
LONGEST_FILE, LONGEST_FUNCTION = 500, 60


def sources(*, tests: bool = False) -> Iterator[Path]:
    for part in (*PARTS, *(["tests"] if tests else [])):
        yield from (path for path in (REPOSITORY / part).rglob("*.py") if "migrations" not in path.parts)


def test_no_file_is_longer_than_500_lines() -> None:
    long = {
        str(path.relative_to(REPOSITORY)): lines for path in sources(tests=True) if (lines := path.read_text().count("\n")) > LONGEST_FILE
    }
    assert long == {}


def test_no_function_is_longer_than_60_lines() -> None:
    long = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                lines = node.end_lineno - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long[f"{path.relative_to(REPOSITORY)}:{node.name}"] = lines
    assert long == {}


def test_no_room_is_called_utils_or_the_like() -> None:
    names = [path for path in sources() if path.stem in BANNED or set(path.relative_to(REPOSITORY).parts[:-1]) & BANNED]
    assert names == []


def test_platform_is_a_source_root_and_not_a_package() -> None:
    assert list((REPOSITORY / "platform").glob("*.py")) == []


def test_no_job_left_undone_is_noted_in_the_source() -> None:
    marks = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "NotImplemented" + "Error")))
    marked = [str(path) for path in sources(tests=True) if marks.search(path.read_text())]
    assert marked == []


def test_money_is_never_a_float() -> None:
    """Wall 9. `float` may stand for seconds, ratios and progress: nowhere in the subjects that price or count money."""
    rooms = [REPOSITORY / "shop" / "orders", REPOSITORY / "shop" / "menu", REPOSITORY / "shop" / "checkout", REPOSITORY / "billing"]
    money = [path for room in rooms for path in room.rglob("*.py")] + [REPOSITORY / "platform" / "core" / "money.py"]
    floats = [str(path) for path in money if re.search(r"\bfloat\(|FloatField", path.read_text())]
    assert floats == []


def test_today_is_the_business_days() -> None:
    """Wall 10: nobody asks the machine's clock for a date."""
    ban = re.compile(r"date\.today\(|localdate\(|datetime\.now\(\)|localtime\(\)")
    assert [str(path) for path in sources() if ban.search(path.read_text())] == []


@pytest.mark.parametrize("pattern", ["uv.lock", "poetry.lock", "package-lock.json"])
def test_no_lock_file_records_download_addresses(pattern: str) -> None:
    tracked = subprocess.run(["git", "ls-files", f"*{pattern}"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert tracked == ""
    assert "http" not in (REPOSITORY / "requirements.lock").read_text()
