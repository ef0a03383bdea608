from django import forms
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

from accounts.places import BY_KEY, CHOICES, Where
from accounts.support import LIVES
from core.errors import AppError
from tenants.slugs import check_slug

LIVE = {
    "hx-get": reverse_lazy("check_address"),
    "hx-trigger": "input changed delay:400ms",
    "hx-include": "closest form",
    "hx-target": "#address-answer",
    "hx-sync": "closest form:replace",
}


class SupportForm(forms.Form):
    life = forms.ChoiceField(choices=[(life, life) for life in LIVES])


class OpenCafeteriaForm(forms.Form):
    name = forms.CharField(
        label=_("Name of the cafeteria"), max_length=120, widget=forms.TextInput(attrs={"autocomplete": "organization", **LIVE})
    )
    slug = forms.CharField(
        label=_("Address on the web"),
        help_text=_("Letters, digits and hyphens. Left empty, it is made from the name. It cannot be changed later."),
        max_length=63,
        required=False,
        widget=forms.TextInput(attrs={"autocapitalize": "none", "autocomplete": "off", "spellcheck": "false", **LIVE}),
    )
    place = forms.ChoiceField(
        label=_("City"),
        help_text=_("It gives the currency and the time. The nearest one will do."),
        choices=[("", _("Choose one")), *CHOICES],
    )

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"].lower()
        if slug:
            try:
                check_slug(slug)
            except AppError as error:
                raise forms.ValidationError(error.translated()) from None
        return slug

    @property
    def where(self) -> Where:
        """Of a valid form."""
        return BY_KEY[self.cleaned_data["place"]]
