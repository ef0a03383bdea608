"""Compiles the translations: each django.po into the django.mo beside it, when that is missing or older."""

import sys
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from config.dev.environment import REPOSITORY

ROOTS = ("platform", "tenants", "shop", "billing", "ops")


def main() -> int:
    faults = [fault for catalogue in catalogues(REPOSITORY) for fault in compile_catalogue(catalogue)]
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return 1 if faults else 0


def catalogues(repository: Path) -> list[Path]:
    return sorted(path for root in ROOTS for path in (repository / root).rglob("locale/*/LC_MESSAGES/django.po"))


def compile_catalogue(source: Path) -> list[str]:
    """Compile, or say per message what is wrong with it, e.g. a placeholder that is not in the original."""
    target = source.with_suffix(".mo")
    if target.exists() and target.stat().st_mtime_ns >= source.stat().st_mtime_ns:
        return []
    with source.open("rb") as file:
        catalogue = read_po(file, locale=source.parents[1].name, abort_invalid=True)
    faults = [f"{source}:{message.lineno}: {error}" for message, errors in catalogue.check() for error in errors]
    if not faults:
        with target.open("wb") as file:
            write_mo(file, catalogue)
    return faults


if __name__ == "__main__":
    sys.exit(main())
