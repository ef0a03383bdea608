import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections, transaction
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from core.jobs import enqueue
from core.jobs.functions import resolve_job
from core.jobs.models import Job, JobState, Queue, new_job_id
from core.jobs.periodic import PeriodicJob, current_slot, enqueue_periodic_jobs, periodic_jobs
from core.jobs.runner import claim_job, run_job
from core.jobs.tick import tick
from tests.processes import wait_for

pytestmark = pytest.mark.usefixtures("committed_jobs")

KIND = "tests.core.jobs.sample.jobs.refuse"
OTHER = "tests.core.jobs.sample.jobs.refuse_for_now"
MINUTE, HOUR, DAY = 60, 3600, 86400
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def hourly(settings: Settings) -> None:
    settings.PERIODIC_JOBS = {KIND: {"every": HOUR, "queue": "short"}}


def at(hour: int, minute: int = 0, second: int = 0, *, day: int = 24) -> datetime:
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)


def keys() -> list[str]:
    return list(Job.objects.order_by("id").values_list("idempotency_key", flat=True))


def end_all() -> None:
    for job in Job.objects.filter(state=JobState.QUEUED):
        run_job(str(job.pk))


def test_a_slot_has_one_job(hourly: None) -> None:
    assert [enqueue_periodic_jobs(at=at(12)), enqueue_periodic_jobs(at=at(12, 1))] == [1, 0]
    end_all()
    assert enqueue_periodic_jobs(at=at(12, 2)) == 0
    job = Job.objects.get()
    assert (job.kind, job.queue, job.cafeteria_uuid, job.arguments) == (KIND, "short", None, {})
    assert (job.state, job.idempotency_key) == (JobState.FAILED, "2026-11-24T12:00Z")


def test_the_next_slot_has_the_next(hourly: None) -> None:
    enqueue_periodic_jobs(at=at(12))
    end_all()
    assert enqueue_periodic_jobs(at=at(12, 59, 59)) == 0
    assert enqueue_periodic_jobs(at=at(13)) == 1
    assert keys() == ["2026-11-24T12:00Z", "2026-11-24T13:00Z"]


def test_what_was_missed_is_not_made_up(hourly: None) -> None:
    enqueue_periodic_jobs(at=at(9))
    end_all()
    assert enqueue_periodic_jobs(at=at(12, 15)) == 0
    assert enqueue_periodic_jobs(at=at(13, 14, 59)) == 1
    assert keys() == ["2026-11-24T09:00Z", "2026-11-24T13:00Z"]


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
def test_none_is_added_behind_one_that_has_not_ended(hourly: None, state: JobState) -> None:
    enqueue_periodic_jobs(at=at(11))
    job = Job.objects.get()
    if state == JobState.RUNNING:
        assert claim_job(job.pk) is not None
    assert enqueue_periodic_jobs(at=at(12)) == 0
    assert keys() == ["2026-11-24T11:00Z"]
    Job.objects.update(state=JobState.SUCCEEDED, finished_at=timezone.now())
    assert enqueue_periodic_jobs(at=at(13)) == 1


def test_another_kind_and_a_cafeterias_own_job_are_not_in_the_way(hourly: None) -> None:
    enqueue(OTHER)
    enqueue(KIND, cafeteria_uuid=new_job_id())
    assert enqueue_periodic_jobs(at=NOON) == 1


def test_each_kind_has_its_own_slots_and_queue(settings: Settings) -> None:
    settings.PERIODIC_JOBS = {KIND: {"every": MINUTE, "queue": "short"}, OTHER: {"every": DAY, "at": "04:30", "queue": "long"}}
    assert [enqueue_periodic_jobs(at=at(4, 29)), enqueue_periodic_jobs(at=at(4, 30))] == [1, 1]
    rows = Job.objects.order_by("id").values_list("kind", "queue", "idempotency_key")
    assert list(rows) == [(KIND, "short", "2026-11-24T04:29Z"), (OTHER, "long", "2026-11-24T04:30Z")]
    assert sorted(OrmQ.objects.values_list("key", flat=True)) == ["long", "short"]


