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
from ops.console.pages import answer_form, show, show_answer, show_part
from ops.console.targets import Target, target_of
from ops.console.work.queries import PLATFORM_ZONE, percent_of, what_moves
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
    sent = request.POST if request.method == "POST" else None
    target, form = target_of(cafeteria, sent or request.GET), CloneForm(sent)
    fields: dict[type[AppError], str] = dict.fromkeys((SlugTaken, SlugReserved, InvalidSlug), "slug")

    def begin() -> HttpResponse:
        return redirect("console_clone", _begin(request, cafeteria, target, form).pk)

    answer = answer_form(form, begin, zone=cafeteria.timezone, fields=fields)
    return show_answer(answer, request, "clone", PLACE, shop=cafeteria, target=target, form=form)


@page(access="admin")
@require_safe
def clone_page(request: HttpRequest, clone_id: UUID) -> HttpResponse:
    return show(request, "clone_progress", PLACE, **_stands(clone_by_id(clone_id)))


@page(access="admin")
@require_safe
def clone_part(request: HttpRequest, clone_id: UUID) -> HttpResponse:
    values = _stands(clone_by_id(clone_id))
    facts = (values["clone"].phase, what_moves(values["job"]))
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
    original: Cafeteria | None = Cafeteria.objects.filter(uuid=found.cafeteria_uuid).first()
    return {
        "clone": found,
        "shop": original,
        "zone": original.timezone if original is not None else PLATFORM_ZONE,
        "job": job,
        "percent": percent_of(job),
        "is_over": found.phase != Clone.Phase.WAITING or job is None or job.has_ended,
        "url": site_url(found.slug),
    }
