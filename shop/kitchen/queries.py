"""The board: what is to be done, in three columns, and the one next step of each order."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from shop.orders.models import Order

Status = Order.Status
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


@dataclass(frozen=True, kw_only=True)
class Card:
    order: Order
    step: Step
    late: bool

    @property
    def name(self) -> str:
        return self.order.guest_name or (self.order.customer.full_name if self.order.customer else "")


@dataclass(frozen=True, kw_only=True)
class Column:
    code: str
    title: Promise
    empty: Promise
    cards: list[Card]


def columns_of(orders: Iterable[Order], channel: str) -> list[Column]:
    """New, in work and ready; oldest first in each. A channel of "all" leaves none out."""
    now = timezone.now()
    cards: dict[str, list[Card]] = {status: [] for status in STEPS}
    for order in orders:
        if channel in {"all", order.channel}:
            late = order.status in LATE and order.pickup_at is None and now - order.created_at > LATE[Status(order.status)]
            cards[order.status].append(Card(order=order, step=STEPS[Status(order.status)], late=late))
    work = sorted(cards[Status.CONFIRMED] + cards[Status.PREPARING], key=lambda card: card.order.pk)
    return [
        Column(code="new", title=pgettext_lazy("column", "New"), empty=_("No new orders."), cards=cards[Status.PENDING]),
        Column(code="work", title=pgettext_lazy("column", "In work"), empty=_("Nothing in work."), cards=work),
        Column(code="ready", title=pgettext_lazy("column", "Ready"), empty=_("Nothing to hand over."), cards=cards[Status.READY]),
    ]
