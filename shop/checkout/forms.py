"""What a checkout asks for, beside the cart."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

from core.design.formats import format_moment
from core.money import is_exact, quantize
from shop.orders.data import Guest
from tenants.refs import TenantRef

PICKUP, TABLE = "pickup", "table"
TIP_PERCENTS = (0, 5, 10, 15)
OTHER_TIP = "other"
SLOT = timedelta(minutes=15)
SLOTS = 24
ONLINE, AT_COUNTER = "online", "counter"
REMEMBERED = ("name", "contact", "where", "table", "tip", "tip_other", "notes", "when", "pay")


class CheckoutForm(forms.Form):
    """`order_guest`, `order_tip`, `order_table` and `pickup_at` of a valid form are what a NewOrder wants."""

    name = forms.CharField(max_length=80, error_messages={"required": _("Write a name to call out when it is ready.")})
    contact = forms.CharField(max_length=120, required=False)
    where = forms.ChoiceField(choices=[(PICKUP, PICKUP), (TABLE, TABLE)], error_messages={"required": _("Choose one.")})
    table = forms.CharField(max_length=40, required=False)
    when = forms.CharField(max_length=40, required=False)
    tip = forms.ChoiceField(choices=[(str(p), str(p)) for p in TIP_PERCENTS] + [(OTHER_TIP, OTHER_TIP)], required=False)
    tip_other = forms.DecimalField(
        min_value=Decimal(0), max_digits=10, required=False, error_messages={"invalid": _("Write an amount in numbers.")}
    )
    notes = forms.CharField(max_length=300, required=False)
    pay = forms.ChoiceField(choices=[(ONLINE, ONLINE), (AT_COUNTER, AT_COUNTER)], required=False)  # nothing: at the counter

    def __init__(self, data: Mapping[str, Any] | None = None, *, tenant: TenantRef, signed_in: bool, **options: Any) -> None:
        super().__init__(data, **options)
        self.tenant = tenant
        self.fields["name"].required = not signed_in

    def clean_contact(self) -> str:
        contact: str = self.cleaned_data["contact"]
        if "@" in contact:
            validate_email(contact)
        elif contact and sum(c.isdigit() for c in contact) < 6:
            raise forms.ValidationError(_("Write a phone number or an e-mail address."))
        return contact

    def clean_when(self) -> datetime | None:
        if not self.cleaned_data["when"]:
            return None
        try:
            moment = datetime.fromisoformat(self.cleaned_data["when"])
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None or moment < datetime.now(UTC):
            raise forms.ValidationError(_("That time has passed. Choose another one."))
        return moment

    def clean_tip_other(self) -> Decimal:
        amount: Decimal = self.cleaned_data["tip_other"] or Decimal(0)
        if not is_exact(amount, self.tenant.currency):
            raise forms.ValidationError(_("The currency has no such fraction."))
        return amount

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("where") == TABLE and not data.get("table") and "table" not in self.errors:
            self.add_error("table", _("Write the number of the table."))
        return data

    @property
    def order_guest(self) -> Guest:
        contact = self.cleaned_data["contact"]
        is_email = "@" in contact
        return Guest(name=self.cleaned_data["name"], phone="" if is_email else contact, email=contact if is_email else "")

    @property
    def order_table(self) -> str:
        return self.cleaned_data["table"] if self.cleaned_data["where"] == TABLE else ""


def tip_amount(tip: str, other: Any, subtotal: Decimal, currency: str) -> Decimal:
    """The tip in money. Zero for what is not understood: the form says what is wrong with it."""
    if tip == OTHER_TIP:
        return other if isinstance(other, Decimal) and other >= 0 else Decimal(0)
    percent = int(tip) if tip in {str(p) for p in TIP_PERCENTS} else 0
    return quantize(subtotal * percent / 100, currency)


def pickup_times(tenant: TenantRef) -> list[tuple[str, str]]:
    """The next quarters of an hour, as (ISO time, as people read it)."""
    now = datetime.now(UTC)
    first = now.replace(minute=0, second=0, microsecond=0) + SLOT * (now.minute // 15 + 2)
    return [(moment.isoformat(), format_moment(moment, tenant.timezone)) for moment in (first + SLOT * n for n in range(SLOTS))]


def as_remembered(data: Mapping[str, Any]) -> dict[str, str]:
    """What of the posted form is kept for the next look at it: short, and only what there is."""
    kept = {name: str(data.get(name, ""))[:300] for name in REMEMBERED}
    return {name: value for name, value in kept.items() if value and "\x00" not in value}
