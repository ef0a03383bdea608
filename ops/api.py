"""The operators' calls, on the base domain: for admins alone."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Status
from pydantic import AwareDatetime, Field

from accounts.doors import admin
from core.doors import caller_of
from core.errors import AppError
from core.http import Schema, StrictBody, errors
from core.jobs import enqueue
from core.jobs.queries import job_by_id
from ops.backups.actions import backup_by_id
from ops.backups.bundles.keys import bundle_keys
from ops.backups.models import Backup
from ops.backups.queries import backups_of, standings
from ops.restores.actions import restore_by_id, start_preview, start_restore, start_undo
from ops.restores.clones import start_clone
from ops.restores.keeping import COPY_DAYS, LONGEST_DAYS
from tenants.errors import CafeteriaNotFound
from tenants.models import Cafeteria

router = Router(tags=["ops"])
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
Part = Literal["database", "files"]


class CopyOrPreview(AppError):
    """A copy under a new address is made whole, and changes nothing that could be previewed: say as, or preview, or parts."""

    code = "invalid"
    status = 422


class KeepDaysOfACopy(AppError):
    """keep_days says how long a copy stays: it belongs to as."""

    code = "invalid"
    status = 422


class OneOf(AppError):
    """Say where to go back to: with backup_id, or with at."""

    code = "invalid"
    status = 422


class BackupOut(Schema):
    id: UUID
    taken_at: str
    kind: str
    size: int
    rows: int
    sha256: str
    verified_at: str | None
    location: str


class BackupPage(Schema):
    items: list[BackupOut]
    next: str | None


class JobStarted(Schema):
    job_id: UUID


class RestoreIn(StrictBody):
    backup_id: UUID | None = None
    at: AwareDatetime | None = None
    as_: Annotated[
        str | None,
        Field(
            alias="as",
            min_length=1,
            max_length=63,
            description="A new address: the cafeteria stays as it is, and a copy of it is made there, for its owner alone, "
            "without money, mail and webhooks. The job's result names its `business_id`.",
        ),
    ] = None
    keep_days: Annotated[
        int,
        Field(ge=0, le=LONGEST_DAYS, description="With `as`: the copy is closed by itself after so many days; 0: only by somebody."),
    ] = COPY_DAYS
    preview: bool = False
    parts: Annotated[list[Part], Field(min_length=1, max_length=2)] = ["database", "files"]


class JobOut(Schema):
    id: UUID
    kind: str
    business_id: int | None
    state: str
    progress: float
    message: str
    started_at: str | None
    finished_at: str | None
    error: str
    result: Any


class StandingOut(Schema):
    id: int
    slug: str
    newest_at: str | None
    newest_age_seconds: int | None
    proven_at: str | None
    proven_age_seconds: int | None
    ok: bool


class StatusOut(Schema):
    ok: bool
    businesses: list[StandingOut]


@router.get("/ops/businesses/{business_id}/backups", auth=admin, response={200: BackupPage, **errors(400, 401, 403, 404, 422, 503)})
def list_backups(
    request: HttpRequest, business_id: Id, cursor: UUID | None = None, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> dict[str, Any]:
    """Newest first."""
    found = backups_of(_cafeteria(business_id).uuid).defer("manifest")
    if cursor is not None:
        last = backup_by_id(cursor)  # Erased meanwhile, it is not found: the list would begin anew.
        found = found.filter(Q(taken_at__lt=last.taken_at) | Q(taken_at=last.taken_at, id__lt=last.pk))
    rows = list(found[: limit + 1])
    return {"items": [_shown(row) for row in rows[:limit]], "next": str(rows[limit - 1].pk) if len(rows) > limit else None}


@router.post("/ops/businesses/{business_id}/backups", auth=admin, response={202: JobStarted, **errors(400, 401, 403, 404, 413, 422, 503)})
def take_backup(request: HttpRequest, business_id: Id) -> Status[dict[str, Any]]:
    bundle_keys()
    cafeteria = _cafeteria(business_id)
    job = enqueue("ops.backups.jobs.backup", queue="long", cafeteria_uuid=cafeteria.uuid, kind="manual")
    return Status(202, {"job_id": job.pk})


@router.post(
    "/ops/businesses/{business_id}/restore", auth=admin, response={202: JobStarted, **errors(400, 401, 403, 404, 409, 413, 422, 503)}
)
def restore(request: HttpRequest, business_id: Id, body: RestoreIn) -> Status[dict[str, Any]]:
    """Goes back to a backup or to any moment of the archive, as a job;
    with `preview` it only finds out what would change, which is the job's result then.

    With `as` it makes a copy under a new address instead, and leaves this cafeteria alone.
    """
    bundle_keys()
    cafeteria = _cafeteria(business_id)
    if (body.backup_id is None) == (body.at is None):
        raise OneOf
    by = caller_of(request).email
    if body.as_ is not None:
        if body.preview or "parts" in body.model_fields_set:
            raise CopyOrPreview
        wanted: dict[str, Any] = {"slug": body.as_, "backup_id": body.backup_id, "at": body.at, "keep_days": body.keep_days}
        return Status(202, {"job_id": start_clone(cafeteria_uuid=cafeteria.uuid, **wanted, by=by).job_id})
    if "keep_days" in body.model_fields_set:
        raise KeepDaysOfACopy
    if body.preview:
        return Status(202, {"job_id": start_preview(cafeteria_uuid=cafeteria.uuid, backup_id=body.backup_id, at=body.at).pk})
    started = start_restore(cafeteria_uuid=cafeteria.uuid, backup_id=body.backup_id, at=body.at, parts=tuple(body.parts), by=by)
    return Status(202, {"job_id": started.job_id})


@router.post("/ops/restores/{restore_id}/undo", auth=admin, response={202: JobStarted, **errors(400, 401, 403, 404, 409, 413, 422, 503)})
def undo(request: HttpRequest, restore_id: UUID) -> Status[dict[str, Any]]:
    job = start_undo(restore_id=restore_by_id(restore_id).pk, by=caller_of(request).email)
    return Status(202, {"job_id": job.pk})


@router.get("/ops/jobs/{job_id}", auth=admin, response={200: JobOut, **errors(400, 401, 403, 404, 422, 503)})
def job(request: HttpRequest, job_id: UUID) -> dict[str, Any]:
    found = job_by_id(job_id)
    cafeteria = Cafeteria.objects.filter(uuid=found.cafeteria_uuid).values_list("id", flat=True).first() if found.cafeteria_uuid else None
    return {
        "id": found.pk,
        "kind": found.kind,
        "business_id": cafeteria,
        "state": found.state,
        "progress": found.progress,
        "message": found.message,
        "started_at": _moment(found.started_at),
        "finished_at": _moment(found.finished_at),
        "error": found.error,
        "result": found.result,
    }


@router.get("/ops/status", auth=admin, response={200: StatusOut, **errors(400, 401, 403, 422, 503)})
def status(request: HttpRequest) -> dict[str, Any]:
    """How old each cafeteria's newest and newest proven backups are; `ok` when none is older than it may be."""
    now = timezone.now()
    found = standings()
    return {"ok": all(standing.ok for standing in found), "businesses": [standing.as_json(now) for standing in found]}


def _cafeteria(business_id: int) -> Cafeteria:
    found: Cafeteria | None = Cafeteria.objects.filter(pk=business_id).first()
    if found is None:
        raise CafeteriaNotFound
    return found


def _shown(backup: Backup) -> dict[str, Any]:
    return {
        "id": backup.pk,
        "taken_at": backup.taken_at.isoformat(),
        "kind": backup.kind,
        "size": backup.size,
        "rows": backup.rows,
        "sha256": backup.sha256,
        "verified_at": _moment(backup.proven_at),
        "location": backup.location,
    }


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
