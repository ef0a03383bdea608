"""One order as its cafeteria's staff sees it: its lines, what happened to it, and every movement of its money."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from uuid import UUID

from django.db.models import Prefetch, Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from core.design.formats import format_money
from payments.ledger.models import Charge, LedgerEntry, Method, Payment, Refund
from payments.ledger.refunds import refundable
from shop.kitchen.order_page.data import (
    CHARGE_STATUS,
    ENTRY_KIND,
    HAPPENED,
    PAYMENT_STATUS,
    REFUND_REASON,
    REFUND_STATE,
    REJECTED_FOR,
    REVIEW,
)
from shop.kitchen.queries import METHODS, ZERO
from shop.orders.actions import UNPAID
from shop.orders.errors import OrderNotFound
from shop.orders.models import Order, OrderEvent
from shop.people.models import Person

PAGE = 30
LARGEST_NUMBER = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class ChargeView:
    """A payment at Mercado Pago, in words."""

    charge: Charge

    @property
    def status(self) -> str | Promise:
        return CHARGE_STATUS.get(self.charge.status, self.charge.status)

    @property
    def reason(self) -> str | Promise:
        """Why it was rejected, where that is known."""
        return REJECTED_FOR.get(self.charge.status_detail, self.charge.status_detail) if self.charge.status == "rejected" else ""

    @property
    def review(self) -> str | Promise:
        return REVIEW[self.charge.review] if self.charge.in_review else ""


@dataclass(frozen=True, kw_only=True)
class RefundView:
    refund: Refund
    who: str

    @property
    def state(self) -> Promise:
        return REFUND_STATE[self.refund.state][0]

    @property
    def kind(self) -> str:
        return REFUND_STATE[self.refund.state][1]

    @property
    def reason(self) -> Promise:
        return REFUND_REASON[self.refund.reason]


@dataclass(frozen=True, kw_only=True)
class PaymentView:
    payment: Payment
    who: str
    charges: list[ChargeView]
    refunds: list[RefundView]
    left: Decimal  # what of it can still go back

    @property
    def method(self) -> str | Promise:
        return METHODS[self.payment.method]

    @property
    def status(self) -> Promise:
        return PAYMENT_STATUS[self.payment.status][0]

    @property
    def kind(self) -> str:
        return PAYMENT_STATUS[self.payment.status][1]


@dataclass(frozen=True, kw_only=True)
class EntryView:
    entry: LedgerEntry
    who: str

    @property
    def kind(self) -> Promise:
        return ENTRY_KIND[self.entry.kind]

    @property
    def method(self) -> str | Promise:
        return METHODS[self.entry.method]


@dataclass(frozen=True, kw_only=True)
class Happened:
    """A line of an order's history."""

    at: datetime
    words: str
    who: str = ""


@dataclass(frozen=True, kw_only=True)
class Money:
    payments: list[PaymentView]
    entries: list[EntryView]

    @property
    def going_back(self) -> dict[str, Decimal]:
        """By method, what goes back when the order is cancelled."""
        found: dict[str, Decimal] = {}
        for view in self.payments:
            if view.left > 0:
                found[view.payment.method] = found.get(view.payment.method, ZERO) + view.left
        return found

    @property
    def fingerprint(self) -> str:
        """Another one whenever something that the page shows of it has changed."""
        facts = [
            (
                (view.payment.pk, view.payment.status, view.payment.closed_at),
                [(shown.charge.pk, shown.charge.seen_at, shown.charge.verdict) for shown in view.charges],
                [(shown.refund.pk, shown.refund.state) for shown in view.refunds],
            )
            for view in self.payments
        ]
        return sha256(repr((facts, len(self.entries))).encode()).hexdigest()[:16]


def order_for_staff(order_id: int) -> Order:
    """With its items, customer and events. Raises OrderNotFound."""
    events = Prefetch("events", OrderEvent.objects.select_related("actor").order_by("id"))
    order = Order.objects.filter(pk=order_id).select_related("customer", "placed_by").prefetch_related("items", events).first()
    if order is None:
        raise OrderNotFound
    return order


def money_of_order(cafeteria_uuid: UUID, order: Order) -> Money:
    payments = list(Payment.objects.filter(cafeteria_uuid=cafeteria_uuid, order_key=order.secret).order_by("created_at", "pk"))
    if not payments:
        return Money(payments=[], entries=[])
    charges, refunds = _by_payment(Charge, payments, "created_at"), _by_payment(Refund, payments, "requested_at")
    entries = list(LedgerEntry.objects.filter(payment__in=payments).order_by("id"))
    names = _names(payments, entries, [refund for found in refunds.values() for refund in found])
    arrived = {entry.payment_id for entry in entries if entry.amount > 0}
    views = [
        PaymentView(
            payment=payment,
            who=names.get(payment.actor_label, payment.actor_label),
            charges=[ChargeView(charge=charge) for charge in charges.get(payment.pk, [])],
            refunds=[RefundView(refund=r, who=names.get(r.actor_label, r.actor_label)) for r in refunds.get(payment.pk, [])],
            left=max(refundable(payment), ZERO) if payment.pk in arrived else ZERO,
        )
        for payment in payments
    ]
    return Money(payments=views, entries=[EntryView(entry=e, who=names.get(e.actor_label, e.actor_label)) for e in entries])


