"""The board: what is to be done, in three columns, the one next step of each order, and how it stands with its money."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import Sum
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as now_
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from core.design.formats import format_money
from payments.ledger.models import LedgerEntry, Method, Refund
from shop.orders.models import Order

Status = Order.Status
Pay = Order.PaymentStatus
ZERO = Decimal(0)
type ByMethod = dict[str, Decimal]  # what has stayed by each method of payment; zero where all of it went back
CHANNELS: dict[str, Promise] = {
    "all": pgettext_lazy("orders", "All"),
    "online": pgettext_lazy("orders", "From the site"),
    "counter": pgettext_lazy("orders", "Counter"),
}
LATE = {Status.PENDING: timedelta(minutes=3), Status.CONFIRMED: timedelta(minutes=15), Status.PREPARING: timedelta(minutes=15)}


@dataclass(frozen=True, kw_only=True)
class Step:
    to: str
    label: Promise
    held: bool  # waits 5 s on the screen that tapped, to be undone: the customer is told of it, or it leaves the board


STEPS = {
    Status.PENDING: Step(to=Status.CONFIRMED, label=_("Accept"), held=False),
    Status.CONFIRMED: Step(to=Status.PREPARING, label=_("Start"), held=False),
    Status.PREPARING: Step(to=Status.READY, label=pgettext_lazy("button", "Ready"), held=True),
    Status.READY: Step(to=Status.COMPLETED, label=_("Hand over"), held=True),
}


METHODS: dict[str, str | Promise] = {
    Method.MERCADOPAGO: "Mercado Pago",
    Method.CASH: pgettext_lazy("payment", "cash"),
    Method.CARD: pgettext_lazy("payment", "card"),
}
BADGES = {  # of a badge: kind, icon
    Pay.PENDING: ("warn", "clock"),
    Pay.PAID: ("good", "check"),
    Pay.FAILED: ("warn", "warning"),
    Pay.REFUNDED: ("info", "undo"),
    Pay.PARTIALLY_REFUNDED: ("info", "undo"),
    Pay.REVIEW: ("bad", "warning"),
    Pay.CHARGED_BACK: ("bad", "warning"),
}


@dataclass(frozen=True, kw_only=True)
class Badge:
    """How an order stands with its money, in words, with a sign and a colour."""

    label: str
    kind: str
    icon: str


@dataclass(frozen=True, kw_only=True)
class Card:
    order: Order
    step: Step
    late: bool
    by_method: ByMethod = field(default_factory=dict)

    @property
    def name(self) -> str:
        return name_of(self.order)

    @property
    def badge(self) -> Badge:
        return badge_of(self.order, self.by_method)

    @property
    def unpaid(self) -> bool:
        return is_unpaid(self.order)

    @property
    def asks(self) -> bool:
        """Whether its next step gives an order away that is not paid."""
        return self.step.to == Status.COMPLETED and self.unpaid

    @property
    def going_back(self) -> list[str]:
        return going_back(self.by_method, self.order.currency)

    @property
    def left(self) -> int:
        """Minutes until its time to be paid online is over."""
        return minutes_left(self.order)


@dataclass(frozen=True, kw_only=True)
class Column:
    code: str
    title: Promise
    empty: Promise
    cards: list[Card]


def columns_of(orders: Iterable[Order], channel: str, money: dict[str, ByMethod]) -> list[Column]:
    """New, in work and ready; oldest first in each, without what waits for its payment. A channel of "all" leaves none out."""
    now = timezone.now()
    cards: dict[str, list[Card]] = {status: [] for status in STEPS}
    for order in orders:
        if channel in {"all", order.channel} and not waits(order):
            cards[order.status].append(card_of(order, money, now))
    work = sorted(cards[Status.CONFIRMED] + cards[Status.PREPARING], key=lambda card: card.order.pk)
    return [
        Column(code="new", title=pgettext_lazy("column", "New"), empty=_("No new orders."), cards=cards[Status.PENDING]),
        Column(code="work", title=pgettext_lazy("column", "In work"), empty=_("Nothing in work."), cards=work),
        Column(code="ready", title=pgettext_lazy("column", "Ready"), empty=_("Nothing to hand over."), cards=cards[Status.READY]),
    ]


def waiting_of(orders: Iterable[Order], channel: str, money: dict[str, ByMethod]) -> list[Card]:
    """What nobody cooks yet, since it waits for its payment online; the one whose time is over first comes first."""
    found = [card_of(order, money, timezone.now()) for order in orders if channel in {"all", order.channel} and waits(order)]
    return sorted(found, key=lambda card: (card.order.pay_by, card.order.pk))


def card_of(order: Order, money: dict[str, ByMethod], now: datetime) -> Card:
    # An order that waited for its payment came to the kitchen when it was paid.
    since = order.updated_at if order.status == Status.PENDING and order.payment_status == Pay.PAID else order.created_at
    late = order.status in LATE and order.pickup_at is None and now - since > LATE[Status(order.status)]
    return Card(order=order, step=STEPS[Status(order.status)], late=late, by_method=money.get(order.secret, {}))


def waits(order: Order) -> bool:
    return order.status == Status.PENDING and order.pay_by is not None


def minutes_left(order: Order) -> int:
    left = order.pay_by - timezone.now() if order.pay_by else timedelta(0)
    return max(0, -(-int(left.total_seconds()) // 60))


def name_of(order: Order) -> str:
    """Whom to call. Reads `order.customer`."""
    return order.guest_name or (order.customer.full_name if order.customer else "")


# --- How an order stands with its money ------------------------------------------------------------------------------------------


def due_of(order: Order) -> Decimal:
    """What somebody still has to ask for. Of what was given back in part that is nothing: it was given back on purpose."""
    settled = order.status == Status.CANCELLED or order.payment_status in {Pay.PAID, Pay.PARTIALLY_REFUNDED}
    return ZERO if settled else max(order.total - order.paid, ZERO)


def is_unpaid(order: Order) -> bool:
    return due_of(order) > 0


def money_of(cafeteria_uuid: UUID, orders: Iterable[Order]) -> dict[str, ByMethod]:
    """By the order's key. At most two queries, however many orders, and none when nothing of them has moved yet."""
    keys = [order.secret for order in orders if order.payment_status != Pay.PENDING or order.paid]
    found: dict[str, ByMethod] = {}
    if not keys:
        return found
    moved = LedgerEntry.objects.filter(cafeteria_uuid=cafeteria_uuid, order_key__in=keys).values_list("order_key", "method")
    for key, method, amount in moved.annotate(Sum("amount")).order_by("method"):
        found.setdefault(key, {})[method] = amount
    under_way = Refund.objects.filter(
        payment__cafeteria_uuid=cafeteria_uuid, payment__order_key__in=keys, state__in=(Refund.State.REQUESTED, Refund.State.IN_PROCESS)
    ).values_list("payment__order_key", "payment__method")
    for key, method, amount in under_way.annotate(Sum("amount")):
        if method in found.get(key, {}):
            found[key][method] -= amount
    return found


def badge_of(order: Order, by_method: ByMethod) -> Badge:
    kind, icon = BADGES[Pay(order.payment_status)]
    label = str(order.get_payment_status_display())
    if order.payment_status == Pay.PENDING and order.paid:
        label = now_("{amount} to be paid").format(amount=format_money(due_of(order), order.currency))
    how = [str(METHODS[method]) for method in by_method]
    return Badge(label=" · ".join([label, " + ".join(how)] if how else [label]), kind=kind, icon=icon)


def going_back(by_method: ByMethod, currency: str) -> list[str]:
    """What happens to each part of the money when it goes back: one sentence a method."""
    said = {
        Method.MERCADOPAGO: now_("{amount} goes back through Mercado Pago by itself."),
        Method.CASH: now_("Give {amount} back from the till."),
        Method.CARD: now_("Give {amount} back on the card terminal."),
    }
    return [said[Method(method)].format(amount=format_money(amount, currency)) for method, amount in by_method.items() if amount > 0]


def by_hand(by_method: ByMethod) -> bool:
    """Whether somebody has to do something for the money to go back."""
    return any(amount > 0 and method != Method.MERCADOPAGO for method, amount in by_method.items())
