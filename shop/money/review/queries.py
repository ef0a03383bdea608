"""Money that waits for a person, in words that need no knowledge of payments."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from payments.ledger.models import Charge, Payment, Refund
from payments.ledger.reviews import returnable
from shop.money.queries import SETTLED, TO_DECIDE, UNDER_WAY, charges_in_review, open_disputes, order_address, written
from shop.orders.models import Order
from tenants.refs import TenantRef

Review = Charge.Review
MOST_DECIDED = 50
RETURNABLE = {"approved", "partially_refunded", "in_mediation"}  # of what a bank has taken back, nothing is left to give
# Mercado Pago's site of each country of core.money's currencies.
COUNTRIES = {"ARS": "com.ar", "BRL": "com.br", "CLP": "cl", "COP": "com.co", "MXN": "com.mx", "PEN": "com.pe", "UYU": "com.uy"}


@dataclass(frozen=True, kw_only=True)
class Matter:
    """A payment that somebody has to look at."""

    charge: Charge
    own_currency: str
    order: Order | None  # None: it is gone
    refunds: list[Refund]  # of the charge, oldest first

    @property
    def payment(self) -> Payment:
        return self.charge.payment

    @property
    def number(self) -> int:
        return self.payment.order_number

    @property
    def address(self) -> str:
        return order_address(self.order.pk) if self.order is not None else ""

    @property
    def kind(self) -> str:
        """A Review, or dispute."""
        return self.charge.review if self.charge.in_review else "dispute"

    @property
    def expected(self) -> str:
        return self._written(self.payment.amount, self.payment.currency)

    @property
    def came(self) -> str:
        return self._written(self.charge.amount, self.charge.currency)

    @cached_property
    def returnable(self) -> Decimal:
        """What giving it back would give back."""
        return returnable(self.charge)

    @property
    def left(self) -> str:
        return self._written(self.returnable, self.charge.currency)

    @property
    def title(self) -> str:
        words = {
            Review.AMOUNT: _("Another amount came for order #{number}"),
            Review.CURRENCY: _("Another currency came for order #{number}"),
            Review.COLLECTOR: _("The money for order #{number} went to another account"),
            Review.REFUND_FAILED: _("The money of order #{number} could not be given back"),
            "dispute": _("The buyer of order #{number} disputes the payment"),
        }
        return str(words[self.kind]).format(number=self.number)

    @property
    def happened(self) -> str:
        words = {
            Review.AMOUNT: _("{expected} were asked for and {came} were paid. Nothing of it counts as paid until you decide."),
            Review.CURRENCY: _("{expected} were asked for and {came} were paid. Another currency cannot be counted here."),
            Review.COLLECTOR: _("{came} went to another Mercado Pago account than yours. It cannot be counted here."),
            Review.REFUND_FAILED: _("Mercado Pago refused to give {wanted} back. The buyer still waits for it. It said: {why}"),
            "dispute": _("The buyer has opened a claim about {came} at Mercado Pago, which holds the money until it is decided."),
        }
        failed = self.failed
        said = words[self.kind]
        if self.kind == "dispute" and self.charge.status == "charged_back":
            said = _("The buyer's bank has taken {came} back. Whether they come back to you is being decided.")
        return str(said).format(
            expected=self.expected,
            came=self.came,
            wanted=self._written(failed.amount, failed.currency) if failed is not None else self.left,
            why=failed.error if failed is not None else "-",
        )

    @property
    def advice(self) -> str:
        """What to do."""
        if self.kind == "dispute":
            return _("Answer at Mercado Pago, with what shows that the order was handed over. Look there for payment {id}.").format(
                id=self.charge.mp_id
            )
        if self.under_way is not None:
            return _("It is being given back. Nothing is left for you to do: this goes away once Mercado Pago has done it.")
        if self.kind == Review.REFUND_FAILED:
            return _("Try again, or give it back at Mercado Pago's own site or in cash and then leave it at that.")
        if not self.can_accept:
            return _("Give it back, and ask the buyer to pay again.")
        if self.charge.amount < self.payment.amount:
            return _("Accept it, and {rest} stay to be paid; or give it back.").format(
                rest=self._written(self.payment.amount - self.charge.amount, self.charge.currency)
            )
        return _("Accept it, and the {rest} too much go back by themselves; or give all of it back.").format(
            rest=self._written(self.charge.amount - self.payment.amount, self.charge.currency)
        )

    @property
    def consequence(self) -> str:
        """Of accepting another amount than was asked for."""
        rest = self.payment.amount - self.charge.amount
        words = _("{rest} stay to be paid.") if rest > 0 else _("{rest} too much go back to the buyer by themselves.")
        return words.format(rest=self._written(abs(rest), self.charge.currency))

    @property
    def can_accept(self) -> bool:
        """As payments.ledger.reviews.accept_charge has it."""
        if self.kind == Review.REFUND_FAILED:
            return self.under_way is None
        sold = self.order is not None and self.order.status != Order.Status.CANCELLED
        return self.kind == Review.AMOUNT and sold and self.under_way is None

    @property
    def can_return(self) -> bool:
        may = self.charge.in_review and self.under_way is None and self.charge.status in RETURNABLE
        return may and self.returnable > 0

    @property
    def under_way(self) -> Refund | None:
        """The one that somebody has decided on here."""
        ours = (refund for refund in self.refunds if refund.reason == Refund.Reason.REVIEW)
        return next((refund for refund in ours if refund.state in UNDER_WAY), None)

    @property
    def failed(self) -> Refund | None:
        """The newest one that was refused."""
        return next((refund for refund in reversed(self.refunds) if refund.state == Refund.State.REJECTED), None)

    @property
    def answer_at(self) -> str:
        """Where disputes are answered."""
        return f"https://www.mercadopago.{COUNTRIES.get(self.own_currency, 'com')}/activities"

    def _written(self, amount: Decimal, currency: str) -> str:
        return written(amount, currency, self.own_currency)


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A matter that is over."""

    number: int
    address: str
    outcome: str
    amount: str
    at: datetime
    who: str


