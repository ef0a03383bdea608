from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from ops.console.cafeterias.forms import TypedForm
from ops.console.words import PARTS


class RestoreForm(TypedForm):
    """What to bring back, and the cafeteria's address typed out."""

    parts = forms.MultipleChoiceField(
        choices=list(PARTS.items()),
        required=True,
        error_messages={"required": _("Choose the data, the pictures or both.")},
    )

    field_order = ("parts", "typed")

    def __init__(self, data: Any = None, *, expected: str) -> None:
        super().__init__(data, expected=expected)
        self.chosen = list(PARTS) if data is None else data.getlist("parts")
