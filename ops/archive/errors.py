from core.errors import AppError


class OutsideWindow(AppError):
    """The archive cannot go back to that moment: {reason}"""

    code = "outside_window"
    status = 400

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)


class ArchiveNotPossible(AppError):
    """PostgreSQL does not let its archive be kept: {reason}"""

    code = "archive_not_possible"
    status = 409

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)


class ArchiveDamaged(AppError):
    """The archive cannot be used: {reason}"""

    code = "archive_damaged"
    status = 409

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)


class RecoveryFailed(AppError):
    """PostgreSQL could not be recovered beside the live one: {reason}"""

    code = "recovery_failed"
    status = 409

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)
