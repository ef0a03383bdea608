from core.errors import AppError


class MovedAlready(AppError):
    """Somebody has moved that order already."""

    code = "moved_already"
    status = 409


class NotPaid(AppError):
    """Order {number} is not paid."""

    code = "not_paid"
    status = 409


class DueChanged(AppError):
    """What is due has changed meanwhile. Look at the amount again."""

    code = "due_changed"
    status = 409


class FormUsed(AppError):
    """This form has been used for something else already. Open it again."""

    code = "form_used"
    status = 409
