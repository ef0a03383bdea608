from uuid import uuid4

import pytest

from core.jobs import enqueue
from core.jobs.errors import JobNotFound
from core.jobs.models import new_job_id
from core.jobs.queries import job_by_id, newest_jobs

pytestmark = pytest.mark.django_db

REFUSE, NOTE = "tests.core.jobs.sample.jobs.refuse", "tests.core.jobs.sample.jobs.note"


def test_newest_first_page_by_page() -> None:
    ids = sorted((enqueue(REFUSE).pk for _ in range(5)), reverse=True)
    first = [job.pk for job in newest_jobs(limit=2)]
    second = [job.pk for job in newest_jobs(limit=2, before=first[-1])]
    assert (first, second) == (ids[:2], ids[2:4])


def test_of_one_cafeteria_kind_and_state() -> None:
    mine = uuid4()
    wanted = enqueue(NOTE, cafeteria_uuid=mine, path="")
    enqueue(REFUSE, cafeteria_uuid=mine)
    enqueue(NOTE, cafeteria_uuid=uuid4(), path="")
    enqueue(NOTE, path="")
    assert newest_jobs(cafeteria_uuid=mine, kind=NOTE, state="queued") == [wanted]
    assert newest_jobs(cafeteria_uuid=mine, state="failed") == []


def test_by_id() -> None:
    job = enqueue(REFUSE)
    assert job_by_id(job.pk) == job
    with pytest.raises(JobNotFound):
        job_by_id(new_job_id())
