from datetime import timedelta
from uuid import UUID

import pytest
from django.db.models.functions import Now
from django.utils import timezone
from django_q.models import OrmQ, Schedule, Task
from pytest_django import Settings

from core.jobs import enqueue
from core.jobs.cluster import release_jobs
from core.jobs.models import ClusterBeat, Job, JobState
from core.jobs.runner import claim_job, run_job
from core.jobs.tick import ensure_tick_schedule, prune_jobs, prune_tasks, reap_expired_leases, tick, wake_due_jobs

pytestmark = pytest.mark.usefixtures("committed_jobs")

SAMPLE = "tests.core.jobs.sample.jobs"
LONG_AGO = timedelta(minutes=10)


def running_job(*, attempts: int = 1, max_attempts: int = 3) -> Job:
    """Its worker has died: the lease has run out."""
    job = enqueue(f"{SAMPLE}.refuse", max_attempts=max_attempts)
    assert claim_job(job.pk) is not None
    OrmQ.objects.all().delete()
    Job.objects.filter(pk=job.pk).update(lease_until=Now() - timedelta(seconds=1), attempts=attempts)
    return job


def due_job() -> Job:
    job = enqueue(f"{SAMPLE}.refuse")
    Job.objects.filter(pk=job.pk).update(run_after=Now() - LONG_AGO)
    return job


def wake_ups() -> list[tuple[int, str]]:
    return [(row.pk, row.task["args"][0]) for row in OrmQ.objects.all()]


def test_a_dead_workers_job_goes_back() -> None:
    job = running_job()
    assert reap_expired_leases() == 1
    job.refresh_from_db()
    assert (job.state, job.attempts, job.error, job.claim) == (JobState.QUEUED, 1, "The worker died or stalled.", None)
    assert wake_ups() == [(job.wake_up_id, str(job.pk))]
    run_job(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.attempts) == (JobState.FAILED, 2)


def test_a_job_that_kills_its_workers_fails_in_the_end() -> None:
    job = running_job(attempts=3)
    reap_expired_leases()
    job.refresh_from_db()
    assert (job.state, job.error) == (JobState.FAILED, "The worker died or stalled.")
    assert wake_ups() == []


def test_a_dead_workers_cancelled_job_is_cancelled() -> None:
    job = running_job()
    Job.objects.filter(pk=job.pk).update(cancel_requested=True)
    reap_expired_leases()
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED


def test_a_kept_lease_is_left_alone() -> None:
    job = running_job()
    Job.objects.filter(pk=job.pk).update(lease_until=Now() + timedelta(seconds=60))
    assert reap_expired_leases() == 0


def test_a_lost_wake_up_is_replaced() -> None:
    job = due_job()
    OrmQ.objects.all().delete()
    assert wake_due_jobs() == 1
    job.refresh_from_db()
    assert wake_ups() == [(job.wake_up_id, str(job.pk))]
    assert timezone.now() - job.run_after > timedelta(minutes=9)


def test_a_wake_up_taken_by_a_dead_cluster_is_replaced() -> None:
    job = due_job()
    OrmQ.objects.update(lock=timezone.now() + timedelta(hours=3))
    old = job.wake_up_id
    assert wake_due_jobs() == 1
    job.refresh_from_db()
    assert wake_ups() == [(job.wake_up_id, str(job.pk))]
    assert job.wake_up_id != old


def test_a_waiting_wake_up_and_a_young_job_are_left_alone() -> None:
    due_job()
    enqueue(f"{SAMPLE}.refuse", run_after=timezone.now() + timedelta(hours=1))
    young = enqueue(f"{SAMPLE}.refuse")
    OrmQ.objects.filter(pk=young.wake_up_id).delete()
    assert wake_due_jobs() == 0


def test_old_rows_go_in_time(settings: Settings) -> None:
    ended, waiting = due_job(), due_job()
    run_job(str(ended.pk))
    Job.objects.update(created_at=Now() - timedelta(days=40))
    Job.objects.filter(pk=ended.pk).update(finished_at=Now() - timedelta(days=29))
    prune_jobs()
    assert Job.objects.count() == 2
    Job.objects.filter(pk=ended.pk).update(finished_at=Now() - timedelta(days=31))
    prune_jobs()
    assert set(Job.objects.values_list("pk", flat=True)) == {waiting.pk}


def test_old_failures_of_django_q_go() -> None:
    for days in (1, 8):
        then = timezone.now() - timedelta(days=days)
        Task.objects.create(id=f"{days}", name=f"{days}", func="f", started=then, stopped=then, success=False)
    prune_tasks()
    assert list(Task.objects.values_list("name", flat=True)) == ["1"]


def test_the_tick_does_all_of_it_and_asks_for_beats() -> None:
    job = running_job()
    tick()
    tick()
    job.refresh_from_db()
    assert job.state == JobState.QUEUED
    beats = ClusterBeat.objects.order_by("queue")
    assert [(beat.queue, beat.beat_at, beat.asked_at is not None) for beat in beats] == [("long", None, True), ("short", None, True)]
    assert sorted(argument for _, argument in wake_ups()) == sorted(["long", "short", str(job.pk)])


def test_there_is_one_schedule() -> None:
    ensure_tick_schedule()
    ensure_tick_schedule()
    schedule = Schedule.objects.get()
    assert (schedule.func, schedule.schedule_type, schedule.minutes, schedule.repeats) == ("core.jobs.tick.tick", "I", 1, -1)


def test_a_stopped_clusters_jobs_are_released_and_keep_their_attempts() -> None:
    mine, other = running_job(attempts=2), running_job(attempts=2)
    worker = Job.objects.get(pk=mine.pk).worker
    group = int(worker.split("/")[1])
    Job.objects.update(lease_until=Now() + timedelta(seconds=60))
    Job.objects.filter(pk=other.pk).update(worker=f"{worker.split('/')[0]}/{group}1/5")
    assert release_jobs(group) == 1
    assert reap_expired_leases() == 1
    assert attempts_by_id() == {mine.pk: 1, other.pk: 2}


def attempts_by_id() -> dict[UUID, int]:
    return dict(Job.objects.values_list("pk", "attempts"))
