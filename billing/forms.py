from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.plans import PLANS, Plan, plan_by_code
from core.identity.emails import normalise_email
from core.identity.errors import InvalidEmail


class PlanForm(forms.Form):
    """A plan and, for one that is paid from now on, whose Mercado Pago account pays it."""

    plan = forms.ChoiceField(label=_("Plan"), choices=[(plan.code, plan.name) for plan in PLANS])
    payer_email = forms.CharField(
        label=_("E-mail of your Mercado Pago account"),
        help_text=_("Mercado Pago asks for this account when you agree to the payments."),
        max_length=254,
        required=False,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "inputmode": "email", "autocapitalize": "none", "required": True}),
    )

    def __init__(self, *arguments: Any, asks_payer: bool, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.asks_payer = asks_payer
        if asks_payer:
            self.fields["payer_email"].required = True
        else:
            del self.fields["payer_email"]

    def clean(self) -> dict[str, Any]:
        """The free plan asks for nobody's account."""
        values = super().clean() or {}
        if "plan" in values and not plan_by_code(values["plan"]).price and "payer_email" in self.errors:
            del self.errors["payer_email"]
        return values

    def clean_payer_email(self) -> str:
        try:
            return normalise_email(self.cleaned_data["payer_email"])
        except InvalidEmail as error:
            raise forms.ValidationError(error.translated()) from None

    @property
    def chosen(self) -> Plan:
        """Of a valid form."""
        return plan_by_code(self.cleaned_data["plan"])
