from core.errors import AppError, NotFound


class PaymentNotFound(NotFound):
    """There is no such payment."""

    code = "payment_not_found"


class NotConnected(AppError):
    """This cafeteria does not take payments online at the moment."""

    code = "not_connected"
    status = 409


class AmountNotDue(AppError):
    """The amount is not what is due: {due} {currency}."""

    code = "amount_not_due"


class NothingDue(AppError):
    """Nothing is due: this order is paid."""

    code = "nothing_due"
    status = 409


class OrderIsCancelled(AppError):
    """This order is cancelled and cannot be paid."""

    code = "order_cancelled"
    status = 409


class CheckoutIsOver(AppError):
    """This payment is over. Begin another one."""

    code = "payment_over"
    status = 409


class AlreadyRefunded(AppError):
    """This payment is already refunded."""

    code = "already_refunded"


class NothingToRefund(AppError):
    """Nothing of this payment has arrived yet, so there is nothing to refund."""

    code = "nothing_to_refund"


class RefundTooLarge(AppError):
    """At most {left} {currency} of this payment can be refunded."""

    code = "refund_too_large"


class InexactAmount(AppError):
    """The amount must be above zero and have no more decimals than {currency} has."""

    code = "invalid_amount"
    status = 422


class NotInReview(AppError):
    """This payment is not waiting for a decision."""

    code = "not_in_review"
    status = 409


class CannotAccept(AppError):
    """Money in another currency or of another account cannot be accepted. Give it back."""

    code = "cannot_accept"
    status = 409
