from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _


class CloneForm(forms.Form):
    """The copy's address, and whether the staff may come in."""

    slug = forms.CharField(
        label=_("Address of the copy"),
        max_length=63,
        help_text=_("Letters, digits and hyphens. Nobody else may have it."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    with_staff = forms.BooleanField(required=False)

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        if data is not None:
            self.fields["slug"].widget.attrs["autofocus"] = True

    def clean_slug(self) -> str:
        return str(self.cleaned_data["slug"]).strip().lower()
