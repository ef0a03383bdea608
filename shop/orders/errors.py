from core.errors import AppError, NotFound


class OrderNotFound(NotFound):
    """There is no such order."""

    code = "order_not_found"


class ProductNotFound(NotFound):
    """There is no product {product_id} on the menu."""

    code = "product_not_found"


class AnotherCafeteria(NotFound):
    """There is no such business here."""

    code = "business_not_found"


class OutOfStock(AppError):
    """Not enough stock of {name}: {left} left."""

    code = "out_of_stock"


class ItemSoldOut(AppError):
    """{name} is sold out: out of stock for the moment."""

    code = "sold_out"


class InvalidChoices(AppError):
    """The choices for {name} do not fit: {group} takes {minimum} to {maximum}."""

    code = "invalid_choices"
    status = 422


class UnknownChoice(AppError):
    """{name} has no choice {choice_id} at the moment."""

    code = "unknown_choice"
    status = 422


class InvalidTip(AppError):
    """The tip has more decimals than {currency} has."""

    code = "invalid_tip"
    status = 422


class InvalidPickupTime(AppError):
    """The pickup time must lie between now and {days} days ahead."""

    code = "invalid_pickup_time"
    status = 422


class AmountTooLarge(AppError):
    """The order's total is larger than can be charged. Make it smaller."""

    code = "amount_too_large"
    status = 422


class OrdersPaused(AppError):
    """The cafeteria is not taking orders from its site at the moment (closed)."""

    code = "closed"
    status = 409


class InvalidTransition(AppError):
    """Invalid transition from {before} to {after}."""

    code = "invalid_transition"


class CannotCancel(AppError):
    """Cannot cancel an order that is {status}."""

    code = "cannot_cancel"


class CannotCancelPaid(AppError):
    """Cannot cancel: this order was paid at the counter, where the money is given back."""

    code = "cannot_cancel"
