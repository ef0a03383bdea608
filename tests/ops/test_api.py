from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from core.jobs import enqueue
from core.jobs.models import Job
from core.jobs.runner import run_claim, run_job
from ops.backups.actions import file_of, take_backup
from ops.backups.models import Backup
from ops.management.following import kept_here
from ops.restores.models import Clone, Restore
from shop.orders.models import Order
from tenants.models import Cafeteria
from tenants.provisioning.schema import drop_schema
from tenants.queries import ref_by_uuid
from tenants.scope import tenant_scope
from tests.processes import committed_queue
from tests.world import World


@pytest.fixture(autouse=True)
def _queue(committed_world: World) -> Any:
    with committed_queue():
        yield


@pytest.fixture
def admin(committed_world: World, settings: Settings, tmp_path: Path) -> Client:
    settings.BACKUP_FOLDER = tmp_path / "backups"
    return committed_world.platform_client(committed_world.admin)


def base(world: World) -> str:
    return f"/api/v1/ops/businesses/{world.a.ref.id}"


def done(admin: Client, response: Any) -> dict[str, Any]:
    """What the job that a call has started says at its end."""
    assert response.status_code == 202, response.content
    job_id = response.json()["job_id"]
    run_job(job_id)
    return dict(admin.get(f"/api/v1/ops/jobs/{job_id}").json())


def order(world: World) -> None:
    body = world.a.order(guest={"name": "Ana"})
    assert world.a.client().post("/api/v1/orders", body, content_type="application/json").status_code == 201


def orders(world: World) -> int:
    with tenant_scope(ref_by_uuid(world.a.ref.uuid)):
        return Order.objects.count()


def test_backup_preview_restore_undo(admin: Client, committed_world: World) -> None:
    world = committed_world
    job = done(admin, admin.post(f"{base(world)}/backups"))
    assert (job["state"], job["progress"], job["business_id"], job["error"]) == ("succeeded", 1.0, world.a.ref.id, "")
    page = admin.get(f"{base(world)}/backups").json()
    (backup,) = page["items"]
    assert (backup["id"], backup["kind"], backup["location"], page["next"]) == (job["result"]["backup_id"], "manual", "local", None)
    order(world)

    preview = done(
        admin, admin.post(f"{base(world)}/restore", {"backup_id": backup["id"], "preview": True}, content_type="application/json")
    )
    assert {change["table"]: change["lost"] for change in preview["result"]["tables"]}["shop_order"] == 1
    assert orders(world) == 1

    restored = done(admin, admin.post(f"{base(world)}/restore", {"backup_id": backup["id"]}, content_type="application/json"))
    assert (restored["state"], restored["result"]["phase"], orders(world)) == ("succeeded", "done", 0)

    restore = Restore.objects.get(cafeteria_uuid=world.a.ref.uuid)
    assert restore.requested_by.startswith("admin-")
    undone = done(admin, admin.post(f"/api/v1/ops/restores/{restore.pk}/undo"))
    assert (undone["state"], orders(world)) == ("succeeded", 1)
    assert admin.post(f"/api/v1/ops/restores/{restore.pk}/undo").status_code == 409


def test_pages_of_backups(admin: Client, committed_world: World) -> None:
    taken = [str(take_backup(cafeteria_uuid=committed_world.a.ref.uuid, kind="hourly").pk) for _ in range(3)]
    first = admin.get(f"{base(committed_world)}/backups?limit=2").json()
    rest = admin.get(f"{base(committed_world)}/backups?limit=2&cursor={first['next']}").json()
    assert [row["id"] for row in first["items"] + rest["items"]] == taken[::-1]
    assert rest["next"] is None


