from core.errors import AppError, NotFound


class NoTenantScope(RuntimeError):
    """A cafeteria's data was asked for outside its scope."""


class CrossedTenantScope(RuntimeError):
    """Something that belongs to one cafeteria was used in another scope."""


class StaleTenant(Exception):
    """The cafeteria has changed since this reference to it was made: look it up again."""


class CafeteriaNotFound(NotFound):
    """There is no cafeteria here."""

    code = "cafeteria_not_found"


class CafeteriaSuspended(AppError):
    """This cafeteria is paused for the moment. Please try again later."""

    code = "cafeteria_suspended"
    status = 503


class SlugTaken(AppError):
    """The address "{slug}" is taken. Choose another one."""

    code = "slug_taken"
    status = 409


class SlugReserved(AppError):
    """The address "{slug}" is reserved. Choose another one."""

    code = "slug_reserved"
    status = 409


class InvalidLifecycle(AppError):
    """A cafeteria that is {status} cannot be {wanted}."""

    code = "invalid_lifecycle"
    status = 409
