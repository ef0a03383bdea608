"""Money that is not what it should be: what happened, and the two ways out."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from core.doors import person_of
from core.errors import AppError
from core.flash import Kind, flash
from payments.ledger.data import Actor
from payments.ledger.models import Refund
from payments.ledger.reviews import accept_charge, return_charge
from payments.ledger.sending import send_refund
from shop.money.review.queries import decided_of, matter_of, matters_of
from shop.people.doors import cafeteria_page
from tenants.scope import current_tenant, request_scope


@require_safe
@cafeteria_page(access="manager")
def money_review(request: HttpRequest) -> HttpResponse:
    ref = current_tenant()
    return render(request, "shop/money/review.html", {"tab": "review", "matters": matters_of(ref), "decided": decided_of(ref)})


@require_http_methods(["GET", "HEAD", "POST"])
@cafeteria_page(access="manager")
def money_accept(request: HttpRequest, charge_id: int) -> HttpResponse:
    """Asks, then counts the money as it came (or, of a refund that failed, leaves it at that)."""
    ref = current_tenant()
    matter = matter_of(ref, charge_id)
    if matter is None or not matter.can_accept:
        return _nothing_to_decide(request)
    if request.method != "POST":
        return render(request, "shop/money/accept.html", {"tab": "review", "matter": matter})
    try:
        accept_charge(cafeteria_uuid=ref.uuid, charge_id=charge_id, actor=_actor(request))
    except AppError as error:
        flash(request, error.translated(), "bad")
    else:
        said = _("The payment of order #{number} counts now.") if matter.kind == "amount" else _("It is left at that.")
        flash(request, said.format(number=matter.number))
    return redirect("money_review")


@require_http_methods(["GET", "HEAD", "POST"])
@cafeteria_page(access="manager", scope=False)
def money_return(request: HttpRequest, charge_id: int) -> HttpResponse:
    """Asks, then gives back all that is left. Mercado Pago is asked outside the scope; when it is silent, a job goes on."""
    with request_scope(request) as ref:
        matter = matter_of(ref, charge_id)
        if matter is not None and matter.can_return and request.method != "POST":
            return render(request, "shop/money/return.html", {"tab": "review", "matter": matter})
    if matter is None or not matter.can_return:
        return _nothing_to_decide(request)
    try:
        with request_scope(request) as ref:
            refund = return_charge(cafeteria_uuid=ref.uuid, charge_id=charge_id, actor=_actor(request))
    except AppError as error:
        flash(request, error.translated(), "bad")
    else:
        flash(request, *_sent(refund))
    return redirect("money_review")


def _sent(refund: Refund) -> tuple[str, Kind]:
    """Send it now, and what came of it."""
    number = refund.payment.order_number
    try:
        refund = send_refund(refund_id=refund.pk, attempts=1)
    except AppError:
        return _("Mercado Pago does not answer at the moment. The money of order #{number} goes back by itself as soon as it does.").format(
            number=number
        ), "info"
    words: dict[str, tuple[str, Kind]] = {
        Refund.State.APPROVED: (_("The money of order #{number} went back."), "good"),
        Refund.State.REJECTED: (_("Mercado Pago refused to give the money of order #{number} back."), "bad"),
    }
    said, kind = words.get(refund.state, (_("Mercado Pago is giving the money of order #{number} back."), "good"))
    return said.format(number=number), kind


def _nothing_to_decide(request: HttpRequest) -> HttpResponse:
    flash(request, _("There is nothing to decide about this payment any more."), "info")
    return redirect("money_review")


def _actor(request: HttpRequest) -> Actor:
    person = person_of(request)
    return Actor(person_id=person.id, label=person.email)
