from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from core.identity.emails import normalise_email
from core.identity.errors import InvalidEmail
from core.identity.second_factor import LONGEST_CODE
from core.passwords import LONGEST


class SignInForm(forms.Form):
    email = forms.CharField(
        label=_("E-mail"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "username", "inputmode": "email", "autocapitalize": "none"}),
    )
    password = forms.CharField(
        label=_("Password"), max_length=1_000, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


class SignUpForm(forms.Form):
    full_name = forms.CharField(label=_("Your name"), max_length=120, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    email = forms.CharField(
        label=_("E-mail"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "username", "inputmode": "email", "autocapitalize": "none"}),
    )
    password = forms.CharField(
        label=_("Password"),
        help_text=_("At least 8 characters. Three or four words that only you would put together are good."),
        max_length=LONGEST,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "minlength": "8"}),
    )

    def clean_email(self) -> str:
        try:
            return normalise_email(self.cleaned_data["email"])
        except InvalidEmail as error:
            raise forms.ValidationError(error.translated()) from None


class ChangePasswordForm(forms.Form):
    current = forms.CharField(
        label=_("Present password"), max_length=1_000, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )
    new = forms.CharField(
        label=_("New password"),
        help_text=_("At least 8 characters. Three or four words that only you would put together are good."),
        max_length=LONGEST,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "minlength": "8"}),
    )


class CodeForm(forms.Form):
    """Of the app; with `recovery`, one of the codes for when it is lost, which have letters."""

    code = forms.CharField(label=_("Code"), max_length=LONGEST_CODE)

    def __init__(self, *args: Any, recovery: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["code"]
        if recovery:
            field.label, field.help_text = _("Recovery code"), _("One of the ten that you kept. Each works once.")
            field.widget.attrs.update(autocomplete="off", autocapitalize="none", spellcheck="false")
        else:
            field.help_text = _("The six digits that your app shows now.")
            field.widget.attrs.update(autocomplete="one-time-code", inputmode="numeric")


class ConfirmPasswordForm(CodeForm):
    """The password once more, and a code from whoever has a second factor."""

    current = forms.CharField(
        label=_("Password"), max_length=1_000, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )
    field_order = ("current", "code")

    def __init__(self, *args: Any, with_code: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not with_code:
            del self.fields["code"]


class ForgottenPasswordForm(forms.Form):
    email = forms.CharField(
        label=_("E-mail"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "username", "inputmode": "email", "autocapitalize": "none"}),
    )


class NewPasswordForm(forms.Form):
    new = forms.CharField(
        label=_("New password"),
        help_text=_("At least 8 characters. Three or four words that only you would put together are good."),
        max_length=LONGEST,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "minlength": "8"}),
    )


def mark_wrong_fields(form: forms.Form) -> None:
    """The first wrong field takes the focus, so that a keyboard and a screen reader begin there."""
    for name in form.fields:
        if name in form.errors:
            attrs: dict[str, Any] = form.fields[name].widget.attrs
            attrs["autofocus"] = True
            return
