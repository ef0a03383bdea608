"""Gathered for Django. All of it is in public: it survives the restore of a cafeteria (wall 7), keyed by the cafeteria's uuid."""

from payments.inbox.models import Notification
from payments.ledger.models import Charge, LedgerEntry, Payment, Refund
from payments.reconciliation.models import DayStatement
from payments.sellers.models import Connecting, Seller

__all__ = ["Charge", "Connecting", "DayStatement", "LedgerEntry", "Notification", "Payment", "Refund", "Seller"]
