"""An order as its customer follows it."""

from datetime import datetime
from typing import Literal

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from shop.orders.models import Order

Status = Order.Status
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


def steps_of(order: Order) -> list[Step]:
    """The steps behind, at and before the order, with the times at which they were taken. Reads `order.events`."""
    times: dict[str, datetime] = {event.kind: event.at for event in order.events.all()}
    times[Status.PENDING] = order.created_at
    if order.status == Status.CANCELLED:
        behind = [status for status in WAY if status in times]
        return [*(_step("done", status, times) for status in behind), _step("now", Status.CANCELLED, times)]
    place = WAY.index(Status(order.status))
    steps = [_step("done" if n < place else "now" if n == place else "next", status, times) for n, status in enumerate(WAY)]
    if order.status == Status.COMPLETED:
        steps[-1] = _step("done", Status.COMPLETED, times)
    return steps


def _step(state: Literal["done", "now", "next"], status: str, times: dict[str, datetime]) -> Step:
    return state, STEPS[status], times.get(status) if state != "next" else None
