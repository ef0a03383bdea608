"""What a cafeteria pays the platform each month. Frozen: a plan that changes is a new code, so that old invoices stay true."""

from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from core.money import quantize


@dataclass(frozen=True, kw_only=True)
class Plan:
    code: str
    name: Promise
    words: Promise  # whom it is for, in one sentence
    price: Decimal  # a month, in settings.PLATFORM_CURRENCY; whole, as every currency has it
    products: int | None  # how many the menu may hold; None is without limit
    people: int | None  # staff with a sign-in; None is without limit
    orders: int | None  # a month; None is without limit
    features: tuple[Promise, ...]  # what it has beyond the plan before


TRIAL_DAYS = 14  # of the recommended plan, from the opening on, without a card
PLANS = (
    Plan(
        code="counter",
        name=_("Counter"),
        words=_("To start taking orders today."),
        price=Decimal(0),
        products=60,
        people=2,
        orders=150,
        features=(_("Own site with menu, cart and tracking"), _("Order board for the counter"), _("Menu from a spreadsheet")),
    ),
    Plan(
        code="house",
        name=_("House"),
        words=_("For the cafeteria with a full room."),
        price=Decimal(24900),
        products=400,
        people=12,
        orders=3000,
        features=(_("Everything in Counter"), _("A sign-in for each person, with its role"), _("Past sales brought along")),
    ),
    Plan(
        code="corner",
        name=_("Every corner"),
        words=_("For several cafeterias of one owner."),
        price=Decimal(59900),
        products=None,
        people=None,
        orders=None,
        features=(_("Everything in House"), _("Several cafeterias from one account"), _("API for the own systems")),
    ),
)
RECOMMENDED = "house"
FREE = "counter"


def plan_by_code(code: str) -> Plan:
    """KeyError for a code that no plan has."""
    return {plan.code: plan for plan in PLANS}[code]


def price_of(plan: Plan) -> Decimal:
    """A month, in the platform's currency."""
    return quantize(plan.price, settings.PLATFORM_CURRENCY)