@pytest.mark.parametrize("now", [at(12), at(13)], ids=["same slot", "next slot"])
def test_of_two_ticks_at_once_the_second_sees_the_job_of_the_first(hourly: None, now: datetime) -> None:
    counts: list[int] = []

    def work() -> None:
        try:
            counts.append(enqueue_periodic_jobs(at=now))
        finally:
            connections.close_all()

    second = threading.Thread(target=work)
    with transaction.atomic():
        assert enqueue_periodic_jobs(at=at(12)) == 1
        second.start()
        wait_for(lambda: waits_for_a_lock() or not second.is_alive())
    second.join(30)
    assert counts == [0]
    assert keys() == ["2026-11-24T12:00Z"]


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)")
        return bool(cursor.fetchone()[0])


def test_the_tick_adds_by_the_databases_clock(settings: Settings) -> None:
    settings.PERIODIC_JOBS = {KIND: {"every": MINUTE, "queue": "short"}}
    before = timezone.now().replace(second=0, microsecond=0)
    tick()
    tick()
    (key,) = keys()
    assert before <= datetime.strptime(key, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC) <= timezone.now()
    assert OrmQ.objects.filter(pk=Job.objects.get().wake_up_id, key="short").exists()


@pytest.mark.parametrize(
    ("every", "start", "now", "slot"),
    [
        (MINUTE, 0, at(12, 0, 59), at(12)),
        (300, 0, at(12, 9, 59), at(12, 5)),
        (HOUR, 0, at(12, 14, 59), at(12)),
        (HOUR, 0, at(12, 15), None),
        (DAY, 0, at(0, 3), at(0)),
        (DAY, 0, at(12), None),
        (DAY, 23 * HOUR + 55 * MINUTE, at(0, 5, day=25), at(23, 55)),
        (DAY, 23 * HOUR + 55 * MINUTE, at(23, 54), None),
    ],
)
def test_slots(every: int, start: int, now: datetime, slot: datetime | None) -> None:
    job = PeriodicJob(kind=KIND, every=timedelta(seconds=every), at=timedelta(seconds=start), queue=Queue.SHORT)
    assert current_slot(job, now) == slot


@pytest.mark.parametrize(
    ("kind", "fields", "problem"),
    [
        ("core.jobs.tick.tick", {"every": MINUTE, "queue": "short"}, "names no job"),
        (KIND, {"every": 90, "queue": "short"}, "every is 90"),
        (KIND, {"every": 0, "queue": "short"}, "every is 0"),
        (KIND, {"every": 60.0, "queue": "short"}, "every is 60.0"),
        (KIND, {"every": MINUTE, "queue": "broad"}, "'broad' is not a valid Queue"),
        (KIND, {"every": MINUTE}, "'queue'"),
        (KIND, {"queue": "short"}, "'every'"),
        (KIND, {"every": HOUR, "at": "04:30", "queue": "short"}, "at is for daily jobs"),
        (KIND, {"every": DAY, "at": "4:30", "queue": "short"}, "at is '4:30'"),
        (KIND, {"every": DAY, "at": "24:30", "queue": "short"}, "hour must be in"),
        (KIND, {"every": DAY, "att": "04:30", "queue": "short"}, "unknown att"),
    ],
)
def test_a_wrong_setting_is_refused_by_the_tick_with_which_a_cluster_starts(
    settings: Settings, kind: str, fields: dict[str, Any], problem: str
) -> None:
    settings.PERIODIC_JOBS = {kind: fields}
    with pytest.raises(ImproperlyConfigured, match=r"PERIODIC_JOBS\['.*'\] is wrong: .*"):
        periodic_jobs()
    with pytest.raises(ImproperlyConfigured) as refused:
        tick()
    assert problem in str(refused.value)


def test_the_samples_exist() -> None:
    assert [resolve_job(kind).__name__ for kind in (KIND, OTHER)] == ["refuse", "refuse_for_now"]
