import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import AppError
from ops.archive.cluster import recover_cluster
from ops.archive.folder import Folder
from ops.archive.moments import folder_of_settings
from ops.archive.offsite import Offsite, clusters
from ops.archive.recovery import material
from ops.archive.source import source_of_settings
from ops.postgres.programs import EmbeddedServerFailed


class Command(BaseCommand):
    help = (
        "The database is lost: builds its PGDATA anew out of the archive, checked and ready to be started. Needs no database. "
        "Afterwards start PostgreSQL on it, then run: settle_recovery."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--into", type=Path, required=True, help="the new PGDATA, which must not be there yet, or be empty")
        parser.add_argument("--at", help="a moment with its offset, e.g. 2026-11-24T12:00:00Z; without it, everything that was received")
        parser.add_argument("--archive", type=Path, help="another folder than ARCHIVE_FOLDER, e.g. one in its former/")
        parser.add_argument("--from-s3", action="store_true", help="only from off-site")
        parser.add_argument("--system", help="the system identifier, when off-site is the archive of several clusters")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            at = moment(options["at"]) if options["at"] else None
            folder = Folder(options["archive"].resolve()) if options["archive"] else folder_of_settings()
            offsite = None
            if options["from_s3"]:
                offsite = Offsite(_cluster(options["system"]))
                folder = Folder(folder.root / "fetched" / offsite.root.split("/")[-2])  # Nothing of here is used.
            source = source_of_settings()
            found = material(folder, offsite, at)
            card, last = recover_cluster(
                found, options["into"].resolve(), at=at, user=source.user, database=source.database, step=Progress(self.stderr.isatty())
            )
        except (AppError, OSError, EmbeddedServerFailed) as error:
            raise CommandError(str(error)) from error
        told = f"{last.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC" if last else f"{card.moment:%Y-%m-%d %H:%M:%S} UTC"
        self.stdout.write(
            f"Recovered into {options['into']} from {card.label}; its last commit is of {told}. "
            f"Start PostgreSQL on it, then: manage.py settle_recovery --moment {(last or card.moment).astimezone(UTC).isoformat()}"
        )


def _cluster(wanted: str | None) -> str:
    """The system identifier of the one that is there, or is wanted. Of several a person has to say which: the newest may be empty."""
    found = clusters()
    if wanted is None and len(found) == 1:
        return found[0]
    if wanted in found:
        return str(wanted)
    if not found:
        raise CommandError("There is no base backup off-site.")
    told = [f"--system {name}: {_about(Offsite(name))}" for name in found]
    raise CommandError("\n".join(["Off-site are the archives of these servers. Say which one is to be recovered:", *told]))


def _about(offsite: Offsite) -> str:
    cards, state = offsite.cards(), offsite.state()
    bases = (
        f"{len(cards)} base backups, {cards[0].moment:%Y-%m-%d %H:%M} to {cards[-1].moment:%Y-%m-%d %H:%M} UTC"
        if cards
        else "no readable base"
    )
    until = (
        f"{datetime.fromisoformat(state.shipped_until).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        if state and state.shipped_until
        else "not known"
    )
    return f"{bases}; log until {until}"


class Progress:
    """A line for each thing that is done."""

    def __init__(self, shown: bool) -> None:  # noqa: FBT001 - private
        self._shown, self._said = shown, ""

    def __call__(self, fraction: float, what: str) -> None:
        if self._shown and what != self._said:
            self._said = what
            print(f"{fraction:4.0%} {what}", file=sys.stderr)


def moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise CommandError(f"{text} is no moment. Write it with its offset, e.g. 2026-11-24T12:00:00Z.")
    return found.astimezone(UTC)
