import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_what_the_threat_model_names_is_there() -> None:
    text = (REPOSITORY / "docs" / "security.md").read_text()
    named = set(re.findall(r"`((?:tests|docs|platform|shop|ops|tenants)/[\w/.-]+)`", text))
    assert len(named) > 30
    assert {path for path in named if not (REPOSITORY / path).is_file()} == set()


def test_every_threat_names_its_test() -> None:
    text = (REPOSITORY / "docs" / "security.md").read_text()
    table = text.split("## Threats")[1].split("## ")[0]
    threats = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(threats) > 20
    assert [line for line in threats if "`tests/" not in line.split("|")[3]] == []


def test_somebody_who_found_a_weakness_learns_where_to_tell_it() -> None:
    text = (REPOSITORY / "SECURITY.md").read_text()
    assert "Reporting" in text
    assert "docs/security.md" in text
