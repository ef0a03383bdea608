import secrets

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import support
from accounts.actions import redeem_handoff
from accounts.digests import digest
from accounts.errors import HandoffInvalid
from core.doors import person_of
from core.flash import flash
from core.identity import pages
from core.identity.forms import mark_wrong_fields
from core.jobs import enqueue
from core.sessions import remember_sign_in
from shop.people.actions import admit_owner, admit_support, start_handed_off_session, update_details
from shop.people.doors import cafeteria_page
from shop.people.forms import CustomerSignUpForm, DetailsForm
from shop.people.realm import realm_of
from tenants.refs import TenantRef
from tenants.routing import platform_url
from tenants.scope import request_scope

BROWSER = "entering"  # the session's key for the secret of a hand-off that has begun


@cafeteria_page(access="anyone", scope=False)
@require_http_methods(["GET", "HEAD", "POST"])
def sign_up(request: HttpRequest) -> HttpResponse:
    return pages.sign_up_page(
        request, realm_of(request), home="/", form_class=CustomerSignUpForm, template="shop/people/sign_up.html", role="customer"
    )


@cafeteria_page(access="anyone", scope=False)
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    return pages.sign_in_page(request, realm_of(request), home="/", template="shop/people/sign_in.html")


@cafeteria_page(access="anyone", scope=False)
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    return pages.sign_out_page(request, realm_of(request), home="/")


@cafeteria_page(access="anyone", scope=False)
@require_http_methods(["GET", "HEAD", "POST"])
def forgotten_password(request: HttpRequest) -> HttpResponse:
    tenant: TenantRef = request.tenant  # type: ignore[attr-defined]

    def enqueue_mail(account_id: int, page: str, language: str) -> None:
        enqueue("shop.people.jobs.mail_reset_link", cafeteria_uuid=tenant.uuid, account_id=account_id, page=page, language=language)

    return pages.forgotten_password_page(request, realm_of(request), enqueue_mail=enqueue_mail)


@cafeteria_page(access="anyone", scope=False)
@require_http_methods(["GET", "HEAD", "POST"])
def choose_password(request: HttpRequest) -> HttpResponse:
    return pages.choose_password_page(request, realm_of(request), home="/")


@cafeteria_page(access="customer")
@require_http_methods(["GET", "HEAD", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    person = person_of(request)
    if request.method != "POST":
        form = DetailsForm(initial={"full_name": person.full_name, "phone": person.phone})
        return render(request, "shop/people/account.html", {"form": form})
    form = DetailsForm(request.POST)
    if not form.is_valid():
        mark_wrong_fields(form)
        return render(request, "shop/people/account.html", {"form": form}, status=422)
    update_details(person_id=person.id, **form.cleaned_data)
    flash(request, _("Saved."))
    return HttpResponseRedirect(reverse("account"))


@cafeteria_page(access="customer", scope=False)
@require_http_methods(["GET", "HEAD", "POST"])
def change_password(request: HttpRequest) -> HttpResponse:
    return pages.change_password_page(request, realm_of(request), home=reverse("account"), template="core/identity/change_password.html")


@cafeteria_page(access="customer", scope=False)
@require_POST
def sign_out_everywhere(request: HttpRequest) -> HttpResponse:
    return pages.sign_out_everywhere_page(request, realm_of(request), home=reverse("sign_in"))


@cafeteria_page(access="anyone", scope=False)
@require_GET
def enter(request: HttpRequest) -> HttpResponse:
    """The owner's way in from the platform, and the support's.

    Without a code it leaves a secret in this browser's session and asks the platform for a code bound to it. The secret is what keeps
    others from signing somebody in with a link: a code works in the browser that asked, once.
    """
    tenant: TenantRef = request.tenant  # type: ignore[attr-defined]
    code = request.GET.get("code", "")
    if not code:
        secret = secrets.token_urlsafe(32)
        request.session[BROWSER] = secret
        return HttpResponseRedirect(f"{platform_url()}/home/{tenant.id}/enter?state={digest(secret)}")
    secret = request.session.pop(BROWSER, "")
    if not secret:
        return _again(request)
    who = redeem_handoff(code=code, browser=secret, cafeteria_id=tenant.id)
    with request_scope(request):
        if who.support_until is not None:
            person = admit_support(full_name=who.full_name, platform_user_id=who.user_id)
            signed_in = start_handed_off_session(person, life=support.visit_life(who.support_until))
        else:
            person = admit_owner(email=who.email, full_name=who.full_name, platform_user_id=who.user_id)
            signed_in = start_handed_off_session(person)
    remember_sign_in(request, signed_in.who)
    return HttpResponseRedirect(reverse("board"))


@cafeteria_page(access="manager", scope=False)
@require_POST
def give_up_support(request: HttpRequest) -> HttpResponse:
    """For the support itself, which is signed out by it. The owner ends it on the platform."""
    with request_scope(request) as tenant:
        support.give_up_support(cafeteria=tenant, caller=person_of(request))
    answer = pages.sign_out_page(request, realm_of(request), home=reverse("sign_in"))
    flash(request, _("The support of Comanda has no access."))
    return answer


def _again(request: HttpRequest) -> HttpResponse:
    """The same link once more, as the back button or an impatient click gives it."""
    person = getattr(request, "person", None)
    if person is None or not (person.role == "owner" or person.is_support):
        raise HandoffInvalid
    return HttpResponseRedirect(reverse("board"))
