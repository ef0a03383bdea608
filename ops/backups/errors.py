from core.errors import AppError, NotFound
from core.jobs.outcomes import describe_error


def said_of(error: BaseException) -> str:
    """Of our own errors what they say; of others kind and first line: further ones may hold people's data."""
    return str(error) if isinstance(error, AppError) else describe_error(error)


class BackupsNotSetUp(AppError):
    """BACKUP_KEYS is not set, so nothing can be backed up or restored. Make a key with: manage.py new_backup_key."""

    code = "backups_not_set_up"
    status = 503


class BundleRefused(AppError):
    """The bundle cannot be used: {reason}"""

    code = "bundle_refused"

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)
        self.reason = reason


class BackupNotFound(NotFound):
    """There is no such backup."""

    code = "backup_not_found"


class DataDropped(AppError):
    """The cafeteria was closed and its data dropped, so there is nothing to back up or to exchange. Make a copy of one of its backups."""

    code = "data_dropped"
    status = 409
