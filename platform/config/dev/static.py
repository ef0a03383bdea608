"""Collects the static files into the data folder when they have changed since the last time."""

import hashlib
from pathlib import Path

from config.dev.environment import REPOSITORY

SOURCES = ("platform", "tenants", "shop", "billing", "ops")


def static_files_changed(data_folder: Path) -> bool:
    stamp = data_folder / "static.stamp"
    return not stamp.exists() or stamp.read_text() != fingerprint()


def remember_static_files(data_folder: Path) -> None:
    (data_folder / "static.stamp").write_text(fingerprint())


def fingerprint() -> str:
    """Changes with each static file of ours, and with the packages that bring others."""
    digest = hashlib.sha256((REPOSITORY / "requirements.lock").read_bytes())
    for path in static_files():
        digest.update(f"{path.relative_to(REPOSITORY)} {path.stat().st_size} {path.stat().st_mtime_ns}\n".encode())
    return digest.hexdigest()


def static_files() -> list[Path]:
    folders = [folder for source in SOURCES for folder in (REPOSITORY / source).rglob("static") if folder.is_dir()]
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