def matters_of(ref: TenantRef) -> list[Matter]:
    """What waits, the oldest first. In the cafeteria's scope."""
    both = charges_in_review(ref.uuid) | open_disputes(ref.uuid)
    return _matters(ref, both.select_related("payment").order_by("created_at", "id"))


def matter_of(ref: TenantRef, charge_id: int) -> Matter | None:
    """One that waits for a decision. In the cafeteria's scope."""
    found = _matters(ref, charges_in_review(ref.uuid).filter(pk=charge_id).select_related("payment"))
    return found[0] if found else None


def decided_of(ref: TenantRef) -> list[Decided]:
    """What was decided, the newest first. In the cafeteria's scope."""
    over = ~Q(verdict="") | Q(disputed=True, status="charged_back", status_detail__in=SETTLED)
    charges = Charge.objects.filter(over, cafeteria_uuid=ref.uuid).exclude(TO_DECIDE).select_related("payment")
    matters = _matters(ref, charges.order_by("-last_updated", "-id")[:MOST_DECIDED])
    return [_decided(matter) for matter in matters]


def _matters(ref: TenantRef, charges: QuerySet[Charge]) -> list[Matter]:
    found = list(charges)
    orders = {order.secret: order for order in Order.objects.filter(secret__in=[charge.payment.order_key for charge in found])}
    refunds = _by_charge(Refund.objects.filter(charge__in=found).order_by("pk"))
    return [
        Matter(
            charge=charge,
            own_currency=ref.currency,
            order=orders.get(charge.payment.order_key),
            refunds=refunds.get(charge.pk, []),
        )
        for charge in found
    ]


def _by_charge(refunds: Iterable[Refund]) -> dict[int, list[Refund]]:
    found: dict[int, list[Refund]] = {}
    for refund in refunds:
        if refund.charge_id is not None:
            found.setdefault(refund.charge_id, []).append(refund)
    return found


def _decided(matter: Matter) -> Decided:
    charge = matter.charge
    asked = [refund.actor_label for refund in matter.refunds if refund.reason == Refund.Reason.REVIEW and refund.actor_label]
    return Decided(
        number=matter.number,
        address=matter.address,
        outcome=_outcome(charge),
        amount=matter.came,
        at=charge.reviewed_at or charge.last_updated,
        who=charge.reviewed_by or (asked[-1] if asked else ""),
    )


def _outcome(charge: Charge) -> str:
    if charge.verdict == Charge.Verdict.RETURNED:
        return _("Given back")
    if charge.verdict == Charge.Verdict.ACCEPTED:
        return _("Left at that") if charge.review == Review.REFUND_FAILED else _("Accepted")
    return _("Dispute lost: the bank kept it") if charge.status_detail == "settled" else _("Dispute over: Mercado Pago covered it")
