"""Who asks what going back would change while somebody else does is led to the same job; other questions have their own."""

from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from core.audit.models import AuditEntry
from core.jobs.actions import cancel_job, retry_job
from core.jobs.models import Job
from core.jobs.runner import run_job
from ops.backups.actions import take_backup
from ops.backups.models import Backup
from ops.restores import actions
from ops.restores.actions import start_preview
from tests.payments.ledger.test_many_at_once import at_once
from tests.processes import committed_queue
from tests.world import World


@pytest.fixture(autouse=True)
def _queue(committed_world: World, settings: Settings, tmp_path: Path) -> Any:
    settings.BACKUP_FOLDER = tmp_path / "backups"
    with committed_queue():
        yield


@pytest.fixture
def backup(committed_world: World) -> Backup:
    return take_backup(cafeteria_uuid=committed_world.a.ref.uuid, kind="manual")


def audited(world: World) -> list[str]:
    found = AuditEntry.objects.filter(cafeteria_uuid=world.a.ref.uuid, action="restore.previewed").order_by("id")
    return [entry.data["job"] for entry in found]


def test_eight_who_ask_at_the_same_instant_have_one_job(committed_world: World, backup: Backup) -> None:
    ask = partial(start_preview, cafeteria_uuid=backup.cafeteria_uuid, backup_id=backup.pk, by="somebody")
    for round_ in (1, 2):
        jobs = at_once(*[ask] * 8)
        assert len({job.pk for job in jobs}) == 1
        assert ask().pk == jobs[0].pk
        assert Job.objects.filter(kind=actions.PREVIEW, cafeteria_uuid=backup.cafeteria_uuid).count() == round_
        assert len(set(audited(committed_world))) == len(audited(committed_world)) == round_
        run_job(str(jobs[0].pk))  # Whoever asks after that asks anew: there is more to lose by now.


def test_two_doors_lead_to_one_job(committed_world: World, backup: Backup) -> None:
    admin = committed_world.platform_client(committed_world.admin)
    address = f"/api/v1/ops/businesses/{committed_world.a.ref.id}/restore"
    body = {"backup_id": str(backup.pk), "preview": True}
    asked = [admin.post(address, body, content_type="application/json").json()["job_id"] for _ in range(2)]
    assert asked == [str(start_preview(cafeteria_uuid=backup.cafeteria_uuid, backup_id=backup.pk).pk)] * 2
    [entry] = AuditEntry.objects.filter(cafeteria_uuid=backup.cafeteria_uuid, action="restore.previewed")
    assert (entry.actor_id, entry.target) == (committed_world.admin, str(backup.pk))


def test_other_questions_have_jobs_of_their_own(committed_world: World, backup: Backup) -> None:
    other = take_backup(cafeteria_uuid=backup.cafeteria_uuid, kind="manual")
    jobs = at_once(*(partial(start_preview, cafeteria_uuid=backup.cafeteria_uuid, backup_id=pk) for pk in (backup.pk, other.pk)))
    assert {job.arguments["backup_id"] for job in jobs} == {str(backup.pk), str(other.pk)}


def test_a_moment_is_the_same_by_any_clock(committed_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "check_moment", lambda _at: None)  # Whether the archive reaches it is not asked here.
    at = datetime(2026, 11, 24, 12, tzinfo=UTC)
    moments = (at, at.astimezone(timezone(timedelta(hours=-3))), at + timedelta(seconds=1))
    jobs = [start_preview(cafeteria_uuid=committed_world.a.ref.uuid, at=moment) for moment in moments]
    assert (jobs[0].pk == jobs[1].pk, jobs[0].pk == jobs[2].pk) == (True, False)
    assert jobs[1].arguments == {"at": "2026-11-24T12:00:00+00:00"}


def test_one_that_is_stopped_is_nobodys_answer_and_one_tried_again_is(backup: Backup) -> None:
    ask = partial(start_preview, cafeteria_uuid=backup.cafeteria_uuid, backup_id=backup.pk)
    first = ask()
    Job.objects.filter(pk=first.pk).update(cancel_requested=True, state="running")
    second = ask()
    assert second.pk != first.pk
    cancel_job(job_id=second.pk)
    Job.objects.filter(pk=first.pk).update(state="cancelled")
    retry_job(job_id=first.pk)
    assert ask().pk == first.pk