def test_what_cannot_be(admin: Client, committed_world: World) -> None:
    def restore(**body: Any) -> tuple[int, str]:
        response = admin.post(f"{base(committed_world)}/restore", body, content_type="application/json")
        return response.status_code, response.json()["code"]

    backup = take_backup(cafeteria_uuid=committed_world.a.ref.uuid, kind="manual")
    theirs = take_backup(cafeteria_uuid=committed_world.b.ref.uuid, kind="manual")
    assert restore(backup_id=str(uuid4())) == (404, "backup_not_found")
    assert restore(backup_id=str(theirs.pk)) == (404, "backup_not_found")
    assert restore(at="2020-01-01T00:00:00Z")[0] == 400
    assert restore()[0] == 422
    assert restore(backup_id=str(backup.pk), at="2020-01-01T00:00:00Z")[0] == 422
    assert restore(backup_id=str(backup.pk), parts=["everything"])[0] == 422
    first = admin.post(f"{base(committed_world)}/restore", {"backup_id": str(backup.pk)}, content_type="application/json")
    assert first.status_code == 202
    assert restore(backup_id=str(backup.pk)) == (409, "restore_under_way")
    assert admin.get("/api/v1/ops/businesses/999999999/backups").status_code == 404
    assert admin.post("/api/v1/ops/businesses/999999999/backups").status_code == 404
    assert admin.post(f"/api/v1/ops/restores/{uuid4()}/undo").status_code == 404
    assert admin.get(f"/api/v1/ops/jobs/{uuid4()}").status_code == 404


def test_a_copy_under_a_new_address(admin: Client, committed_world: World) -> None:
    world = committed_world
    backup = take_backup(cafeteria_uuid=world.a.ref.uuid, kind="manual")
    order(world)
    slug = f"copy-{world.a.ref.slug}"

    def restore(**body: Any) -> Any:
        return admin.post(f"{base(world)}/restore", {"backup_id": str(backup.pk), **body}, content_type="application/json")

    try:
        job = done(admin, restore(**{"as": slug}))
        copy = Cafeteria.objects.get(slug=slug)
        assert copy.closes_at is not None
        facts = {"phase": "done", "business_id": copy.pk, "slug": slug, "closes_at": copy.closes_at.isoformat()}
        assert (job["state"], job["result"]) == ("succeeded", facts)
        assert 29 <= (copy.closes_at - timezone.now()).days <= 30
        assert orders(world) == 1
        with tenant_scope(ref_by_uuid(copy.uuid)):
            assert Order.objects.count() == 0
        assert (restore(**{"as": slug}).status_code, restore(**{"as": slug}).json()["code"]) == (409, "slug_taken")
        assert restore(**{"as": "No Address"}).status_code == 422
        assert restore(**{"as": f"{slug}-2"}, preview=True).status_code == 422
        assert restore(**{"as": f"{slug}-2"}, keep_days=-1).status_code == 422
        assert restore(keep_days=3).status_code == 422
        assert restore(**{"as": f"{slug}-2"}, parts=["database"]).status_code == 422
    finally:
        drop_copies(world)


def drop_copies(world: World) -> None:
    for copy in Cafeteria.objects.filter(copy_of=world.a.ref.uuid):
        drop_schema(copy.schema_name)
        Cafeteria.objects.filter(pk=copy.pk).delete()
    Clone.objects.filter(cafeteria_uuid=world.a.ref.uuid).delete()


def test_a_copy_from_the_command_line(admin: Client, committed_world: World, capsys: pytest.CaptureFixture[str]) -> None:
    slug = committed_world.a.ref.slug
    backup = take_backup(cafeteria_uuid=committed_world.a.ref.uuid, kind="manual")
    try:
        call_command("restore", slug, "--backup", "newest", "--as", f"{slug}-2")
        call_command("restore", slug, "--file", str(file_of(backup)), "--as", f"{slug}-3", "--with-staff", "--keep-days", "0")
        assert f"{slug}-3.localhost" in capsys.readouterr().out
        assert set(Cafeteria.objects.filter(copy_of=backup.cafeteria_uuid).values_list("slug", flat=True)) == {f"{slug}-2", f"{slug}-3"}
        ends = dict(Cafeteria.objects.filter(copy_of=backup.cafeteria_uuid).values_list("slug", "closes_at"))
        assert (ends[f"{slug}-2"] is None, ends[f"{slug}-3"] is None) == (False, True)
        call_command("keep_copy", f"{slug}-3", "--days", "7")
        assert (Cafeteria.objects.get(slug=f"{slug}-3").closes_at or timezone.now()) > timezone.now() + timedelta(days=6)
        with pytest.raises(CommandError, match="no such copy"):
            call_command("keep_copy", slug)
        with pytest.raises(CommandError, match="belongs to --as"):
            call_command("restore", slug, "--backup", "newest", "--keep-days", "3", "--force")
        with pytest.raises(CommandError, match="belongs to --as"):
            call_command("restore", slug, "--backup", "newest", "--with-staff", "--force")
        with pytest.raises(CommandError, match="made whole"):
            call_command("restore", slug, "--backup", "newest", "--as", f"{slug}-4", "--preview")
    finally:
        drop_copies(committed_world)


