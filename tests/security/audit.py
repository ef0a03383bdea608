"""`make audit ADVISORIES=FOLDER`: the lock against a copy of PyPI's database of advisories, without the network.

The copy is a checkout of github.com/pypa/advisory-database, or the git directory of a mirror. It knows what was known when it was made: its
newest date is printed.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from packaging.version import InvalidVersion, Version

from tests.security.test_lock import locked, name_of


def main(folder: Path) -> int:
    """0 when nothing of the lock is known to be weak, 1 when something is, 2 when the folder holds no advisories."""
    versions = {name: version for name, (version, _) in locked().items()}
    found: list[str] = []
    count, newest = 0, ""
    for advisory in advisories(folder, set(versions)):
        count, newest = count + 1, max(newest, str(advisory.get("modified", "")))
        for affected in advisory.get("affected", []):
            name = name_of(affected["package"]["name"])
            if name in versions and not advisory.get("withdrawn") and is_affected(versions[name], affected):
                found.append(f"{name} {versions[name]}: {advisory['id']} {', '.join(advisory.get('aliases', []))}")
    if not count:
        print(f"{folder} holds no advisories of what is locked. Clone https://github.com/pypa/advisory-database there.", file=sys.stderr)
        return 2
    print(*sorted(set(found)), sep="\n", end="\n" if found else "")
    print(f"{len(versions)} packages against {count} advisories of them, the newest of {newest[:10]}: {len(set(found))} weak.")
    return 1 if found else 0


def advisories(folder: Path, names: set[str]) -> Iterator[dict[str, Any]]:
    """Those of the packages with these names."""
    if (folder / "vulns").is_dir():
        texts: Iterator[str] = (path.read_text() for path in sorted(folder.glob("vulns/*/*.yaml")) if name_of(path.parent.name) in names)
    else:
        texts = _of_a_mirror(folder, names)
    for text in texts:
        yield yaml.load(text, Loader=yaml.CSafeLoader)


def _of_a_mirror(folder: Path, names: set[str]) -> Iterator[str]:
    git = ("git", f"--git-dir={folder}")
    listed = subprocess.run((*git, "ls-tree", "-r", "--name-only", "HEAD", "vulns/"), capture_output=True, text=True, check=False).stdout
    for path in listed.splitlines():
        if path.endswith(".yaml") and name_of(path.split("/")[1]) in names:
            yield subprocess.run((*git, "show", f"HEAD:{path}"), capture_output=True, text=True, check=True).stdout


def is_affected(version: str, affected: dict[str, Any]) -> bool:
    """As OSV's schema has it: listed by name, or between an introduction and the fix or last weak version that follows it."""
    if version in {str(one) for one in affected.get("versions", [])}:
        return True
    ours = Version(version)
    for stretch in affected.get("ranges", []):
        if stretch["type"] != "ECOSYSTEM":
            continue
        weak = False
        for kind, value in sorted((pair for event in stretch["events"] for pair in event.items()), key=lambda pair: _order(pair[1])):
            other = _order(value)
            if kind == "introduced" and ours >= other:
                weak = True
            elif (kind == "fixed" and ours >= other) or (kind == "last_affected" and ours > other):
                weak = False
        if weak:
            return True
    return False


def _order(value: object) -> Version:
    try:
        return Version(str(value))
    except InvalidVersion:
        return Version("0")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
