from core.errors import AppError, NotFound


class RestoreUnderWay(AppError):
    """A restore of this cafeteria is under way. Wait for its end."""

    code = "restore_under_way"
    status = 409


class RestoreNotFound(NotFound):
    """There is no such restore."""

    code = "restore_not_found"


class CannotUndo(AppError):
    """This restore cannot be undone: {reason}"""

    code = "cannot_undo"
    status = 409

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)


class CafeteriaBusy(AppError):
    """The cafeteria's tables could not be locked: something holds them. Nothing was changed; try again."""

    code = "cafeteria_busy"
    status = 409


class RestoreFailed(AppError):
    """This restore has failed, and the cafeteria is as it was: {reason}"""

    code = "restore_failed"
    status = 409

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)


class CloneNotFound(NotFound):
    """There is no such copy."""

    code = "clone_not_found"


class CloneFailed(AppError):
    """This copy has failed, and nothing of it is left: {reason}"""

    code = "clone_failed"
    status = 409

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)


class RestoreIsLive(AppError):
    """It is too late to stop this restore: what it brings back is live, or it has ended. Undo it instead."""

    code = "restore_is_live"
    status = 409
