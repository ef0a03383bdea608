"""The owner's pages about the plan of a cafeteria, on the base domain."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.doors import page
from billing import actions
from billing.forms import PlanForm
from billing.looking import look
from billing.models import Preapproval
from billing.plans import PLANS, RECOMMENDED, price_of
from billing.queries import Account, account_of, owned_by
from billing.records import is_enforced
from core.doors import person_of
from core.errors import AppError
from core.flash import flash
from payments.gateway.subscriptions import is_set_up
from tenants.models import Cafeteria
from tenants.routing import platform_url


@page(access="owner")
@require_safe
def plan(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """What the cafeteria's plan costs, how it stands, its invoices, and the way to another plan."""
    account = _account(request, cafeteria_id)
    return render(request, "billing/plan.html", _context(account, _form(request, account)))


@page(access="owner")
@require_POST
def choose_plan(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """A subscription begins at Mercado Pago, or the one that there is changes."""
    account = _account(request, cafeteria_id)
    form = _form(request, account, request.POST)
    if not form.is_valid():
        return render(request, "billing/plan.html", _context(account, form), status=422)
    try:
        return HttpResponseRedirect(_choose(request, account, form))
    except AppError as error:
        flash(request, error.translated(), "bad")
        return redirect("plan", cafeteria_id)


@page(access="owner")
@never_cache
@require_safe
def plan_agreed(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """Back from Mercado Pago, which is asked: what the address says proves nothing."""
    account = _account(request, cafeteria_id)
    try:
        subscription = look(account.subscription, attempts=1)
    except AppError:
        flash(request, _("Mercado Pago does not answer at the moment. Look again in a few minutes."), "info")
    else:
        if subscription.preapprovals.filter(status=Preapproval.Status.AUTHORIZED, ending=False).exists():
            flash(request, _("Thank you. The subscription is agreed."))
        else:
            flash(request, _("Nothing is agreed yet at Mercado Pago."), "info")
    return redirect("plan", cafeteria_id)


@page(access="owner")
@require_http_methods(["GET", "HEAD", "POST"])
def cancel_plan(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """Asks whether to cancel, and says what follows; POST cancels."""
    account = _account(request, cafeteria_id)
    if request.method != "POST":
        if account.charged is None:
            return redirect("plan", cafeteria_id)
        return render(request, "billing/cancel.html", _context(account, None))
    try:
        subscription = actions.cancel_subscription(cafeteria=account.cafeteria, person=person_of(request))
    except AppError as error:
        flash(request, error.translated(), "bad")
    else:
        _say_cancelled(request, account_of(account.cafeteria, subscription))
    return redirect("plan", cafeteria_id)


def _account(request: HttpRequest, cafeteria_id: int) -> Account:
    """Raises CafeteriaNotFound for another owner's."""
    cafeteria = owned_by(person_of(request).id, cafeteria_id)
    return account_of(cafeteria, actions.subscription_of_cafeteria(cafeteria))


def _form(request: HttpRequest, account: Account, data: Any = None) -> PlanForm:
    chosen = account.next_plan or account.wanted_plan or account.plan
    initial = {"plan": chosen.code, "payer_email": account.payer_email or person_of(request).email}
    return PlanForm(data, asks_payer=not account.may_change, initial=initial)


def _choose(request: HttpRequest, account: Account, form: PlanForm) -> str:
    """Where to go on."""
    person, cafeteria, wanted = person_of(request), account.cafeteria, form.chosen
    here = reverse("plan", args=[cafeteria.pk])
    if not wanted.price:
        found = account_of(cafeteria, actions.choose_free_plan(cafeteria=cafeteria, person=person))
        words = _("{plan} follows when the present plan ends.") if found.next_plan else _("The plan is {plan} now.")
        flash(request, words.format(plan=wanted.name))
        return here
    if account.may_change:
        actions.change_plan(cafeteria=cafeteria, plan=wanted, person=person)
        flash(request, _("The plan is {plan} now.").format(plan=wanted.name))
        return here
    row = actions.subscribe(
        cafeteria=cafeteria, plan=wanted, payer_email=form.cleaned_data["payer_email"], back_url=_back_url(cafeteria), person=person
    )
    return row.init_point if row.status == Preapproval.Status.PENDING else here


def _back_url(cafeteria: Cafeteria) -> str:
    return f"{platform_url()}{reverse('plan_agreed', args=[cafeteria.pk])}"


def _say_cancelled(request: HttpRequest, account: Account) -> None:
    if account.unended:
        flash(request, _("It is cancelled here. Mercado Pago does not answer at the moment; it is told as soon as it does."), "info")
    else:
        flash(request, _("The subscription is cancelled. Nothing more is charged."))


def _context(account: Account, form: PlanForm | None) -> dict[str, Any]:
    chosen = form["plan"].value() if form is not None else ""
    return {
        "account": account,
        "shop": account.cafeteria,
        "form": form,
        "plans": [{"plan": known, "price": price_of(known), "chosen": known.code == chosen} for known in PLANS],
        "recommended": RECOMMENDED,
        "currency": settings.PLATFORM_CURRENCY,
        "is_set_up": is_set_up(),
        "is_enforced": is_enforced(),
    }
