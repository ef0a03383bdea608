"""Typed confirmations: whoever types the address has read which cafeteria it is."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy


class TypedForm(forms.Form):
    """Valid when exactly the cafeteria's address was typed."""

    typed = forms.CharField(max_length=80, required=False)

    def __init__(self, data: Any = None, *, expected: str) -> None:
        super().__init__(data)
        self.expected = expected
        self.fields["typed"].label = _("Type {expected} to go on").format(expected=expected)
        self.fields["typed"].required = True
        self.fields["typed"].widget.attrs.update(autocomplete="off", autocapitalize="none", spellcheck="false")
        if data is not None:  # Shown again, it says what was wrong: there the person goes on.
            self.fields["typed"].widget.attrs["autofocus"] = True

    def clean_typed(self) -> str:
        typed = str(self.cleaned_data["typed"]).strip()
        if typed != self.expected:
            raise forms.ValidationError(_("That is not {expected}. Nothing was done.").format(expected=self.expected))
        return typed


class SupportRequestForm(forms.Form):
    """What the owner reads before they let the support in."""

    reason = forms.CharField(label=_lazy("What for"), max_length=300)
