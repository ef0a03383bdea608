"""One cafeteria at any moment of the archive, as a bundle."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from ops.archive.errors import OutsideWindow
from ops.backups.models import Backup

type Step = Callable[[float, str], None]


def check_moment(at: datetime) -> None:
    """Raises OutsideWindow."""
    raise OutsideWindow(f"there is no base backup that reaches back to {at:%Y-%m-%d %H:%M:%S} UTC.")


def take_moment(*, cafeteria_uuid: UUID, at: datetime, step: Step = lambda _fraction, _what: None) -> Backup:  # noqa: ARG001 - it is refused
    """Raises OutsideWindow."""
    check_moment(at)
    raise AssertionError
