from django import forms
from django.utils.translation import gettext_lazy as _

from core.identity.forms import SignUpForm


class CustomerSignUpForm(SignUpForm):
    field_order = ["full_name", "phone", "email", "password"]
    phone = forms.CharField(
        label=_("Phone"),
        max_length=40,
        required=False,
        widget=forms.TextInput(attrs={"type": "tel", "autocomplete": "tel", "inputmode": "tel"}),
    )


class DetailsForm(forms.Form):
    full_name = forms.CharField(label=_("Your name"), max_length=120, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    phone = forms.CharField(
        label=_("Phone"),
        max_length=40,
        required=False,
        widget=forms.TextInput(attrs={"type": "tel", "autocomplete": "tel", "inputmode": "tel"}),
    )
