"""The pages of signing up, in and out: the same on both kinds of host. Doors and addresses are the host's own (accounts, shop.people)."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from core.doors import person_of, safe_next
from core.errors import AppError, NotFound, TooManyAttempts
from core.flash import flash
from core.identity import actions, recovery
from core.identity.errors import EmailTaken, ResetLinkInvalid, SecondFactorRequired, WeakPassword, WrongCode, WrongCredentials
from core.identity.forms import (
    ChangePasswordForm,
    CodeForm,
    ConfirmPasswordForm,
    ForgottenPasswordForm,
    NewPasswordForm,
    SignInForm,
    SignUpForm,
    mark_wrong_fields,
)
from core.identity.realm import Realm
from core.identity.second_factor import forget_half, half_signed_in, remember_half
from core.sessions import forget_sign_in, note_proof, remember_sign_in
from core.throttle import client_address

RESET_LINK = "reset_link"  # the session's key for the token of a mail's link
FIELD_OF: Mapping[type[AppError], str] = {EmailTaken: "email", WrongCredentials: "current", WrongCode: "code"}


def sign_in_page(request: HttpRequest, realm: Realm, *, home: str, template: str = "core/identity/sign_in.html") -> HttpResponse:
    onward = safe_next(request, home)
    if request.method != "POST":
        return _already_in(request, onward) or _form_page(request, template, SignInForm())
    form = SignInForm(request.POST)

    def attempt() -> actions.SignedIn:
        values = form.cleaned_data
        return actions.sign_in(realm, email=values["email"], password=values["password"], address=client_address(request))

    failed = tried(form, lambda: _sign_in(request, attempt))
    return _form_page(request, template, form, failed) if failed is not None else _to_code_or(request, onward)


def sign_in_code_page(request: HttpRequest, realm: Realm, *, home: str) -> HttpResponse:
    """The second step, for whoever has just given the password in this browser; others begin at the first."""
    onward, half = safe_next(request, home), half_signed_in(request)
    recovery = "recovery" in request.GET
    if half is None:
        return _already_in(request, onward) or HttpResponseRedirect(_with_next(reverse("sign_in"), safe_next(request, "")))
    form = CodeForm(request.POST or None, recovery=recovery)
    template = "core/identity/sign_in_code.html"
    if request.method != "POST":
        form.fields["code"].widget.attrs["autofocus"] = True
        return _form_page(request, template, form, recovery=recovery)

    def attempt() -> actions.SignedIn:
        return actions.complete_sign_in(realm, half, code=form.cleaned_data["code"], address=client_address(request))

    failed = tried(form, lambda: _sign_in(request, attempt))
    return _form_page(request, template, form, failed, recovery=recovery) if failed is not None else HttpResponseRedirect(onward)


def sign_up_page(
    request: HttpRequest, realm: Realm, *, home: str, form_class: type[SignUpForm] = SignUpForm, template: str, **details: Any
) -> HttpResponse:
    """Makes the account and signs it in. The form's fields beyond the usual three go into the account, with `details`."""
    onward = safe_next(request, home)
    if request.method != "POST":
        return _already_in(request, onward) or _form_page(request, template, form_class())
    form = form_class(request.POST)

    def complete() -> None:
        account = actions.register(realm, address=client_address(request), **form.cleaned_data, **details)
        with realm.scope():
            signed_in = actions.start_session(realm, account)
        remember_sign_in(request, signed_in.who)

    failed = tried(form, complete)
    return _form_page(request, template, form, failed) if failed is not None else HttpResponseRedirect(onward)


def sign_out_page(request: HttpRequest, realm: Realm, *, home: str) -> HttpResponse:
    """For whoever is signed in, or not any more."""
    person = getattr(request, "person", None)
    if person is not None:
        actions.sign_out(realm, session_id=person.session_id)
    forget_sign_in(request)
    return HttpResponseRedirect(home)


def change_password_page(request: HttpRequest, realm: Realm, *, home: str, template: str) -> HttpResponse:
    form = ChangePasswordForm(request.POST or None)
    if request.method != "POST":
        return _form_page(request, template, form, back=home)

    def complete() -> None:
        person, values = person_of(request), form.cleaned_data
        signed_in = actions.change_password(
            realm, caller=person, current=values["current"], new=values["new"], address=client_address(request)
        )
        remember_sign_in(request, signed_in.who)

    failed = tried(form, complete)
    if failed is not None:
        return _form_page(request, template, form, failed, back=home)
    flash(request, _("Your password is changed. Other devices are signed out."))
    return HttpResponseRedirect(home)


def confirm_password_page(request: HttpRequest, realm: Realm, *, home: str, template: str) -> HttpResponse:
    """The password once more, and a code from whoever has them, before what cannot easily be taken back; then on to `next`."""
    person, recovery = person_of(request), "recovery" in request.GET
    with realm.scope():
        with_code = realm.asks_for_code(person.id)
    form = ConfirmPasswordForm(request.POST or None, with_code=with_code, recovery=recovery)
    if request.method != "POST":
        return _form_page(request, template, form, back=home, recovery=recovery)

    def complete() -> None:
        password, code = form.cleaned_data["current"], form.cleaned_data.get("code", "")
        actions.confirm_password(realm, caller=person, password=password, code=code, address=client_address(request))
        note_proof(request)

    failed = tried(form, complete)
    onward = safe_next(request, home)
    return _form_page(request, template, form, failed, back=home, recovery=recovery) if failed is not None else HttpResponseRedirect(onward)


