"""What begins and ends a payment on our side. What Mercado Pago says of it comes in through payments.ledger.charges."""

import secrets
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from core.audit.actions import record
from core.errors import AppError, IdempotencyConflict
from core.money import as_text, is_exact, quantize
from payments.gateway.data import CheckoutRequest, Item
from payments.gateway.errors import ChargeNotFound, GatewayRefused, TokenRefused
from payments.gateway.gateway import TIMEOUT, gateway
from payments.ledger.cases import UNDECIDED, Case, close_payments, lock_request, open_case
from payments.ledger.data import Actor, OrderFacts, RequestKey, order_book
from payments.ledger.errors import AmountNotDue, CheckoutIsOver, InexactAmount, NotConnected, NothingDue, OrderIsCancelled, PaymentNotFound
from payments.ledger.models import Charge, LedgerEntry, Method, Payment
from payments.sellers.actions import mark_needs_reconnect
from payments.sellers.models import Seller
from payments.sellers.queries import active_seller, seller_of
from payments.sellers.vault import token_of
from tenants.routing import platform_url

Status = Payment.Status
FIRST_CHECK = timedelta(minutes=2)
LONGEST_DECISION = timedelta(hours=47)  # Reconciliation looks for 48 h.
AT_COUNTER = frozenset({Method.CASH.value, Method.CARD.value})
LEAST_TIME_LEFT = timedelta(minutes=3)  # of a checkout that is shown again


def start_payment(
    *, cafeteria_uuid: UUID, order: OrderFacts, amount: Decimal, return_url: str, actor: Actor, request: RequestKey | None = None
) -> Payment:
    """A payment at Mercado Pago for what is due on the order; an open one for the same amount is used again. Asks nobody outside.

    In the cafeteria's scope; follow it, outside, with open_checkout. Raises AmountNotDue, NothingDue, OrderIsCancelled, NotConnected,
    IdempotencyConflict.
    """
    request = request or RequestKey()
    with open_case(cafeteria_uuid, order.key) as case:
        earlier = _earlier(cafeteria_uuid, request)
        if earlier is not None:
            return earlier
        if not is_exact(amount, order.currency):
            raise InexactAmount(currency=order.currency)
        due = _check_due(case)
        if amount != due:
            raise AmountNotDue(due=as_text(due, order.currency), currency=order.currency)
        seller = active_seller(cafeteria_uuid)
        if seller is None or not _takes(seller, order.currency, case):
            raise NotConnected
        reusable = next((payment for payment in reversed(case.payments) if _is_open(payment, amount, case, seller.mp_user_id)), None)
        if reusable is not None:
            return reusable
        payment = _new_payment(case, order, amount, Method.MERCADOPAGO, actor, request)
        payment.collector_id, payment.return_url = seller.mp_user_id, return_url
        fee = quantize(amount * settings.PLATFORM_FEE_PERCENT / 100, order.currency)
        payment.platform_fee = fee if fee < amount else Decimal(0)
        payment.expires_at = case.now + timedelta(minutes=settings.PAYMENT_MINUTES)
        payment.next_check_at = case.now + FIRST_CHECK
        payment.save(force_insert=True)
        case.payments.append(payment)
        case.settle()
    return payment


def open_checkout(*, payment_id: UUID, attempts: int = 3, timeout: float = TIMEOUT) -> Payment:
    """Open the payment's checkout at Mercado Pago, once, and keep its address. Outside every scope.

    Raises payments.gateway.errors, NotConnected, CheckoutIsOver.
    """
    payment = Payment.objects.get(pk=payment_id)
    if payment.preference_id:
        return payment
    if payment.closed_at is not None:
        raise CheckoutIsOver
    seller = seller_of(payment.cafeteria_uuid, payment.collector_id or 0)
    if seller is None:
        raise NotConnected
    token = token_of(seller)
    try:
        checkout = gateway(token, attempts=attempts, timeout=timeout).create_checkout(
            _checkout_request(payment, seller.webhook_key), key=f"open-{payment.pk}"
        )
    except TokenRefused:
        mark_needs_reconnect(seller_id=seller.pk, refused_token=token)
        raise
    found = {"preference_id": checkout.preference_id, "init_point": checkout.init_point, "sandbox_init_point": checkout.sandbox_init_point}
    Payment.objects.filter(pk=payment.pk, preference_id="").update(**found)
    opened = Payment.objects.get(pk=payment_id)
    if opened.closed_at is not None:  # while Mercado Pago was asked
        with suppress(AppError):  # Reconciliation closes it then.
            close_checkout(payment_id=payment_id)
        raise CheckoutIsOver
    return opened


