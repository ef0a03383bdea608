"""The jobs as a worker runs them."""

from typing import Any
from uuid import uuid4

import pytest

from billing import actions, jobs, looking
from billing.models import Preapproval
from billing.plans import plan_by_code
from core.jobs import JobRun
from core.jobs.errors import JobCancelled
from core.jobs.models import Job
from core.jobs.run import Claim
from payments.gateway.errors import GatewayRefused
from payments.gateway.subscriptions import Subscriptions
from tests.billing.desk import Desk
from tests.world import World


@pytest.fixture
def run() -> JobRun:
    return JobRun(Claim(job_id=uuid4(), token=uuid4(), kind="billing.jobs.any", queue="long", attempt=1, cafeteria_uuid=None, arguments={}))


def test_the_hourly_jobs_say_what_they_did(desk: Desk, run: JobRun) -> None:
    desk.subscribed()
    assert jobs.check_subscriptions(run) == {"looked": 1, "failed": 0}
    result = jobs.apply_policy(run)
    assert isinstance(result, dict)
    assert set(result) == {"begun", "ended", "settled", "failed"}


def test_the_jobs_stop_when_they_are_asked_to(desk: Desk, run: JobRun) -> None:
    desk.subscribed()
    desk.end_trial()
    run.wire.cancelled.set()
    for job in (jobs.check_subscriptions, jobs.apply_policy):
        with pytest.raises(JobCancelled):
            job(run)


def test_a_run_that_takes_too_long_leaves_the_rest_to_the_next(desk: Desk) -> None:
    desk.subscribed()
    assert looking.check_subscriptions(seconds=-1).looked == 0


def test_the_job_that_was_added_ends_what_is_to_end(desk: Desk, run: JobRun) -> None:
    first = desk.subscribe("house")
    desk.subscribe("corner")
    job = Job.objects.get(kind="billing.jobs.end_preapproval")
    assert job.arguments == {"preapproval_id": first.pk}
    arguments: dict[str, Any] = job.arguments
    assert jobs.end_preapproval(run, **arguments) == {"ended": True}
    assert jobs.end_preapproval(run, **arguments) == {"ended": True}
    assert desk.theirs(first) == "cancelled"


@pytest.mark.parametrize(("hours", "status", "ended"), [(0, "new", False), (2, "refused", True)])
def test_what_mercado_pago_does_not_know_ends_when_it_can_come_no_more(
    desk: Desk, run: JobRun, hours: int, status: str, ended: bool
) -> None:
    row = desk.subscribe()
    desk.emulator.control("DELETE", "/_emu/all")
    Preapproval.objects.filter(pk=row.pk).update(mp_id=None, status="new", ending=True, last_modified=None)
    desk.pass_time(hours=hours)
    with desk.at():
        assert jobs.end_preapproval(run, preapproval_id=row.pk) == {"ended": ended}
    row.refresh_from_db()
    assert row.status == status


def test_what_has_ended_there_already_has_ended(desk: Desk, run: JobRun) -> None:
    row = desk.subscribed()
    Subscriptions().change_status(str(row.mp_id), "cancelled")
    Preapproval.objects.filter(pk=row.pk).update(ending=True)
    assert jobs.end_preapproval(run, preapproval_id=row.pk) == {"ended": True}
    row.refresh_from_db()
    assert row.status == "cancelled"


def test_one_silence_after_the_other_ends_the_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.subscribed()
    monkeypatch.setattr(looking, "SILENCES", 1)
    desk.emulator.fault("status_500", None)
    assert desk.look().failed == 1
    requests = desk.emulator.entries("request", method="GET")
    assert len({entry["path"] for entry in requests if entry["status"] == 500}) == 1


def test_one_whose_answer_was_lost_is_found_by_its_reference_and_ended(desk: Desk, run: JobRun) -> None:
    row = desk.subscribe()
    Preapproval.objects.filter(pk=row.pk).update(mp_id=None, status="new", ending=True, last_modified=None)
    assert jobs.end_preapproval(run, preapproval_id=row.pk) == {"ended": True}
    found = Preapproval.objects.get(pk=row.pk)
    assert (found.mp_id, found.status, desk.theirs(row)) == (row.mp_id, "cancelled", "cancelled")


def test_a_change_that_is_refused_is_given_up(desk: Desk) -> None:
    row = desk.subscribed("house")
    Subscriptions().change_status(str(row.mp_id), "cancelled")
    with pytest.raises(GatewayRefused):
        actions.change_plan(cafeteria=desk.cafeteria, plan=plan_by_code("corner"), person=desk.owner)
    row.refresh_from_db()
    assert (row.wanted_plan, desk.subscription.plan) == ("", "house")


def test_the_policy_asks_no_more_when_nobody_answers_but_goes_on_with_trials(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.subscribed()
    desk.end_trial()
    desk.pass_time(days=5)
    monkeypatch.setattr(looking, "SILENCES", 0)
    other, asked = desk.open_other(world.b), desk.emulator.entries("request", method="GET")
    desk.apply_policy()
    assert desk.emulator.entries("request", method="GET") == asked
    other.refresh_from_db()
    assert (desk.status, other.status) == ("active", "past_due")
