"""The cafeterias: the list, one of them, its backups, and its life cycle."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.doors import page
from accounts.support import ask_for_support
from core.doors import person_of, safe_next
from core.errors import AppError
from core.flash import flash
from ops.console import actions
from ops.console.cafeterias.forms import SupportRequestForm, TypedForm
from ops.console.cafeterias.queries import (
    backup_under_way,
    backups_page,
    cafeteria_by_id,
    cafeteria_facts,
    cafeterias_page,
    proofs_under_way,
)
from ops.console.pages import TellRefusals, answer_form, form_key, given_key, show, show_answer
from ops.console.sentences import refusal
from ops.console.targets import moment_in_zone, moments_of_return
from ops.restores.keeping import COPY_DAYS, endless_copies, keep_copy
from tenants.models import Cafeteria
from tenants.routing import site_url

PLACE = "cafeterias"
LONGEST_SEARCH = 80


@page(access="admin")
@require_safe
def cafeterias(request: HttpRequest) -> HttpResponse:
    """All of them, by name; `q` looks in names, addresses and owners; `status`, `backups=late` and `copies=endless` choose."""
    text = request.GET.get("q", "").strip().replace("\x00", "")[:LONGEST_SEARCH]
    wanted = request.GET.get("status", "")
    chosen = wanted if wanted in Cafeteria.Status.values else ""
    late, endless = request.GET.get("backups") == "late", request.GET.get("copies") == "endless"
    lines, found = cafeterias_page(text=text, status=chosen, late=late, endless=endless, number=request.GET.get("page", "1"))
    kept = {"late": late, "endless": endless, "copies_without_end": endless_copies().count()}
    return show(request, "cafeterias", PLACE, lines=lines, page=found, text=text, chosen=chosen, **kept)


@page(access="admin")
@require_safe
def cafeteria(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    found = cafeteria_by_id(cafeteria_id)
    return _shown(request, found, SupportRequestForm())


@page(access="admin")
@require_safe
def backups(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """Its backups, newest first, each with the way to go back to it."""
    return _listed(request, cafeteria_by_id(cafeteria_id))


@page(access="admin")
@require_safe
def choose_moment(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """On to the restore of the moment that was typed by the cafeteria's clock."""
    found, typed = cafeteria_by_id(cafeteria_id), request.GET.get("at", "")[:40]
    try:
        at = moment_in_zone(typed, found)
    except AppError as error:
        return _listed(request, found, status=error.status, typed_moment=typed, moment_refused=refusal(error, found.timezone))
    return redirect(f"{reverse('console_begin_restore', args=[cafeteria_id])}?{urlencode({'at': at.isoformat()})}")


@page(access="admin")
@require_POST
def take_backup(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """On to the job that takes it. Sent twice, it is the same one."""
    found = cafeteria_by_id(cafeteria_id)
    with TellRefusals(request, found.timezone):
        return redirect("console_job", actions.request_backup(cafeteria=found, key=given_key(request), person=person_of(request)).pk)
    return redirect("console_cafeteria", cafeteria_id)


@page(access="admin")
@require_POST
def prove_backup(request: HttpRequest, cafeteria_id: int, backup_id: UUID) -> HttpResponse:
    """On to the job that restores it beside and compares. Sent twice, it is the same one."""
    found = cafeteria_by_id(cafeteria_id)
    with TellRefusals(request, found.timezone):
        job = actions.request_proof(cafeteria=found, backup_id=backup_id, key=given_key(request), person=person_of(request))
        return redirect("console_job", job.pk)
    return redirect("console_backups", cafeteria_id)


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
    if found.status == Cafeteria.Status.CLOSED:
        return redirect("console_cafeteria", cafeteria_id)
    form = TypedForm(request.POST if request.method == "POST" else None, expected=found.slug)

    def close_it() -> HttpResponse:
        return _moved(request, cafeteria_id, actions.close_cafeteria, _("The cafeteria is closed."))

    answer = answer_form(form, close_it, zone=found.timezone)
    return show_answer(answer, request, "close", PLACE, shop=found, url=site_url(found.slug), form=form)


@page(access="admin")
@require_POST
def ask_support(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """Asks the owner to let the support in; they see it on their home."""
    found, form = cafeteria_by_id(cafeteria_id), SupportRequestForm(request.POST)

    def ask() -> HttpResponse:
        ask_for_support(cafeteria_id=cafeteria_id, reason=form.cleaned_data["reason"], caller=person_of(request))
        flash(request, _("The owner is asked, on their home."))
        return redirect("console_cafeteria", cafeteria_id)

    answer = answer_form(form, ask, zone=found.timezone)
    return _shown(request, found, form, status=answer) if isinstance(answer, int) else answer


@page(access="admin")
@require_POST
def keep(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """Let a copy stay for another while, from now on."""
    found = cafeteria_by_id(cafeteria_id)
    with TellRefusals(request, found.timezone):
        keep_copy(slug=found.slug, days=COPY_DAYS, by=person_of(request).email)
        flash(request, _("The copy stays for {days} days from now.").format(days=COPY_DAYS))
    return redirect(safe_next(request, reverse("console_cafeteria", args=[cafeteria_id])))


def _listed(request: HttpRequest, found: Cafeteria, **more: Any) -> HttpResponse:
    listed = backups_page(found, request.GET.get("page", "1"))
    jobs = {"backup_job": backup_under_way(found), "proofs": proofs_under_way(found)}
    return show(
        request, "backups", PLACE, **{"shop": found, "page": listed, "key": form_key(), "moments": moments_of_return(), **jobs, **more}
    )


def _shown(request: HttpRequest, found: Cafeteria, ask: SupportRequestForm, status: int = 200) -> HttpResponse:
    facts = cafeteria_facts(found)
    return show(request, "cafeteria", PLACE, status=status, shop=found, facts=facts, backup_job=facts.backup_job, key=form_key(), ask=ask)


def _moved(request: HttpRequest, cafeteria_id: int, action: Callable[..., Cafeteria], words: str) -> HttpResponse:
    with TellRefusals(request):
        action(cafeteria_id=cafeteria_id, person=person_of(request))
        flash(request, words)
    return redirect("console_cafeteria", cafeteria_id)
