"""Going back and coming back again: preview, restore, its progress, undo, and the history of them all."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.doors import page
from core.doors import person_of
from core.flash import flash
from core.jobs.models import Job, JobState
from ops.console import actions
from ops.console.cafeterias.forms import TypedForm
from ops.console.cafeterias.queries import cafeteria_by_id
from ops.console.pages import TellRefusals, answer_form, show, show_answer, show_part
from ops.console.restores.forms import RestoreForm
from ops.console.restores.queries import diff_of, newest_preview, preview_by_id, restore_facts, restores_page
from ops.console.targets import Target, target_of
from ops.console.work.queries import PLATFORM_ZONE, percent_of, what_moves
from ops.restores.actions import UNDO_FOR, restore_by_id, start_restore
from ops.restores.cancelling import cancel_restore
from ops.restores.errors import RestoreUnderWay
from ops.restores.models import Restore
from tenants.models import Cafeteria
from tenants.routing import site_url

PLACE = "restores"


@page(access="admin")
@require_safe
def history(request: HttpRequest) -> HttpResponse:
    """Every restore of every cafeteria, or of `cafeteria`."""
    chosen = request.GET.get("cafeteria", "")
    cafeteria = cafeteria_by_id(int(chosen)) if chosen.isdecimal() and len(chosen) < 19 else None
    lines, found = restores_page(cafeteria=cafeteria, number=request.GET.get("page", "1"))
    zone = cafeteria.timezone if cafeteria is not None else PLATFORM_ZONE
    return show(request, "restores", PLACE, lines=lines, page=found, shop=cafeteria, zone=zone)


@page(access="admin", proof=True)
@require_http_methods(["GET", "HEAD", "POST"])
def restore(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """What a restore of `backup` does, and the form that begins it once the address is typed."""
    cafeteria = cafeteria_by_id(cafeteria_id)
    sent = request.POST if request.method == "POST" else None
    target, form = target_of(cafeteria, sent or request.GET), RestoreForm(sent, expected=cafeteria.slug)

    def begin() -> HttpResponse:
        return redirect("console_restore", _begin(request, cafeteria, target, form).pk)

    answer = answer_form(form, begin, zone=cafeteria.timezone)
    return show_answer(answer, request, "restore", PLACE, **_asked(cafeteria, target, form))


@page(access="admin")
@require_POST
def preview(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """On to the job that finds out what going back would change."""
    cafeteria = cafeteria_by_id(cafeteria_id)
    target = target_of(cafeteria, request.POST)
    with TellRefusals(request, cafeteria.timezone):
        job = actions.request_preview(cafeteria=cafeteria, backup_id=target.backup_id, at=target.at, person=person_of(request))
        return redirect("console_preview", job.pk)
    return redirect("console_backups", cafeteria_id)


@page(access="admin")
@require_safe
def preview_page(request: HttpRequest, job_id: UUID) -> HttpResponse:
    job, cafeteria, target = preview_by_id(job_id)
    return show(request, "preview", PLACE, **_previewed(job, cafeteria, target))


@page(access="admin")
@require_safe
def preview_part(request: HttpRequest, job_id: UUID) -> HttpResponse:
    job, cafeteria, target = preview_by_id(job_id)
    return show_part(request, "preview_state", state=what_moves(job), over=job.has_ended, **_previewed(job, cafeteria, target))


@page(access="admin")
@require_safe
def restore_page(request: HttpRequest, restore_id: UUID) -> HttpResponse:
    """How far it is, and what came of it."""
    return show(request, "restore_progress", PLACE, **_stands(restore_by_id(restore_id)))


@page(access="admin")
@require_safe
def restore_part(request: HttpRequest, restore_id: UUID) -> HttpResponse:
    values = _stands(restore_by_id(restore_id))
    facts = values["facts"]
    return show_part(request, "restore_state", state=facts.facts, over=facts.is_over, **values)


@page(access="admin")
@require_POST
def cancel(request: HttpRequest, restore_id: UUID) -> HttpResponse:
    with TellRefusals(request):
        cancel_restore(restore_id=restore_id, person=person_of(request))
        flash(request, _("It stops at its next step. The cafeteria stays as it is."), "info")
    return redirect("console_restore", restore_id)


@page(access="admin", proof=True)
@require_http_methods(["GET", "HEAD", "POST"])
def undo(request: HttpRequest, restore_id: UUID) -> HttpResponse:
    """Says what undoing does, and asks for the address to be typed; POST begins it."""
    found = restore_by_id(restore_id)
    cafeteria = cafeteria_by_id(found.cafeteria_id)
    form = TypedForm(request.POST if request.method == "POST" else None, expected=cafeteria.slug)
    if not form.is_bound and not restore_facts(found, cafeteria).may_undo:
        return redirect("console_restore", restore_id)  # which says why

    def begin() -> HttpResponse:
        actions.request_undo(restore_id=restore_id, person=person_of(request))
        return redirect("console_restore", restore_id)

    answer = answer_form(form, begin, zone=cafeteria.timezone)
    return show_answer(answer, request, "undo", PLACE, shop=cafeteria, restore=found, form=form)


def _begin(request: HttpRequest, cafeteria: Cafeteria, target: Target, form: RestoreForm) -> Restore:
    """Sent twice at once, the second one leads to the restore of the first. Raises RestoreUnderWay for another one."""
    person = person_of(request)
    try:
        parts = tuple(form.cleaned_data["parts"])
        return start_restore(cafeteria_uuid=cafeteria.uuid, backup_id=target.backup_id, at=target.at, parts=parts, by=person.email)
    except RestoreUnderWay:
        wanted = {"backup_id": target.backup_id} if target.at is None else {"moment": target.at}
        begun = Restore.objects.filter(cafeteria_uuid=cafeteria.uuid, requested_by=person.email, finished_at=None, **wanted).first()
        if begun is None:
            raise
        return begun


def _asked(cafeteria: Cafeteria, target: Target, form: RestoreForm) -> dict[str, Any]:
    job = newest_preview(cafeteria, target)
    under_way = Restore.objects.filter(cafeteria_uuid=cafeteria.uuid, finished_at=None).first()
    last = Restore.objects.filter(cafeteria_uuid=cafeteria.uuid, away_seconds__isnull=False).order_by("-started_at").first()
    return {
        "shop": cafeteria,
        "target": target,
        "form": form,
        "newest_preview": job,
        "under_way": under_way,
        "last": last,
        "undo_days": UNDO_FOR.days,
        "url": site_url(cafeteria.slug),
    }


def _previewed(job: Job, cafeteria: Cafeteria, target: Target) -> dict[str, Any]:
    done = job.state == JobState.SUCCEEDED
    diff = diff_of(job.result or {}, cafeteria, target.moment) if done else None
    form = RestoreForm(expected=cafeteria.slug)
    return {**_asked(cafeteria, target, form), "job": job, "diff": diff, "percent": percent_of(job)}


def _stands(restore: Restore) -> dict[str, Any]:
    cafeteria = cafeteria_by_id(restore.cafeteria_id)
    facts = restore_facts(restore, cafeteria)
    return {"shop": cafeteria, "restore": restore, "facts": facts, "url": site_url(cafeteria.slug)}
