"""The cafeterias: the list, one of them, its backups, and its life cycle."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.doors import page
from accounts.support import ask_for_support
from core.doors import person_of
from core.errors import AppError
from core.flash import flash
from ops.console import actions
from ops.console.cafeterias.forms import SupportRequestForm, TypedForm
from ops.console.cafeterias.queries import backups_page, cafeteria_by_id, cafeteria_facts, cafeterias_page
from ops.console.pages import form_key, given_key, show
from ops.console.restores.queries import moments_of_return
from tenants.models import Cafeteria
from tenants.routing import site_url

PLACE = "cafeterias"
LONGEST_SEARCH = 80


@page(access="admin")
@require_safe
def cafeterias(request: HttpRequest) -> HttpResponse:
    """All of them, by name; `q` looks in names, addresses and owners, `status` and `backups=late` choose."""
    text = request.GET.get("q", "").strip().replace("\x00", "")[:LONGEST_SEARCH]
    wanted = request.GET.get("status", "")
    chosen = wanted if wanted in Cafeteria.Status.values else ""
    late = request.GET.get("backups") == "late"
    lines, found = cafeterias_page(text=text, status=chosen, late=late, number=request.GET.get("page", "1"))
    return show(request, "cafeterias", PLACE, lines=lines, page=found, text=text, chosen=chosen, late=late)


@page(access="admin")
@require_safe
def cafeteria(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    found = cafeteria_by_id(cafeteria_id)
    return show(request, "cafeteria", PLACE, shop=found, facts=cafeteria_facts(found), key=form_key(), ask=SupportRequestForm())


@page(access="admin")
@require_safe
def backups(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """Its backups, newest first, each with the way to go back to it."""
    found = cafeteria_by_id(cafeteria_id)
    listed = backups_page(found, request.GET.get("page", "1"))
    facts = cafeteria_facts(found)
    moments, typed = moments_of_return(), request.GET.get("at", "")[:40]
    return show(request, "backups", PLACE, shop=found, page=listed, facts=facts, key=form_key(), moments=moments, typed_moment=typed)


@page(access="admin")
@require_POST
def take_backup(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """On to the job that takes it. Sent twice, it is the same one."""
    found = cafeteria_by_id(cafeteria_id)
    try:
        job = actions.request_backup(cafeteria=found, key=given_key(request), person=person_of(request))
    except AppError as error:
        flash(request, error.translated(), "bad")
        return redirect("console_cafeteria", cafeteria_id)
    return redirect("console_job", job.pk)


@page(access="admin")
@require_POST
def suspend(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    return _moved(request, cafeteria_id, actions.suspend_cafeteria, _("The site is suspended. Its data stays as it is."))


@page(access="admin")
@require_POST
def resume(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    return _moved(request, cafeteria_id, actions.resume_cafeteria, _("The site is open again."))


@page(access="admin", proof=True)
@require_http_methods(["GET", "HEAD", "POST"])
def close(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """Says what closing means, and asks for the address to be typed; POST closes."""
    found = cafeteria_by_id(cafeteria_id)
    form = TypedForm(request.POST if request.method == "POST" else None, expected=found.slug)
    if request.method == "POST" and form.is_valid():
        return _moved(request, cafeteria_id, actions.close_cafeteria, _("The cafeteria is closed."))
    if found.status == Cafeteria.Status.CLOSED:
        return redirect("console_cafeteria", cafeteria_id)
    return show(request, "close", PLACE, shop=found, url=site_url(found.slug), form=form, status=422 if form.is_bound else 200)


@page(access="admin")
@require_POST
def ask_support(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """Asks the owner to let the support in; they see it on their home."""
    form = SupportRequestForm(request.POST)
    if form.is_valid():
        ask_for_support(cafeteria_id=cafeteria_id, reason=form.cleaned_data["reason"], caller=person_of(request))
        flash(request, _("The owner is asked, on their home."))
    else:
        flash(request, _("Say what for: the owner reads it."), "bad")
    return redirect("console_cafeteria", cafeteria_id)


def _moved(request: HttpRequest, cafeteria_id: int, action: Callable[..., Cafeteria], words: str) -> HttpResponse:
    try:
        action(cafeteria_id=cafeteria_id, person=person_of(request))
    except AppError as error:
        if error.status == 404:
            raise
        flash(request, error.translated(), "bad")
    else:
        flash(request, words)
    return redirect("console_cafeteria", cafeteria_id)
