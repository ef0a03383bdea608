"""What the staff does to an order on its screens, which show it as it was a moment ago."""

from decimal import Decimal
from uuid import UUID

from django.db import transaction

from core.errors import IdempotencyConflict
from core.identity.callers import Caller
from payments.ledger import actions as ledger
from payments.ledger.data import Actor, RequestKey
from payments.ledger.errors import NothingDue, OrderIsCancelled
from payments.ledger.models import Payment
from shop.kitchen.errors import DueChanged, FormUsed, MovedAlready, NotPaid
from shop.kitchen.queries import due_of, is_unpaid
from shop.orders.actions import cancel_order, change_status
from shop.orders.errors import OrderNotFound
from shop.orders.models import Order
from shop.orders.payments.actions import facts_of
from tenants.scope import current_tenant

Status = Order.Status


def step_order(*, order_id: int, before: str, after: str, actor: Caller, unpaid: bool = False) -> Order:
    """One step from the status that the screen showed: a second tap, here or on another screen, moves nothing further.

    An order that is not paid is handed over only if `unpaid` says that somebody has decided so. Raises MovedAlready, NotPaid, and what
    the order's own actions raise.
    """
    with transaction.atomic():
        order = _locked(order_id)
        if order.status != before:
            raise MovedAlready
        if after == Status.COMPLETED and is_unpaid(order) and not unpaid:
            raise NotPaid(number=order.number)
        if after == Status.CANCELLED:
            return cancel_order(order_id=order_id, actor=actor)
        return change_status(order_id=order_id, status=after, actor=actor)


def take_payment(*, order_id: int, method: str, seen: Decimal, key: str, actor: Caller) -> Payment:
    """Record what is due as paid at the counter; the same key again answers with the same payment.

    `seen` is the amount that the screen asked for. Raises DueChanged when another one is due, NothingDue, OrderIsCancelled, FormUsed.
    """
    with transaction.atomic():
        order, cafeteria = _locked(order_id), current_tenant()
        request = RequestKey(caller=f"person:{actor.id}", key=key, fingerprint=f"take:{order_id}:{method}")
        if not _was_taken(cafeteria.uuid, request):
            if not is_unpaid(order):
                raise OrderIsCancelled if order.status == Status.CANCELLED else NothingDue
            if seen != due_of(order):
                raise DueChanged
        try:
            return ledger.take_at_counter(
                cafeteria_uuid=cafeteria.uuid,
                order=facts_of(order, with_copy=True),
                method=method,
                actor=Actor(person_id=actor.id, label=actor.email),
                request=request,
            )
        except IdempotencyConflict:
            raise FormUsed from None


def _was_taken(cafeteria_uuid: UUID, request: RequestKey) -> bool:
    made = Payment.objects.filter(cafeteria_uuid=cafeteria_uuid, caller=request.caller, idempotency_key=request.key)
    return bool(request.key) and made.exists()


def _locked(order_id: int) -> Order:
    order = Order.objects.select_for_update(no_key=True).filter(pk=order_id).first()
    if order is None:
        raise OrderNotFound
    return order