def forgotten_password_page(request: HttpRequest, realm: Realm, *, enqueue_mail: Callable[[int, str, str], object]) -> HttpResponse:
    """Whoever asks is told the same, whether there is an account or not. `enqueue_mail` takes account id, page and language."""
    if not settings.MAIL_ENABLED:
        raise NotFound
    form = ForgottenPasswordForm(request.POST or None)
    template = "core/identity/forgotten_password.html"
    if request.method != "POST":
        return render(request, template, {"form": form, "asked": "asked" in request.GET})
    page, language = reverse("choose_password"), get_language() or settings.LANGUAGE_CODE

    def complete() -> None:
        email, address = form.cleaned_data["email"], client_address(request)
        recovery.ask_for_link(realm, email=email, address=address, enqueue_mail=lambda found: enqueue_mail(found, page, language))

    failed = tried(form, complete)
    return _form_page(request, template, form, failed) if failed is not None else HttpResponseRedirect(f"{request.path}?asked")


def choose_password_page(request: HttpRequest, realm: Realm, *, home: str) -> HttpResponse:
    """Where the mail's link leads. Its token goes into the session at once, so that no address, log or referrer keeps it."""
    template = "core/identity/choose_password.html"
    if "token" in request.GET:
        request.session[RESET_LINK] = request.GET["token"][: recovery.LONGEST]
        return HttpResponseRedirect(request.path)
    token, form = str(request.session.get(RESET_LINK, "")), NewPasswordForm(request.POST or None)
    try:
        recovery.check_link(realm, token=token)
    except ResetLinkInvalid as error:
        return render(request, template, {"refused": error.translated()}, status=error.status)
    if request.method != "POST":
        return _form_page(request, template, form)

    def attempt() -> actions.SignedIn:
        return recovery.choose_password(realm, token=token, new=form.cleaned_data["new"], address=client_address(request))

    failed = tried(form, lambda: _sign_in(request, attempt))
    if failed is not None:
        return _form_page(request, template, form, failed)
    request.session.pop(RESET_LINK, None)
    flash(request, _("Your password is changed. Other devices are signed out."))
    return _to_code_or(request, home)


def sign_out_everywhere_page(request: HttpRequest, realm: Realm, *, home: str) -> HttpResponse:
    actions.sign_out_everywhere(realm, account_id=person_of(request).id)
    forget_sign_in(request)
    flash(request, _("You are signed out on every device."))
    return HttpResponseRedirect(home)


def tried(form: forms.Form, complete: Callable[[], None], *, fields: Mapping[type[AppError], str] = FIELD_OF) -> AppError | int | None:
    """Validates, then completes. None when all went well; else what to answer, with the sentences beside their fields.

    `fields` says beside which field an error belongs; others stand above the form.
    """
    if not form.is_valid():
        mark_wrong_fields(form)
        return 422
    try:
        complete()
    except WeakPassword as error:
        for message in error.messages:
            form.add_error("new" if "new" in form.fields else "password", message)
        failed: AppError | int = 422
    except AppError as error:
        field = next((name for kind, name in fields.items() if isinstance(error, kind)), "")
        form.add_error(field if field in form.fields else None, error.translated())
        failed = error if isinstance(error, TooManyAttempts) else 422
    else:
        return None
    mark_wrong_fields(form)
    return failed


def _form_page(
    request: HttpRequest, template: str, form: forms.Form, failed: AppError | int | None = None, *, back: str = "", **more: Any
) -> HttpResponse:
    status = failed.status if isinstance(failed, AppError) else failed
    # Only what was asked for travels on: each page has its own place to go to by itself.
    response = render(request, template, {"form": form, "next": safe_next(request, ""), "back": back, **more}, status=status)
    if isinstance(failed, AppError):
        for name, value in failed.headers.items():
            response[name] = value
    return response


def _sign_in(request: HttpRequest, attempt: Callable[[], actions.SignedIn]) -> None:
    """This browser is signed in, or half when the account asks for a code too."""
    try:
        signed_in = attempt()
    except SecondFactorRequired as error:
        remember_half(request, error.half)
    else:
        forget_half(request)
        remember_sign_in(request, signed_in.who)


def _to_code_or(request: HttpRequest, onward: str) -> HttpResponse:
    if half_signed_in(request) is None:
        return HttpResponseRedirect(onward)
    return HttpResponseRedirect(_with_next(reverse("sign_in_code"), onward))


def _with_next(address: str, onward: str) -> str:
    return f"{address}?{urlencode({'next': onward})}" if onward else address


def _already_in(request: HttpRequest, onward: str) -> HttpResponse | None:
    return HttpResponseRedirect(onward) if getattr(request, "person", None) is not None else None
