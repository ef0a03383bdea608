"""Jobs, alerts and the fleet's migrations."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.doors import PROOF_LIFE, page
from core.doors import person_of
from core.flash import flash
from core.jobs.models import Job, JobState
from core.jobs.queries import job_by_id, queue_stats
from core.sessions import proved_within
from ops.console import actions
from ops.console.pages import TellRefusals, form_key, given_key, show, show_part
from ops.console.work.queries import alerts_page, fleet_heads, job_lines, jobs_page, migrations_page, percent_of, shown_values, what_moves
from ops.restores.models import Restore
from tenants.models import MigrationStatus

LONGEST_SEARCH = 80
ASKS_FOR_PASSWORD = ("ops.restores.jobs.restore", "ops.restores.jobs.undo", "tenants.jobs.close_cafeteria")


@page(access="admin")
@require_safe
def jobs(request: HttpRequest) -> HttpResponse:
    """The newest jobs; `state` and `q` choose, `before` goes on."""
    state = request.GET.get("state", "")
    state = state if state in {*JobState.values, "late"} else ""
    text = request.GET.get("q", "").strip().replace("\x00", "")[:LONGEST_SEARCH]
    lines, onward = jobs_page(state=state, text=text, before=_uuid(request.GET.get("before", "")))
    return show(request, "jobs", "jobs", lines=lines, onward=onward, state=state, text=text, queues=queue_stats())


@page(access="admin")
@require_safe
def job(request: HttpRequest, job_id: UUID) -> HttpResponse:
    return show(request, "job", "jobs", **_about(job_by_id(job_id)))


@page(access="admin")
@require_safe
def job_part(request: HttpRequest, job_id: UUID) -> HttpResponse:
    found = job_by_id(job_id)
    return show_part(request, "job_state", state=what_moves(found), over=found.has_ended, **_about(found))


@page(access="admin")
@require_POST
def retry_job(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """What asks for the password when it is begun asks for it again here."""
    if job_by_id(job_id).kind in ASKS_FOR_PASSWORD and not proved_within(request, PROOF_LIFE):
        back = urlencode({"next": reverse("console_job", args=[job_id])})
        return redirect(f"{reverse('confirm_password')}?{back}")
    with TellRefusals(request):
        actions.retry_job(job_id=job_id, person=person_of(request))
        flash(request, _("It is tried again."))
    return redirect("console_job", job_id)


@page(access="admin")
@require_POST
def cancel_job(request: HttpRequest, job_id: UUID) -> HttpResponse:
    with TellRefusals(request):
        cancelled = actions.cancel_job(job_id=job_id, person=person_of(request))
        flash(request, _("It is cancelled.") if cancelled.has_ended else _("It is asked to stop, which it does at its next step."), "info")
    return redirect("console_job", job_id)


@page(access="admin")
@require_safe
def alerts(request: HttpRequest) -> HttpResponse:
    """The open ones; with `state=closed` those that were resolved."""
    is_open = request.GET.get("state") != "closed"
    kind = request.GET.get("kind", "").replace("\x00", "")[:60]
    lines, found = alerts_page(kind=kind, is_open=is_open, number=request.GET.get("page", "1"))
    return show(request, "alerts", "alerts", lines=lines, page=found, is_open=is_open, kind=kind)


@page(access="admin")
@require_POST
def resolve_alert(request: HttpRequest, alert_id: int) -> HttpResponse:
    """Back to where it was seen: the page of its cafeteria, or that of all alerts."""
    actions.resolve_alert(alert_id=alert_id, person=person_of(request))
    flash(request, _("The alert is closed. It opens again if the same is found again."))
    inside = request.POST.get("cafeteria", "")
    return redirect("console_cafeteria", int(inside)) if inside.isdecimal() and len(inside) < 19 else redirect("console_alerts")


@page(access="admin")
@require_safe
def migrations(request: HttpRequest) -> HttpResponse:
    """How far each cafeteria's schema is."""
    state = request.GET.get("state", "")
    state = state if state in MigrationStatus.State.values else ""
    found = migrations_page(state=state, number=request.GET.get("page", "1"))
    return show(request, "migrations", "migrations", page=found, heads=fleet_heads(), state=state, key=form_key())


@page(access="admin")
@require_POST
def migrate(request: HttpRequest) -> HttpResponse:
    """On to the job that brings the whole fleet to this code's head. Sent twice, it is the same one."""
    return redirect("console_job", actions.request_fleet_migration(key=given_key(request), person=person_of(request)).pk)


def _about(found: Job) -> dict[str, Any]:
    (line,) = job_lines([found])
    return {
        "line": line,
        "zone": line.about.zone,
        "job": found,
        "percent": percent_of(found),
        "arguments": shown_values(found.arguments),
        "result": shown_values(found.result) if found.kind != "ops.restores.jobs.preview" else [],
        "may_retry": found.state in {JobState.FAILED, JobState.CANCELLED},
        "may_cancel": not found.has_ended and not found.cancel_requested,
        "restore_id": _restore_of(found),
    }


def _restore_of(found: Job) -> UUID | None:
    """The restore that the job works at: its own page says more."""
    restore_id = _uuid(str(found.arguments.get("restore_id", "")))
    return restore_id if restore_id is not None and Restore.objects.filter(pk=restore_id).exists() else None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
