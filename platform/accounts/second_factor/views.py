from typing import Any

import segno
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from accounts.doors import page
from accounts.models import SecondFactor
from accounts.second_factor.actions import renew_recovery_codes, turn_off, turn_on
from accounts.second_factor.codes import app_address, new_secret
from core.doors import person_of, safe_next
from core.flash import flash
from core.identity import pages
from core.identity.forms import CodeForm
from core.sessions import remember_sign_in
from core.vault import VaultLocked, opens, seal, unseal

PENDING = "second_factor"  # the session's key for the secret that no code has confirmed yet: sealed, though its owner may read it
CODES = "accounts/second_factor/codes.html"


@page(access="signed_in")
@require_GET
def second_factor(request: HttpRequest) -> HttpResponse:
    person = person_of(request)
    factor = SecondFactor.objects.filter(user_id=person.id).first()
    left = factor.codes.filter(used_at=None).count() if factor is not None else 0
    needed = person.is_admin and settings.ADMIN_SECOND_FACTOR
    locked = factor is not None and not opens(factor.sealed_secret)
    return render(request, "accounts/second_factor/overview.html", {"factor": factor, "left": left, "needed": needed, "locked": locked})


@page(access="signed_in", proof=True)
@require_http_methods(["GET", "HEAD", "POST"])
def set_up(request: HttpRequest) -> HttpResponse:
    """A QR code for an app, and a first code that shows it was read. For whoever has one already: another app."""
    person, secret, form = person_of(request), _pending_secret(request), CodeForm(request.POST or None)
    status = 200
    if request.method == "POST":
        shown: list[str] = []

        def complete() -> None:
            done = turn_on(caller=person, secret=secret, code=form.cleaned_data["code"])
            shown.extend(done.recovery_codes)
            request.session.pop(PENDING, None)
            remember_sign_in(request, done.signed_in.who)

        if pages.tried(form, complete) is None:
            return _codes_page(request, shown, onward=safe_next(request, reverse("second_factor")))
        status = 422
    address = app_address(secret, email=person.email)
    spaced = " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
    values = {"form": form, "next": safe_next(request, ""), "picture": _picture(address), "address": address, "secret": spaced}
    values["moves"] = SecondFactor.objects.filter(user_id=person.id).exists()
    values["needed"] = person.is_admin and settings.ADMIN_SECOND_FACTOR and not values["moves"]
    return render(request, "accounts/second_factor/set_up.html", values, status=status)


@page(access="signed_in", proof=True)
@require_http_methods(["GET", "HEAD", "POST"])
def recovery_codes(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return _codes_page(request, renew_recovery_codes(caller=person_of(request)), onward=reverse("second_factor"))
    return render(request, "accounts/second_factor/renew.html")


@page(access="signed_in", proof=True)
@require_http_methods(["GET", "HEAD", "POST"])
def off(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        turn_off(caller=person_of(request))
        flash(request, _("Two-step verification is off"))
        return HttpResponseRedirect(reverse("second_factor"))
    return render(request, "accounts/second_factor/off.html")


def _codes_page(request: HttpRequest, codes: list[str], *, onward: str) -> HttpResponse:
    """Answered at once, and kept nowhere: the browser's page is the only place where they are."""
    values: dict[str, Any] = {"codes": codes, "onward": onward, "file": "\n".join(["Comanda", settings.BASE_DOMAIN, "", *codes, ""])}
    return render(request, CODES, values)


def _pending_secret(request: HttpRequest) -> str:
    """The same for as long as the page is open, so that what an app has read stays right; of this person alone."""
    person = person_of(request)
    match request.session.get(PENDING):
        case [int() as user_id, str() as sealed] if user_id == person.id:
            try:
                return unseal(sealed)
            except VaultLocked:  # its key is gone meanwhile
                pass
    secret = new_secret()
    request.session[PENDING] = [person.id, seal(secret)]
    return secret


def _picture(address: str) -> SafeString:
    """An SVG without styles, black on white in both themes: what cameras read best."""
    code = segno.make_qr(address, error="l")
    return SafeString(code.svg_inline(scale=4, light="#fff", title=_("QR code for the app"), omitsize=False))
