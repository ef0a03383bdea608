"""What the forms about an order's money ask for."""

from decimal import ROUND_CEILING, Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from core.design.formats import format_money
from core.money import is_exact
from shop.kitchen.order_page.data import NOTES
from shop.orders.models import Order

REST, PART = "rest", "part"
QUICK = 4  # round amounts beside the exact one
IN_NUMBERS = {"invalid": _("Write an amount in numbers."), "max_digits": _("That is too much.")}


class CashForm(forms.Form):
    """`given` of a valid form is what the customer has handed over; nothing written means the exact amount."""

    given = forms.DecimalField(min_value=Decimal(0), max_digits=10, required=False, error_messages=IN_NUMBERS)

    def __init__(self, *arguments: Any, due: Decimal, currency: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.due, self.currency = due, currency

    def clean_given(self) -> Decimal:
        given: Decimal | None = self.cleaned_data["given"]
        if given is None:
            return self.due
        if not is_exact(given, self.currency):
            raise forms.ValidationError(_("The currency has no such fraction."))
        if given < self.due:
            missing = format_money(self.due - given, self.currency)
            raise forms.ValidationError(_("That is not enough: %(missing)s is missing."), params={"missing": missing})
        return given


class RefundForm(forms.Form):
    """`wanted` of a valid form is how much goes back."""

    which = forms.ChoiceField(choices=[(REST, REST), (PART, PART)], error_messages={"required": _("Choose one.")})
    amount = forms.DecimalField(max_digits=10, required=False, error_messages=IN_NUMBERS)

    def __init__(self, *arguments: Any, left: Decimal, currency: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.left, self.currency = left, currency

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("which") == PART and "amount" not in self.errors:
            problem = self._problem(data.get("amount"))
            if problem:
                self.add_error("amount", problem)
        return data

    def _problem(self, amount: Decimal | None) -> Any:
        if amount is None:
            return _("Write how much goes back.")
        if amount <= 0 or not is_exact(amount, self.currency):
            return _("The amount must be above zero, and the currency must have such a fraction.")
        if amount > self.left:
            most = format_money(self.left, self.currency)
            return forms.ValidationError(_("At most %(most)s of this payment can go back."), params={"most": most})
        return None

    @property
    def wanted(self) -> Decimal:
        amount: Decimal = self.left if self.cleaned_data["which"] == REST else self.cleaned_data["amount"]
        return amount


class FindForm(forms.Form):
    """Which orders to list. What is not understood is left out of the search, and said."""

    q = forms.CharField(max_length=80, required=False)
    day = forms.DateField(required=False, error_messages={"invalid": _("That is not a day.")})
    status = forms.ChoiceField(choices=[("", pgettext_lazy("orders", "All")), *Order.Status.choices], required=False)
    payment = forms.ChoiceField(choices=[("", pgettext_lazy("orders", "All")), *Order.PaymentStatus.choices], required=False)


def round_amounts(due: Decimal, currency: str) -> list[Decimal]:
    """What customers hand over for this much: it rounded up to the notes that there are, smallest first, without the exact amount."""
    found = {_up(due, note) for note in NOTES[currency] if note * 10 >= due} or {_up(due, NOTES[currency][-1])}
    return sorted(amount for amount in found if amount > due)[:QUICK]


def _up(due: Decimal, note: int) -> Decimal:
    return (due / note).to_integral_value(ROUND_CEILING) * note
