import re
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import support
from accounts.actions import check_may_enter, issue_handoff
from accounts.doors import page
from accounts.forms import OpenCafeteriaForm, SupportForm
from accounts.queries import address_for, owned_cafeterias
from accounts.realm import platform_realm
from core.audit.actions import record
from core.doors import person_of
from core.flash import flash
from core.identity import pages
from core.jobs import enqueue
from tenants import actions as tenants
from tenants.errors import CafeteriaNotFound, InvalidSlug, SlugReserved, SlugTaken
from tenants.models import Cafeteria
from tenants.routing import site_url

STATE = re.compile(r"[0-9a-f]{64}")


@page(access="anyone")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_up(request: HttpRequest) -> HttpResponse:
    home = reverse("open_cafeteria")
    return pages.sign_up_page(request, platform_realm, home=home, template="accounts/sign_up.html", role="owner")


@page(access="anyone")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    return pages.sign_in_page(request, platform_realm, home=reverse("home"))


@page(access="anyone")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in_code(request: HttpRequest) -> HttpResponse:
    return pages.sign_in_code_page(request, platform_realm, home=reverse("home"))


@page(access="anyone")
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    return pages.sign_out_page(request, platform_realm, home=reverse("landing"))


@page(access="anyone")
@require_http_methods(["GET", "HEAD", "POST"])
def forgotten_password(request: HttpRequest) -> HttpResponse:
    def enqueue_mail(account_id: int, page: str, language: str) -> None:
        enqueue("accounts.jobs.mail_reset_link", account_id=account_id, page=page, language=language)

    return pages.forgotten_password_page(request, platform_realm, enqueue_mail=enqueue_mail)


@page(access="anyone")
@require_http_methods(["GET", "HEAD", "POST"])
def choose_password(request: HttpRequest) -> HttpResponse:
    return pages.choose_password_page(request, platform_realm, home=reverse("home"))


@page(access="signed_in")
@require_http_methods(["GET", "HEAD", "POST"])
def change_password(request: HttpRequest) -> HttpResponse:
    return pages.change_password_page(request, platform_realm, home=reverse("home"), template="core/identity/change_password.html")


@page(access="signed_in")
@require_http_methods(["GET", "HEAD", "POST"])
def confirm_password(request: HttpRequest) -> HttpResponse:
    return pages.confirm_password_page(request, platform_realm, home=reverse("home"), template="accounts/confirm_password.html")


@page(access="signed_in")
@require_POST
def sign_out_everywhere(request: HttpRequest) -> HttpResponse:
    return pages.sign_out_everywhere_page(request, platform_realm, home=reverse("sign_in"))


@page(access="signed_in")
@require_GET
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/home.html", {"cafeterias": owned_cafeterias(person_of(request).id)})


@page(access="owner")
@require_http_methods(["GET", "HEAD", "POST"])
def open_cafeteria(request: HttpRequest) -> HttpResponse:
    form = OpenCafeteriaForm(request.POST or None)
    status = 200
    if request.method == "POST":
        failed = pages.tried(form, lambda: _open(request, form), fields={SlugTaken: "slug"})
        if failed is None:
            return HttpResponseRedirect(reverse("home"))
        status = 422
    return render(request, "accounts/open_cafeteria.html", {"form": form}, status=status)


@page(access="owner")
@require_GET
def check_address(request: HttpRequest) -> HttpResponse:
    """What the address would be, while it is being typed."""
    name, slug = request.GET.get("name", "")[:120], request.GET.get("slug", "").strip().lower()[:63]
    answer: dict[str, Any] = {}
    try:
        found = address_for(name=name, slug=slug)
        answer = {"url": site_url(found)} if found else {}
    except (SlugTaken, SlugReserved, InvalidSlug) as error:
        answer = {"error": error.translated()}
    return render(request, "accounts/address_answer.html", answer)


@page(access="signed_in")
@require_http_methods(["GET", "HEAD", "POST"])
def enter_cafeteria(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """POST begins: on to the cafeteria's site, which leaves a secret in the browser and sends it back here with the secret's hash.

    GET with that hash gives the code, good in that browser only.
    """
    person = person_of(request)
    cafeteria = Cafeteria.objects.filter(pk=cafeteria_id, status=Cafeteria.Status.OPEN).first()
    if cafeteria is None:
        raise CafeteriaNotFound
    check_may_enter(cafeteria, caller=person)
    state = request.GET.get("state", "")
    if request.method == "POST" or not STATE.fullmatch(state):
        return HttpResponseRedirect(f"{site_url(cafeteria.slug)}/enter")
    code = issue_handoff(cafeteria, caller=person, browser_hash=state)
    return HttpResponseRedirect(f"{site_url(cafeteria.slug)}/enter?code={code}")


@page(access="owner")
@require_POST
def let_support_in(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    form = SupportForm(request.POST)
    if form.is_valid():
        support.grant_support(cafeteria_id=cafeteria_id, life=form.cleaned_data["life"], caller=person_of(request))
        flash(request, _("The support of Comanda may come in. You can end it here at any time."))
    else:
        flash(request, _("Choose for how long."), "bad")
    return HttpResponseRedirect(reverse("home"))


@page(access="owner")
@require_POST
def end_support(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """Declines a request as well."""
    support.end_support(cafeteria_id=cafeteria_id, caller=person_of(request))
    flash(request, _("The support of Comanda has no access."))
    return HttpResponseRedirect(reverse("home"))


def _open(request: HttpRequest, form: OpenCafeteriaForm) -> None:
    person, values = person_of(request), form.cleaned_data
    owner = tenants.OwnerPerson(email=person.email, full_name=person.full_name)
    with transaction.atomic():
        cafeteria = tenants.open_cafeteria(
            owner_id=person.id,
            name=values["name"],
            slug=values["slug"] or None,
            timezone=form.where.timezone,
            currency=form.where.currency,
            owner_person=owner,
        )
        record("cafeteria.opened", actor=person, cafeteria_uuid=cafeteria.uuid, target=cafeteria.slug)
    flash(request, _("{cafeteria} is open. Its menu comes next.").format(cafeteria=cafeteria.name))