def test_a_job_for_a_file_of_this_machine_is_nobody_elses(committed_world: World) -> None:
    """A worker that is woken up for it finds it taken, from the first moment on."""

    def add() -> Job:
        return enqueue("ops.restores.jobs.preview", queue="long", cafeteria_uuid=committed_world.a.ref.uuid, file="/nowhere")

    claim, job = kept_here(add, job_of=lambda added: added.pk)
    run_job(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.attempts) == ("running", 1)
    run_claim(claim)
    job.refresh_from_db()
    assert (job.state, "no such file" in job.error) == ("failed", True)


def test_admins_alone(admin: Client, committed_world: World) -> None:
    owner = committed_world.platform_client(committed_world.owner_a)
    guest = committed_world.platform_client()
    for method, path in (
        ("get", f"{base(committed_world)}/backups"),
        ("post", f"{base(committed_world)}/backups"),
        ("post", f"{base(committed_world)}/restore"),
        ("post", f"/api/v1/ops/restores/{uuid4()}/undo"),
        ("get", f"/api/v1/ops/jobs/{uuid4()}"),
        ("get", "/api/v1/ops/status"),
    ):
        assert getattr(owner, method)(path).status_code == 403, path
        assert getattr(guest, method)(path).status_code == 401, path


def test_status(admin: Client, committed_world: World) -> None:
    found = admin.get("/api/v1/ops/status").json()
    ours = next(row for row in found["businesses"] if row["slug"] == committed_world.a.ref.slug)
    assert (ours["newest_at"], ours["ok"]) == (None, True)
    take_backup(cafeteria_uuid=committed_world.a.ref.uuid, kind="manual")
    found = admin.get("/api/v1/ops/status").json()
    ours = next(row for row in found["businesses"] if row["slug"] == committed_world.a.ref.slug)
    assert 0 <= ours["newest_age_seconds"] < 60


def test_a_failed_restore_is_told(admin: Client, committed_world: World, settings: Settings) -> None:
    backup = take_backup(cafeteria_uuid=committed_world.a.ref.uuid, kind="manual")
    (Path(settings.BACKUP_FOLDER) / backup.file).write_bytes(b"")
    job = done(admin, admin.post(f"{base(committed_world)}/restore", {"backup_id": str(backup.pk)}, content_type="application/json"))
    assert (job["state"], "empty" in job["error"]) == ("failed", True)
    assert Restore.objects.get(cafeteria_uuid=committed_world.a.ref.uuid).phase == "failed"


def test_the_commands(admin: Client, committed_world: World, capsys: pytest.CaptureFixture[str]) -> None:
    slug = committed_world.a.ref.slug
    call_command("backup", slug)
    order(committed_world)
    backup = Backup.objects.get(cafeteria_uuid=committed_world.a.ref.uuid)
    call_command("restore", slug, "--backup", "newest", "--preview")
    assert orders(committed_world) == 1
    call_command("restore", slug, "--backup", str(backup.pk), "--force")
    assert orders(committed_world) == 0
    said = capsys.readouterr().out
    assert "shop_order" in said
    assert "Undo until" in said
    with pytest.raises(CommandError, match="--force"):
        call_command("undo_restore", slug)
    call_command("undo_restore", slug, "--force")
    assert orders(committed_world) == 1
    with pytest.raises(CommandError, match="cannot be undone"):
        call_command("undo_restore", slug, "--force")
    with pytest.raises(CommandError, match="no backup's id"):
        call_command("restore", slug, "--backup", "yesterday", "--force")
    with pytest.raises(CommandError, match="cannot be used"):
        call_command("restore", slug, "--file", "/nowhere", "--force")
    call_command("restore", slug, "--backup", str(backup.pk), "--force", "--files-only")
    assert "pictures were put back" in capsys.readouterr().out
    assert not Job.objects.filter(state__in=("queued", "running"), kind__startswith="ops.").exists()
