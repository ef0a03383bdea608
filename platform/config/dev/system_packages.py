"""Brings from Debian, where that is possible, what the tests use and PyPI does not have: a browser, a pooler, Prometheus, Alertmanager."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


@dataclass(frozen=True, kw_only=True)
class SystemPackage:
    programs: tuple[str, ...]  # any of them will do
    debian: tuple[str, ...]
    purpose: str
    needed: bool = True  # Without the others it goes too, only slower.


PACKAGES = (
    SystemPackage(
        programs=("chromium", "chromium-browser", "google-chrome"),
        debian=("chromium", "fonts-liberation"),
        purpose="the tests of the pages",
    ),
    # The same engine without a window: a visitor costs it a tenth of the time.
    SystemPackage(
        programs=("chromium-headless-shell",),
        debian=("chromium-headless-shell",),
        purpose="the tests of the pages, in a fraction of the time",
        needed=False,
    ),
    SystemPackage(programs=("pgbouncer",), debian=("pgbouncer",), purpose="the tests behind a connection pooler"),
    SystemPackage(programs=("promtool",), debian=("prometheus",), purpose="the tests of the alert rules"),
    SystemPackage(programs=("prometheus-alertmanager",), debian=("prometheus-alertmanager",), purpose="the tests of what tells operators"),
)


def main() -> int:
    absent = missing(PACKAGES)
    if absent and can_install():
        # Apart from one another: a name that this system does not know ends the whole of apt's command.
        for needed in (True, False):
            if names := [name for package in absent if package.needed is needed for name in package.debian]:
                install(names)
        absent = missing(PACKAGES)
    absent = [package for package in absent if package.needed]
    for package in absent:
        wanted = " ".join(package.debian)
        sys.stderr.write(f"{package.programs[0]} is missing, for {package.purpose}. Install it, on Debian: sudo apt-get install {wanted}\n")
    return 1 if absent else 0


def missing(packages: Sequence[SystemPackage]) -> list[SystemPackage]:
    return [package for package in packages if not any(shutil.which(program, path=PLACES) for program in package.programs)]


def can_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(names: Sequence[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    quiet = ("apt-get", "-qq", "-o", "Dpkg::Use-Pty=0")
    subprocess.run((*quiet, "update"), check=False, env=environment)
    subprocess.run((*quiet, "install", "--yes", "--no-install-recommends", *names), check=False, env=environment)


if __name__ == "__main__":
    sys.exit(main())
