import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import connections, transaction
from django.utils import timezone
from django_q.models import OrmQ

from core.jobs import enqueue
from core.jobs.errors import InvalidJob
from core.jobs.models import Job, JobState, new_job_id
from core.jobs.runner import run_job

pytestmark = pytest.mark.usefixtures("committed_jobs")

NOTE = "tests.core.jobs.sample.jobs.note"


def test_a_job_and_its_wake_up_are_one_row_each() -> None:
    job = enqueue(NOTE, queue="long", path="/nowhere")
    job.refresh_from_db()
    assert (job.state, job.queue, job.attempts, job.arguments) == (JobState.QUEUED, "long", 0, {"path": "/nowhere"})
    (row,) = OrmQ.objects.all()
    assert (row.pk, row.key, row.task["func"], row.task["args"]) == (job.wake_up_id, "long", "core.jobs.runner.run_job", (str(job.pk),))


def test_rollback_leaves_nothing() -> None:
    with transaction.atomic():
        enqueue(NOTE, path="/nowhere")
        enqueue(NOTE, path="/nowhere", idempotency_key="once")
        transaction.set_rollback(True)
    assert (Job.objects.count(), OrmQ.objects.count()) == (0, 0)


def test_nobody_sees_it_before_the_commit() -> None:
    def counts() -> tuple[int, int]:
        try:
            return Job.objects.count(), OrmQ.objects.count()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as outside, transaction.atomic():
        enqueue(NOTE, path="/nowhere")
        assert outside.submit(counts).result() == (0, 0)
    assert counts() == (1, 1)


def test_same_key_gives_the_same_job() -> None:
    first = enqueue(NOTE, idempotency_key="once", path="/a")
    again = enqueue(NOTE, idempotency_key="once", path="/b")
    assert (again.pk, again.arguments) == (first.pk, {"path": "/a"})
    assert OrmQ.objects.count() == 1


def test_a_key_belongs_to_its_kind_and_cafeteria() -> None:
    one, other = uuid4(), uuid4()
    jobs = {
        enqueue(NOTE, idempotency_key="once", path="").pk,
        enqueue("tests.core.jobs.sample.jobs.refuse", idempotency_key="once").pk,
        enqueue(NOTE, idempotency_key="once", cafeteria_uuid=one, path="").pk,
        enqueue(NOTE, idempotency_key="once", cafeteria_uuid=other, path="").pk,
    }
    assert len(jobs) == 4


def test_same_key_in_many_threads_at_once() -> None:
    together = threading.Barrier(8)

    def add(number: int) -> Job:
        try:
            together.wait(60)
            return enqueue(NOTE, idempotency_key="once", path=str(number))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        jobs = list(threads.map(add, range(8)))
    assert len({job.pk for job in jobs}) == 1
    assert (Job.objects.count(), OrmQ.objects.count()) == (1, 1)


def test_a_key_waits_for_a_rollback(tmp_path: Path) -> None:
    inserted, roll_back = threading.Event(), threading.Event()

    def add_and_roll_back() -> None:
        try:
            with transaction.atomic():
                enqueue(NOTE, idempotency_key="once", path="rolled back")
                inserted.set()
                roll_back.wait(60)
                transaction.set_rollback(True)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as other:
        other.submit(add_and_roll_back)
        assert inserted.wait(60)
        threading.Timer(0.2, roll_back.set).start()
        job = enqueue(NOTE, idempotency_key="once", path=str(tmp_path / "notes"))
    run_job(str(job.pk))
    assert (tmp_path / "notes").read_text() == "1\n"


def test_a_job_for_later_is_not_run_before() -> None:
    job = enqueue(NOTE, run_after=timezone.now() + timedelta(hours=1), path="/nowhere")
    run_job(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    assert OrmQ.objects.get().lock == job.run_after


@pytest.mark.parametrize(
    "value", [Decimal(1), {1, 2}, float("nan"), (1, 2), {1: "one"}, "a\x00b", b"bytes", uuid4(), timezone.now(), {"deep": [object()]}]
)
def test_arguments_that_are_not_json_are_named(value: object) -> None:
    with pytest.raises(InvalidJob, match="argument dough"):
        enqueue(NOTE, dough=value)  # type: ignore[arg-type]
    assert Job.objects.count() == 0


@pytest.mark.parametrize("kind", ["os.system", "jobs.note", "core.jobs", "core.jobs.Note", "a b.jobs.note", "x.jobs." + "a" * 120])
def test_only_a_function_of_a_jobs_module_is_a_job(kind: str) -> None:
    with pytest.raises(InvalidJob):
        enqueue(kind)


def test_unknown_queue_and_long_key() -> None:
    with pytest.raises(ValueError, match="middling"):
        enqueue(NOTE, queue="middling", path="")
    with pytest.raises(InvalidJob, match="200"):
        enqueue(NOTE, idempotency_key="x" * 201, path="")


def test_ids_sort_by_time() -> None:
    ids = [new_job_id() for _ in range(200)]
    assert {(each.version, each.variant) for each in ids} == {(7, "specified in RFC 4122")}
    assert [each.int >> 80 for each in ids] == sorted(each.int >> 80 for each in ids)
    assert len(set(ids)) == 200
