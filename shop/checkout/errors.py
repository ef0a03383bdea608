from core.errors import AppError


class CartFull(AppError):
    """The order has as many lines as it can hold. Place it first, then start another one."""

    code = "cart_full"
    status = 409


class TotalChanged(AppError):
    """A price has changed since this page was shown. Look at the new total and place the order again."""

    code = "total_changed"
    status = 409


class CartHasProblems(AppError):
    """Something in the order cannot be had any more. Remove it or change it, then place the order."""

    code = "cart_has_problems"
    status = 409