def take_at_counter(*, cafeteria_uuid: UUID, order: OrderFacts, method: str, actor: Actor, request: RequestKey | None = None) -> Payment:
    """Record that what is due was paid at the counter, in cash or on the cafeteria's own terminal. An open checkout is closed.

    In the cafeteria's scope. Raises NothingDue, OrderIsCancelled, IdempotencyConflict; ValueError for another method.
    """
    request = request or RequestKey()
    if method not in AT_COUNTER:
        raise ValueError(f"{method!r} is not paid at the counter.")
    with open_case(cafeteria_uuid, order.key) as case:
        earlier = _earlier(cafeteria_uuid, request)
        if earlier is not None:
            return earlier
        due = _check_due(case)
        payment = _new_payment(case, order, due, Method(method), actor, request)
        payment.save(force_insert=True)
        LedgerEntry.objects.create(
            **_entry(case, payment), key=f"till:{payment.pk}", kind=LedgerEntry.Kind.PAYMENT, amount=due, actor_label=actor.label
        )
        close_payments(case)
        case.payments.append(payment)
        case.settle()
        record("payment.taken", cafeteria_uuid=cafeteria_uuid, target=str(payment.pk), label=actor.label, method=method, amount=str(due))
    return payment


def close_checkout(*, payment_id: UUID, attempts: int = 3) -> None:
    """Tell Mercado Pago that the checkout is over, and cancel what is still undecided in it. Outside every scope; twice is once.

    Raises GatewayUnavailable, GatewayRefused and TokenRefused: reconciliation asks for it again.
    """
    payment = Payment.objects.get(pk=payment_id)
    seller = seller_of(payment.cafeteria_uuid, payment.collector_id or 0)
    if seller is None:
        return
    token = token_of(seller)
    outside = gateway(token, attempts=attempts)
    try:
        if payment.preference_id and payment.preference_closed_at is None:
            with suppress(ChargeNotFound):
                outside.close_checkout(payment.preference_id)
            Payment.objects.filter(pk=payment.pk).update(preference_closed_at=timezone.now())
        for mp_id in Charge.objects.filter(payment=payment, status__in=UNDECIDED).values_list("mp_id", flat=True):
            with suppress(GatewayRefused, ChargeNotFound):  # It has been decided meanwhile.
                outside.cancel_charge(mp_id)
    except TokenRefused:
        mark_needs_reconnect(seller_id=seller.pk, refused_token=token)
        raise


def is_left_open(payment: Payment) -> bool:
    """Whether Mercado Pago still has to be told that the payment is over, or something undecided in it."""
    if payment.closed_at is None or payment.method != Method.MERCADOPAGO:
        return False
    is_open = bool(payment.preference_id) and payment.preference_closed_at is None
    return is_open or Charge.objects.filter(payment=payment, status__in=UNDECIDED).exists()


def expire_payment(*, payment_id: UUID) -> bool:
    """End a checkout whose time is over and that nobody has paid or is paying; its order is cancelled if nobody has taken it up.

    Ask Mercado Pago first (payments.reconciliation): what was paid there is then known here. Whether it was ended. A card that is still
    being looked at there keeps the order for LONGEST_DECISION, then the payment is cancelled too.
    """
    payment = Payment.objects.get(pk=payment_id)
    with open_case(payment.cafeteria_uuid, payment.order_key) as case:
        payment = next(found for found in case.payments if found.pk == payment_id)
        over = payment.expires_at is not None and payment.expires_at <= case.now
        if not over or payment.closed_at is not None or payment.status not in {Status.PENDING, Status.FAILED}:
            return False
        assert payment.expires_at is not None
        undecided = Charge.objects.filter(payment=payment, status__in=UNDECIDED).exists()
        if undecided and case.now < payment.expires_at + LONGEST_DECISION:
            return False
        close_payments(case, only=payment)
        others = [found for found in case.payments if found.method == Method.MERCADOPAGO and found.closed_at is None]
        if case.order is not None and not case.order.cancelled and not others and case.net == 0:
            order_book().cancel_unpaid(case.order.id)
        case.settle()
    return True


