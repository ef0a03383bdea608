from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.db import ProgrammingError, connection, transaction
from pytest_django import DjangoDbBlocker

from core.jobs import enqueue
from core.jobs.errors import InvalidJob
from core.jobs.models import Job, JobState
from core.jobs.runner import run_job
from shop.menu.models import Product
from tenants.models import Cafeteria
from tenants.scope import current_tenant_or_none, tenant_scope
from tests.processes import committed_queue
from tests.world import Place, World

READ = "tests.tenants.sample.jobs.read_canary"
RAISE = "tests.tenants.sample.jobs.raise_halfway"


@pytest.fixture(autouse=True)
def queue(committed_world: World, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), committed_queue():
        yield


def add_in_scope(place: Place, kind: str) -> Job:
    with tenant_scope(place.ref):
        return enqueue(kind, product_id=place.coffee)


def run(job: Job) -> Job:
    run_job(str(job.pk))
    job.refresh_from_db()
    return job


def test_a_job_added_in_a_scope_is_that_cafeterias(committed_world: World) -> None:
    a, b = committed_world.a, committed_world.b
    job = add_in_scope(a, READ)
    assert job.cafeteria_uuid == a.ref.uuid
    with tenant_scope(a.ref):
        assert enqueue(READ, cafeteria_uuid=a.ref.uuid, product_id=1).cafeteria_uuid == a.ref.uuid
        with pytest.raises(InvalidJob, match="cannot be added"):
            enqueue(READ, cafeteria_uuid=b.ref.uuid, product_id=1)
    assert enqueue(READ, product_id=1).cafeteria_uuid is None


def test_a_scope_that_is_rolled_back_adds_nothing(committed_world: World) -> None:
    with tenant_scope(committed_world.a.ref):
        enqueue(READ, product_id=1)
        transaction.set_rollback(True)
    assert Job.objects.count() == 0


def test_each_reads_its_own_and_the_worker_is_in_public_afterwards(committed_world: World) -> None:
    a, b = committed_world.a, committed_world.b
    assert a.coffee == b.coffee
    jobs = [add_in_scope(a, READ), add_in_scope(a, RAISE), add_in_scope(b, READ)]
    states = []
    for job in jobs:
        states.append(run(job).state)
        assert current_tenant_or_none() is None
        assert not connection.in_atomic_block
        with pytest.raises(ProgrammingError, match="does not exist"):
            Product.objects.count()
    assert states == [JobState.SUCCEEDED, JobState.QUEUED, JobState.SUCCEEDED]
    assert a.canary in str(jobs[0].result)
    assert b.canary in str(jobs[2].result)
    with tenant_scope(a.ref):
        assert not Product.objects.filter(name="half done").exists()


def test_changes_of_the_cafeteria_meanwhile_do_not_matter_but_a_restore_does(committed_world: World) -> None:
    a = committed_world.a
    edited = run(add_in_scope(a, "tests.tenants.sample.jobs.read_after_an_edit"))
    assert edited.state == JobState.SUCCEEDED
    restored = run(enqueue("tests.tenants.sample.jobs.read_after_a_restore", cafeteria_uuid=a.ref.uuid, product_id=a.coffee))
    assert (restored.state, restored.error.partition(":")[0]) == (JobState.QUEUED, "StaleTenant")


def test_no_such_cafeteria_is_final_and_a_suspended_one_is_not(committed_world: World) -> None:
    unknown = run(enqueue(READ, cafeteria_uuid=uuid4(), product_id=1))
    assert (unknown.state, unknown.error) == (JobState.FAILED, "CafeteriaNotFound: There is no cafeteria here.")
    job = add_in_scope(committed_world.a, READ)
    Cafeteria.objects.filter(pk=committed_world.a.ref.id).update(status="suspended")
    assert run(job).state == JobState.QUEUED
    Cafeteria.objects.filter(pk=committed_world.a.ref.id).update(status="closed")
    Job.objects.filter(pk=job.pk).update(run_after="2020-01-01T00:00Z")
    assert run(job).state == JobState.FAILED
