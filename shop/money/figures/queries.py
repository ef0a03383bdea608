"""What has come and gone, from the ledger. Orders are asked only for what the ledger does not know: tips, and what nobody has paid."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from django.db.models import Count, F, QuerySet, Sum
from django.db.models.functions import Least

from payments.ledger.models import LedgerEntry, Method, Refund
from shop.money.figures.forms import Span
from shop.money.queries import UNDER_WAY
from shop.orders.models import Order
from tenants.refs import TenantRef

Kind = LedgerEntry.Kind
ZERO = Decimal(0)
MOST_LISTED = 50
UNPAID = (Order.PaymentStatus.PENDING, Order.PaymentStatus.FAILED, Order.PaymentStatus.REVIEW)


@dataclass(kw_only=True)
class Flow:
    """Of some entries: what came, what went back, what a bank took back, what others keep."""

    taken: Decimal = ZERO
    refunded: Decimal = ZERO
    charged_back: Decimal = ZERO
    fees: Decimal = ZERO
    orders: int = 0  # that were paid

    @property
    def back(self) -> Decimal:
        return self.refunded + self.charged_back

    @property
    def net(self) -> Decimal:
        return self.taken - self.refunded - self.charged_back - self.fees

    def add(self, kind: str, amount: Decimal, fee: Decimal) -> None:
        if kind == Kind.REFUND:
            self.refunded -= amount
        elif kind == Kind.CHARGEBACK:
            self.charged_back -= amount
        else:
            self.taken += amount
        self.fees += fee


@dataclass(kw_only=True)
class Unpaid:
    """Orders that were handed over though nobody has paid them."""

    count: int = 0
    due: Decimal = ZERO
    orders: list[Order] = field(default_factory=list)  # the newest; each with `due`


@dataclass(kw_only=True)
class Figures:
    total: Flow
    by_method: dict[str, Flow]
    by_day: dict[date, Flow]
    tips: Decimal
    unpaid: Unpaid
    under_way: int  # refunds that Mercado Pago has not done yet, of whatever day
    under_way_amount: Decimal

    @property
    def moved(self) -> bool:
        return bool(self.by_method)


def figures_of(ref: TenantRef, span: Span) -> Figures:
    """In the cafeteria's scope. A fixed number of queries, whatever the span."""
    entries = entries_of(ref, span)
    total, by_method, by_day = Flow(), dict[str, Flow](), {day: Flow() for day in span.days}
    for day, method, kind, amount, fee in entries.values_list("business_date", "method", "kind").annotate(Sum("amount"), Sum("fee")):
        for flow in (total, by_method.setdefault(method, Flow()), by_day[day]):
            flow.add(kind, amount, fee)
    paid = entries.filter(kind=Kind.PAYMENT, amount__gt=0)
    total.orders = paid.aggregate(count=Count("order_key", distinct=True))["count"]
    for method, count in paid.values_list("method").annotate(Count("order_key", distinct=True)):
        by_method[method].orders = count
    waiting = Refund.objects.filter(cafeteria_uuid=ref.uuid, state__in=UNDER_WAY, currency=ref.currency)
    under_way = waiting.aggregate(count=Count("pk"), amount=Sum("amount"))
    return Figures(
        total=total,
        by_method={method: by_method[method] for method in Method.values if method in by_method},
        by_day=by_day,
        tips=_tips(ref, span),
        unpaid=_unpaid(span),
        under_way=under_way["count"],
        under_way_amount=under_way["amount"] or ZERO,
    )


def entries_of(ref: TenantRef, span: Span) -> QuerySet[LedgerEntry]:
    return LedgerEntry.objects.filter(cafeteria_uuid=ref.uuid, business_date__range=(span.first, span.last))


def _tips(ref: TenantRef, span: Span) -> Decimal:
    """Of the orders whose last payment came in the span, as far as their money has stayed."""
    payments = LedgerEntry.objects.filter(cafeteria_uuid=ref.uuid, kind=Kind.PAYMENT)
    here, later = payments.filter(business_date__range=(span.first, span.last)), payments.filter(business_date__gt=span.last)
    orders = Order.objects.filter(tip__gt=0, paid__gt=0, secret__in=here.values("order_key")).exclude(secret__in=later.values("order_key"))
    found: Decimal | None = orders.aggregate(sum=Sum(Least("tip", "paid")))["sum"]
    return found or ZERO


def _unpaid(span: Span) -> Unpaid:
    orders = Order.objects.filter(
        business_date__range=(span.first, span.last), status=Order.Status.COMPLETED, payment_status__in=UNPAID, total__gt=F("paid")
    ).exclude(channel=Order.Channel.IMPORTED)
    sums = orders.aggregate(count=Count("pk"), due=Sum(F("total") - F("paid")))
    if not sums["count"]:
        return Unpaid()
    listed: Iterable[Order] = orders.annotate(due=F("total") - F("paid")).order_by("-id")[:MOST_LISTED]
    return Unpaid(count=sums["count"], due=sums["due"], orders=list(listed))