def history_of(order: Order, money: Money) -> list[Happened]:
    """What happened, oldest first: the order's own events, and what its money did. Reads `order.events`."""
    lines = [
        Happened(at=event.at, words=_words_of(event), who=event.actor.full_name if event.actor else "")
        for event in order.events.all()
        if event.kind in HAPPENED
    ]
    for view in money.payments:
        if view.payment.method == Method.MERCADOPAGO:
            lines.append(Happened(at=view.payment.created_at, words=_("Payment with Mercado Pago begun"), who=view.who))
        lines += [_asked(order, shown) for shown in view.refunds if shown.refund.charge_id is not None]
    lines += [_moved(order, shown) for shown in money.entries]
    return sorted(lines, key=lambda line: line.at)


def orders_found(*, words: str, day: date | None, status: str, payment: str, before: int | None) -> list[Order]:
    """A page of them, newest first, and one more when there are more: of any day, by number, name, phone, e-mail or table."""
    orders: QuerySet[Order] = Order.objects.select_related("customer").order_by("-id")
    if day is not None:
        orders = orders.filter(business_date=day)
    if status:
        orders = orders.filter(status=status)
    if payment:
        orders = orders.filter(payment_status=payment)
    for word in words.split():
        orders = orders.filter(_matches(word))
    if before is not None:
        orders = orders.filter(pk__lt=before)
    return list(orders[: PAGE + 1])


def _matches(word: str) -> Q:
    number = word.removeprefix("#")
    if number.isascii() and number.isdigit() and int(number) <= LARGEST_NUMBER:
        by_number = Q(number=int(number)) | Q(table=number)
        return by_number | Q(guest_phone__contains=number) if len(number) > 4 else by_number
    said = Q(guest_name__icontains=word) | Q(customer__full_name__icontains=word) | Q(table__iexact=word)
    return said | Q(guest_email__icontains=word) | Q(guest_phone__contains=word) | Q(customer__email__icontains=word)


def _words_of(event: OrderEvent) -> str:
    if event.kind == Order.Status.CANCELLED and event.note == UNPAID:
        return _("Cancelled: it was not paid in time")
    return str(HAPPENED[event.kind])


def _by_payment[Row: (Charge, Refund)](rows: type[Row], payments: list[Payment], order_by: str) -> dict[UUID, list[Row]]:
    found: dict[UUID, list[Row]] = {}
    for row in rows._default_manager.filter(payment__in=payments).order_by(order_by, "pk"):
        found.setdefault(row.payment_id, []).append(row)
    return found


def _names(payments: list[Payment], entries: list[LedgerEntry], refunds: list[Refund]) -> dict[str, str]:
    """The names of those who have done something to the money, by the e-mail that was noted with it."""
    labels = {row.actor_label for rows in (payments, entries, refunds) for row in rows} - {""}
    return dict(Person.objects.filter(email__in=labels).values_list("email", "full_name")) if labels else {}


def _asked(order: Order, shown: RefundView) -> Happened:
    words = _("{amount} is to go back: {reason}").format(amount=format_money(shown.refund.amount, order.currency), reason=shown.reason)
    return Happened(at=shown.refund.requested_at, words=words, who=shown.who)


def _moved(order: Order, shown: EntryView) -> Happened:
    amount = format_money(abs(shown.entry.amount), order.currency)
    said = {
        LedgerEntry.Kind.PAYMENT: _("{amount} paid, {method}"),
        LedgerEntry.Kind.REFUND: _("{amount} given back, {method}"),
        LedgerEntry.Kind.CHARGEBACK: _("{amount} charged back, {method}"),
        LedgerEntry.Kind.ADJUSTMENT: _("{amount} adjusted, {method}"),
    }[LedgerEntry.Kind(shown.entry.kind)]
    if shown.entry.kind == LedgerEntry.Kind.CHARGEBACK and shown.entry.amount > 0:
        said = _("{amount} came back after a chargeback, {method}")
    return Happened(at=shown.entry.at, words=said.format(amount=amount, method=shown.method), who=shown.who)


def payment_of_order(money: Money, payment_id: UUID) -> PaymentView | None:
    return next((view for view in money.payments if view.payment.pk == payment_id), None)
