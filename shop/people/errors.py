from core.errors import AppError, NotFound


class PersonNotFound(NotFound):
    """There is no such person here."""

    code = "person_not_found"


class OwnerUntouchable(AppError):
    """The owner's place here cannot be changed by others."""

    code = "owner_untouchable"
    status = 409


class NotAStaffRole(AppError):
    """{role} is not a role of the staff that can be given."""

    code = "not_a_staff_role"
    status = 422
