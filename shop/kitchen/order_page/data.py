"""What the staff reads of an order's money, in words, and the notes that customers pay with."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from payments.ledger.models import Charge, LedgerEntry, Payment, Refund
from shop.orders.models import Order

type Words = dict[str, Promise]

PAYMENT_STATUS: dict[str, tuple[Promise, str]] = {  # words, kind of the badge
    Payment.Status.PENDING: (pgettext_lazy("payment", "waiting"), "warn"),
    Payment.Status.PAID: (pgettext_lazy("payment", "paid"), "good"),
    Payment.Status.FAILED: (pgettext_lazy("payment", "rejected"), "warn"),
    Payment.Status.CANCELLED: (pgettext_lazy("payment", "ended unpaid"), ""),
    Payment.Status.REFUNDED: (pgettext_lazy("payment", "refunded"), "info"),
    Payment.Status.PARTIALLY_REFUNDED: (pgettext_lazy("payment", "partly refunded"), "info"),
    Payment.Status.REVIEW: (pgettext_lazy("payment", "under review"), "bad"),
    Payment.Status.CHARGED_BACK: (pgettext_lazy("payment", "charged back"), "bad"),
}
CHARGE_STATUS: Words = {  # Mercado Pago's words
    "pending": pgettext_lazy("charge", "pending"),
    "in_process": pgettext_lazy("charge", "being looked at by Mercado Pago"),
    "authorized": pgettext_lazy("charge", "authorized"),
    "approved": pgettext_lazy("charge", "approved"),
    "rejected": pgettext_lazy("charge", "rejected"),
    "cancelled": pgettext_lazy("charge", "cancelled"),
    "refunded": pgettext_lazy("charge", "refunded"),
    "partially_refunded": pgettext_lazy("charge", "partly refunded"),
    "in_mediation": pgettext_lazy("charge", "in dispute"),
    "charged_back": pgettext_lazy("charge", "charged back"),
}
REJECTED_FOR: Words = {  # those of its details that say something to the customer at the counter
    "cc_rejected_insufficient_amount": _("not enough money on it"),
    "cc_rejected_bad_filled_card_number": _("the card's number is wrong"),
    "cc_rejected_bad_filled_date": _("the card's date is wrong"),
    "cc_rejected_bad_filled_security_code": _("the security code is wrong"),
    "cc_rejected_bad_filled_other": _("something in the card's data is wrong"),
    "cc_rejected_call_for_authorize": _("the bank wants to be called first"),
    "cc_rejected_card_disabled": _("the card is not active"),
    "cc_rejected_duplicated_payment": _("the same payment was made a moment ago"),
    "cc_rejected_high_risk": _("Mercado Pago found it too risky"),
    "cc_rejected_other_reason": _("the bank said no"),
}
REVIEW: Words = {
    Charge.Review.AMOUNT: _("Another amount came than was asked for. It does not count until a manager has decided."),
    Charge.Review.CURRENCY: _("It came in another currency. It does not count until a manager has decided."),
    Charge.Review.COLLECTOR: _("It came to another account. It does not count until a manager has decided."),
    Charge.Review.REFUND_FAILED: _("Mercado Pago refused to give it back. A manager has to decide."),
}
REFUND_STATE: dict[str, tuple[Promise, str]] = {
    Refund.State.REQUESTED: (pgettext_lazy("refund", "on its way"), "warn"),
    Refund.State.IN_PROCESS: (pgettext_lazy("refund", "Mercado Pago has it"), "warn"),
    Refund.State.APPROVED: (pgettext_lazy("refund", "given back"), "good"),
    Refund.State.REJECTED: (pgettext_lazy("refund", "refused"), "bad"),
}
REFUND_REASON: Words = {
    Refund.Reason.STAFF: _("by the staff"),
    Refund.Reason.CANCELLED: _("the order was cancelled"),
    Refund.Reason.TWICE: _("it was paid twice"),
    Refund.Reason.LATE: _("it was paid after the order had ended"),
    Refund.Reason.REVIEW: _("after a review"),
}
ENTRY_KIND: Words = {
    LedgerEntry.Kind.PAYMENT: pgettext_lazy("entry", "Payment"),
    LedgerEntry.Kind.REFUND: pgettext_lazy("entry", "Refund"),
    LedgerEntry.Kind.CHARGEBACK: pgettext_lazy("entry", "Chargeback"),
    LedgerEntry.Kind.ADJUSTMENT: pgettext_lazy("entry", "Adjustment"),
}
HAPPENED: Words = {  # of the order's own events
    "placed": _("Order placed"),
    Order.Status.CONFIRMED: _("Accepted"),
    Order.Status.PREPARING: _("Being prepared"),
    Order.Status.READY: _("Ready"),
    Order.Status.COMPLETED: _("Handed over"),
    Order.Status.CANCELLED: _("Cancelled"),
    Order.PaymentStatus.FAILED: _("A payment was rejected"),
    Order.PaymentStatus.REVIEW: _("A payment went under review"),
    Order.PaymentStatus.CHARGED_BACK: _("The payment was charged back"),
}
NOTES = {  # what customers pay with in cash
    "ARS": (100, 200, 500, 1_000, 2_000, 10_000, 20_000),
    "BRL": (2, 5, 10, 20, 50, 100, 200),
    "CLP": (1_000, 2_000, 5_000, 10_000, 20_000),
    "COP": (2_000, 5_000, 10_000, 20_000, 50_000, 100_000),
    "MXN": (20, 50, 100, 200, 500, 1_000),
    "PEN": (10, 20, 50, 100, 200),
    "UYU": (20, 50, 100, 200, 500, 1_000, 2_000),
}
