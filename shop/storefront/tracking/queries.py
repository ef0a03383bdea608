"""An order as its customer follows it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from payments.ledger.cases import UNDECIDED
from payments.ledger.models import Charge, Method, Payment, Refund
from payments.ledger.refunds import UNSETTLED
from payments.sellers.queries import accepts_online
from shop.orders.actions import UNPAID
from shop.orders.models import Order, OrderEvent
from shop.orders.queries import OPEN
from shop.storefront.tracking.data import Money, Receipt, State
from tenants.scope import current_tenant

Status, Paid = Order.Status, Order.PaymentStatus
type Step = tuple[Literal["done", "now", "next"], Promise, datetime | None]

WAY = (Status.PENDING, Status.CONFIRMED, Status.PREPARING, Status.READY, Status.COMPLETED)
STEPS: dict[str, Promise] = {
    Status.PENDING: _("Sent to the cafeteria"),
    Status.CONFIRMED: _("Accepted"),
    Status.PREPARING: _("Being prepared"),
    Status.READY: _("Ready"),
    Status.COMPLETED: _("Handed over"),
    Status.CANCELLED: _("Cancelled"),
}
HEADLINES: dict[str, Promise] = {
    Status.PENDING: _("The cafeteria has your order"),
    Status.CONFIRMED: _("Accepted: it is next in line"),
    Status.PREPARING: _("It is being prepared"),
    Status.READY: _("It is ready!"),
    Status.COMPLETED: _("Enjoy it!"),
    Status.CANCELLED: _("This order was cancelled"),
}


WAITING: dict[State, Promise] = {  # for the payment: the cafeteria does not have the order yet
    State.WAITING: _("Waiting for your payment"),
    State.UNOPENED: _("Waiting for your payment"),
    State.CONFIRMING: _("We are confirming your payment"),
    State.LOOKED_AT: _("We are confirming your payment"),
    State.REJECTED: _("The payment did not go through"),
    State.REVIEW: _("We are checking your payment"),
}
RECENTLY = timedelta(minutes=10)
GONE_THROUGH = (Payment.Status.PAID, Payment.Status.PARTIALLY_REFUNDED, Payment.Status.REFUNDED, Payment.Status.CHARGED_BACK)


def headline_of(order: Order, money: Money) -> Promise:
    """The one sentence for it. Reads `order.events`."""
    if order.status == Status.CANCELLED:
        return _cancelled(order)
    if order.pay_by is not None and money.state in WAITING:
        return WAITING[money.state]
    if order.status == Status.PENDING and money.state == State.PAID:
        return _("Paid: the cafeteria has your order")
    return HEADLINES[order.status]


def money_of(order: Order, *, came_back: bool = False) -> Money:
    """What there is to say of the order's payments; `came_back`: its customer has just been at Mercado Pago. In the cafeteria's scope."""
    cafeteria_uuid = current_tenant().uuid
    found = Payment.objects.filter(cafeteria_uuid=cafeteria_uuid, order_key=order.secret).order_by("pk")
    payments = list(found.prefetch_related("charges", "refunds"))
    refunds = [refund for payment in payments for refund in payment.refunds.all()]
    returning = sum((refund.amount for refund in refunds if refund.state in UNSETTLED), Decimal(0))
    state = _state(order, payments, came_back=came_back, returning=returning)
    money = Money(
        state=state,
        due=order.total - order.paid,
        waits_until=order.pay_by,
        tried=any(payment.method == Method.MERCADOPAGO for payment in payments),
        returning=returning,
        returned=order.refunded,
        twice=any(refund.reason == Refund.Reason.TWICE for refund in refunds),
        late=any(refund.reason == Refund.Reason.LATE for refund in refunds),
        receipts=[receipt for payment in payments if payment.status in GONE_THROUGH for receipt in _receipts(payment)],
    )
    payable = money.is_unpaid and state != State.LOOKED_AT and order.status in OPEN
    return replace(money, online=payable and accepts_online(cafeteria_uuid))


def payment_to_look_at(order: Order) -> Payment | None:
    """The newest payment at Mercado Pago whose end is not known."""
    unknown = (Payment.Status.PENDING, Payment.Status.FAILED)
    mine = Payment.objects.filter(cafeteria_uuid=current_tenant().uuid, order_key=order.secret, method=Method.MERCADOPAGO)
    return mine.filter(status__in=unknown).exclude(preference_id="").order_by("-pk").first()


def _state(order: Order, payments: Sequence[Payment], *, came_back: bool, returning: Decimal) -> State:
    undecided = any(charge.status in UNDECIDED for payment in payments for charge in payment.charges.all())
    if order.payment_status == Paid.REVIEW:
        return State.REVIEW
    if order.payment_status == Paid.CHARGED_BACK:
        return State.CHARGED_BACK
    if order.status == Status.CANCELLED:
        return _state_of_cancelled(order, undecided=undecided, returning=returning)
    if order.payment_status in SETTLED:
        return SETTLED[order.payment_status]
    if order.total == 0:
        return State.FREE
    return _state_of_unpaid(order, payments, undecided=undecided, came_back=came_back)


SETTLED: dict[str, State] = {Paid.PAID: State.PAID, Paid.REFUNDED: State.REFUNDED, Paid.PARTIALLY_REFUNDED: State.PARTLY_REFUNDED}


def _state_of_cancelled(order: Order, *, undecided: bool, returning: Decimal) -> State:
    if returning:
        return State.RETURNING
    if order.paid > 0:
        return State.OWED
    if order.refunded > 0:
        return State.RETURNED
    return State.UNDECIDED if undecided else State.OVER


def _state_of_unpaid(order: Order, payments: Sequence[Payment], *, undecided: bool, came_back: bool) -> State:
    online = [payment for payment in payments if payment.method == Method.MERCADOPAGO]
    newest = online[-1] if online else None
    if undecided:
        return State.LOOKED_AT
    if order.payment_status == Paid.FAILED:
        return State.REJECTED
    if came_back and newest is not None and newest.looked_at is not None and newest.looked_at > timezone.now() - RECENTLY:
        return State.CONFIRMING
    if order.pay_by is None:
        return State.COUNTER
    return State.UNOPENED if newest is not None and not newest.preference_id else State.WAITING


def _receipts(payment: Payment) -> list[Receipt]:
    if payment.method != Method.MERCADOPAGO:
        return [Receipt(method=payment.method, amount=payment.amount, at=payment.created_at)]
    return [_receipt(payment, charge) for charge in payment.charges.all() if charge.approved_at is not None and charge.counts]


def _receipt(payment: Payment, charge: Charge) -> Receipt:
    return Receipt(method=payment.method, amount=charge.amount, at=charge.approved_at or charge.created_at, operation=charge.mp_id)


def _cancellation(order: Order) -> OrderEvent | None:
    return next((event for event in order.events.all() if event.kind == Status.CANCELLED), None)


def _was_unpaid(order: Order) -> bool:
    event = _cancellation(order)
    return event is not None and event.note == UNPAID


def _cancelled(order: Order) -> Promise:
    event = _cancellation(order)
    if _was_unpaid(order):
        return _("Cancelled: it was not paid in time")
    if event is not None and event.actor_id is not None and event.actor_id != order.customer_id:
        return _("The cafeteria cancelled this order")
    return HEADLINES[Status.CANCELLED]


def steps_of(order: Order) -> list[Step]:
    """The steps behind, at and before the order, with the times at which they were taken. Reads `order.events`."""
    times: dict[str, datetime] = {event.kind: event.at for event in order.events.all()}
    times[Status.PENDING] = order.created_at
    if order.status == Status.CANCELLED:
        behind = [] if _was_unpaid(order) else [status for status in WAY if status in times]
        return [*(_step("done", status, times) for status in behind), _step("now", Status.CANCELLED, times)]
    if order.pay_by is not None:
        return [("now", _("Payment"), order.created_at), *(_step("next", status, times) for status in WAY[1:])]
    place = WAY.index(Status(order.status))
    steps = [_step("done" if n < place else "now" if n == place else "next", status, times) for n, status in enumerate(WAY)]
    if order.status == Status.COMPLETED:
        steps[-1] = _step("done", Status.COMPLETED, times)
    return steps


def _step(state: Literal["done", "now", "next"], status: str, times: dict[str, datetime]) -> Step:
    return state, STEPS[status], times.get(status) if state != "next" else None