def payment_of(cafeteria_uuid: UUID, payment_id: str) -> Payment:
    """By what a client calls it. Raises PaymentNotFound for whatever is not a payment of this cafeteria."""
    try:
        found = Payment.objects.filter(cafeteria_uuid=cafeteria_uuid, pk=UUID(payment_id)).first()
    except ValueError:
        found = None
    if found is None:
        raise PaymentNotFound
    return found


def _check_due(case: Case) -> Decimal:
    """What is due on the order as it is now, locked: whatever the caller has read of it may be old. A free order owes nothing."""
    if case.order is None or case.order.cancelled:
        raise OrderIsCancelled
    due = case.due
    if due <= 0:
        raise NothingDue
    return due


def _takes(seller: Seller, currency: str, case: Case) -> bool:
    lives = seller.status == seller.Status.CONNECTED and seller.expires_at > case.now
    return lives and seller.currency == currency and not seller.is_locked


def _earlier(cafeteria_uuid: UUID, request: RequestKey) -> Payment | None:
    """What the same request has made before."""
    if not request.key:
        return None
    lock_request(cafeteria_uuid, request)
    found = Payment.objects.filter(cafeteria_uuid=cafeteria_uuid, caller=request.caller, idempotency_key=request.key).first()
    if found is not None and found.fingerprint != request.fingerprint:
        raise IdempotencyConflict
    return found


def _is_open(payment: Payment, amount: Decimal, case: Case, collector_id: int) -> bool:
    usable = payment.method == Method.MERCADOPAGO and payment.closed_at is None and payment.collector_id == collector_id
    waits = payment.status in {Status.PENDING, Status.FAILED} and payment.amount == amount
    return usable and waits and payment.expires_at is not None and payment.expires_at - case.now > LEAST_TIME_LEFT


def _new_payment(case: Case, order: OrderFacts, amount: Decimal, method: Method, actor: Actor, request: RequestKey) -> Payment:
    return Payment(
        cafeteria_uuid=case.cafeteria_uuid,
        order_key=order.key,
        order_id=order.id,
        order_number=order.number,
        business_date=order.business_date,
        order_copy=order.copy,
        method=method,
        amount=amount,
        currency=order.currency,
        created_at=case.now,
        updated_at=case.now,
        person_id=actor.person_id,
        actor_label=actor.label,
        reference=f"cmd-{secrets.token_urlsafe(24)}",
        caller=request.caller,
        idempotency_key=request.key,
        fingerprint=request.fingerprint,
    )


def _entry(case: Case, payment: Payment) -> dict[str, object]:
    """The fields of an entry at the till, now."""
    return {
        "cafeteria_uuid": case.cafeteria_uuid,
        "order_key": payment.order_key,
        "order_id": payment.order_id,
        "payment": payment,
        "method": payment.method,
        "currency": payment.currency,
        "at": case.now,
        "business_date": case.business_date(case.now),
        "recorded_at": case.now,
    }


def _checkout_request(payment: Payment, webhook_key: str) -> CheckoutRequest:
    copy = payment.order_copy
    assert payment.expires_at is not None
    return CheckoutRequest(
        reference=payment.reference,
        items=_items(payment),
        currency=payment.currency,
        return_url=payment.return_url,
        notification_url=f"{platform_url()}/webhooks/mp/{webhook_key}",
        expires_at=payment.expires_at,
        platform_fee=payment.platform_fee,
        payer_email=copy.get("payer_email", ""),
        payer_name=copy.get("payer_name", ""),
        statement=copy.get("statement", ""),
    )


def _items(payment: Payment) -> tuple[Item, ...]:
    """The order's lines and its tip when they come to what is charged, else one line for the rest."""
    copy, number = payment.order_copy, payment.order_number
    items = [
        Item(id=str(line["product_id"]), title=line["name"], quantity=line["quantity"], unit_price=Decimal(line["unit_price"]))
        for line in copy.get("items", [])
    ]
    tip = Decimal(copy.get("tip", "0"))
    if tip:
        items.append(Item(id="tip", title=copy.get("tip_title", "Propina"), quantity=1, unit_price=tip))
    if items and sum(item.unit_price * item.quantity for item in items) == payment.amount and all(item.unit_price for item in items):
        return tuple(items)
    return (Item(id=f"order-{number}", title=f"Pedido #{number}", quantity=1, unit_price=payment.amount),)
