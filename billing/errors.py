from core.errors import AppError


class BillingNotSetUp(AppError):
    """Plans cannot be paid on this platform yet. Nothing is charged."""

    code = "billing_not_set_up"
    status = 409


class AlreadySubscribed(AppError):
    """This cafeteria has a subscription already. Change its plan instead."""

    code = "already_subscribed"
    status = 409


class NotSubscribed(AppError):
    """This cafeteria has no subscription."""

    code = "not_subscribed"
    status = 409


class PaymentDue(AppError):
    """There is a month that is not paid. Pay it with another card first."""

    code = "payment_due"
    status = 409
