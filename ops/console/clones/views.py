"""A cafeteria's copy under a new address: begun, followed, found."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from accounts.doors import page
from core.doors import person_of
from core.errors import AppError
from core.jobs.models import Job
from ops.console.cafeterias.queries import cafeteria_by_id
from ops.console.clones.forms import CloneForm
from ops.console.pages import show, show_part
from ops.console.restores.queries import Target, target_of
from ops.restores.clones import clone_by_id, start_clone
from ops.restores.models import Clone
from tenants.errors import InvalidSlug, SlugReserved, SlugTaken
from tenants.models import Cafeteria
from tenants.routing import site_url

PLACE = "cafeterias"


@page(access="admin")
@require_http_methods(["GET", "HEAD", "POST"])
def clone(request: HttpRequest, cafeteria_id: int) -> HttpResponse:
    """What a copy is, and the form that asks for its address; POST begins it."""
    cafeteria = cafeteria_by_id(cafeteria_id)
    posted = request.method == "POST"
    target = target_of(cafeteria, request.POST if posted else request.GET)
    form = CloneForm(request.POST if posted else None)
    status = 422 if posted else 200
    if posted and form.is_valid():
        try:
            return redirect("console_clone", _begin(request, cafeteria, target, form).pk)
        except (SlugTaken, SlugReserved, InvalidSlug) as error:
            form.add_error("slug", error.translated())
        except AppError as error:
            form.add_error(None, error.translated())
            status = error.status
    return show(request, "clone", PLACE, status=status, shop=cafeteria, target=target, form=form)


@page(access="admin")
@require_safe
def clone_page(request: HttpRequest, clone_id: UUID) -> HttpResponse:
    return show(request, "clone_progress", PLACE, **_stands(clone_by_id(clone_id)))


@page(access="admin")
@require_safe
def clone_part(request: HttpRequest, clone_id: UUID) -> HttpResponse:
    values = _stands(clone_by_id(clone_id))
    job: Job | None = values["job"]
    facts = (values["clone"].phase, (job.state, job.progress, job.message, job.cancel_requested) if job else ())
    return show_part(request, "clone_state", state=facts, over=values["is_over"], **values)


def _begin(request: HttpRequest, cafeteria: Cafeteria, target: Target, form: CloneForm) -> Clone:
    """Sent twice at once, the second one leads to the copy of the first. Raises SlugTaken and the like."""
    person, slug = person_of(request), form.cleaned_data["slug"]
    try:
        return start_clone(
            cafeteria_uuid=cafeteria.uuid,
            slug=slug,
            backup_id=target.backup_id,
            at=target.at,
            with_staff=form.cleaned_data["with_staff"],
            by=person.email,
        )
    except SlugTaken:
        begun = Clone.objects.filter(cafeteria_uuid=cafeteria.uuid, slug=slug, requested_by=person.email, phase=Clone.Phase.WAITING).first()
        if begun is None:
            raise
        return begun


def _stands(found: Clone) -> dict[str, Any]:
    job = Job.objects.filter(pk=found.job_id).first() if found.job_id is not None else None
    return {
        "clone": found,
        "shop": Cafeteria.objects.filter(uuid=found.cafeteria_uuid).first(),
        "job": job,
        "percent": round((job.progress if job else 0) * 100),
        "is_over": found.phase != Clone.Phase.WAITING or job is None or job.has_ended,
        "url": site_url(found.slug),
    }
