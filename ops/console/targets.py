"""Where a cafeteria can go back to, or be copied from: a backup, or any moment of the archive."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.archive.errors import OutsideWindow
from ops.archive.moments import check_moment, folder_of_settings
from ops.archive.queries import window
from ops.archive.source import source_of_settings
from ops.backups.actions import backup_by_id
from ops.backups.errors import BackupNotFound
from ops.backups.models import Backup
from ops.console.words import Words
from tenants.models import Cafeteria


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments:
    """Whether a cafeteria can go back to any moment, and to which."""

    available: bool
    why_not: Words = ""
    earliest: datetime | None = None
    latest: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What a cafeteria would go back to: a backup, or a moment."""

    backup: Backup | None = None
    at: datetime | None = None

    @property
    def backup_id(self) -> UUID | None:
        return self.backup.pk if self.backup is not None else None

    @property
    def at_text(self) -> str:
        return self.at.isoformat() if self.at is not None else ""

    @property
    def moment(self) -> datetime:
        moment = self.at if self.backup is None else self.backup.taken_at
        assert moment is not None
        return moment


def moments_of_return() -> Moments:
    """From when to when any cafeteria could go back to any second, by the archive that this machine sees."""
    start, until = window(folder_of_settings())
    if start is None or until is None:
        forbidden = [obstacle.translated() for obstacle in source_of_settings().obstacles(of_programs=False) if obstacle.forbids]
        if forbidden:
            words = _("PostgreSQL does not let its archive be kept: {reason}").format(reason=" ".join(forbidden))
            return Moments(available=False, why_not=words)
        words = _("No archive of every moment is kept here yet: manage.py archive makes it. Choose one of the backups.")
        return Moments(available=False, why_not=words)
    return Moments(available=True, earliest=start, latest=until)


def target_of(cafeteria: Cafeteria, values: Mapping[str, Any]) -> Target:
    """What a form or an address names: `backup`, or `at` in ISO 8601. Raises BackupNotFound, also for another cafeteria's."""
    try:
        if values.get("at"):
            at = datetime.fromisoformat(str(values["at"]))
            if at.tzinfo is None:
                raise BackupNotFound  # On no clock: it would be taken for one of this machine's.
            return Target(at=at.astimezone(UTC))
        backup_id = UUID(str(values.get("backup", "")))
    except (ValueError, OverflowError):
        raise BackupNotFound from None
    return Target(backup=backup_by_id(backup_id, cafeteria_uuid=cafeteria.uuid))


def moment_in_zone(text: str, cafeteria: Cafeteria) -> datetime:
    """What was typed by the cafeteria's clock. Raises OutsideWindow for what is no moment, or none that can be had."""
    try:
        local = datetime.fromisoformat(text)
        at = local.replace(tzinfo=ZoneInfo(cafeteria.timezone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise OutsideWindow(gettext_noop("that is no day and time.")) from None
    check_moment(at)
    return at
