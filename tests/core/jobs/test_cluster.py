"""Real clusters, killed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone
from django_q.models import OrmQ, Task

from core.jobs import enqueue
from core.jobs.actions import cancel_job
from core.jobs.models import ClusterBeat, Job, JobState
from core.jobs.tick import tick
from tests.processes import manage, wait_for

pytestmark = pytest.mark.usefixtures("committed_jobs")

SAMPLE = "tests.core.jobs.sample.jobs"
QUICK = {"JOB_LEASE_SECONDS": "3", "JOB_HEARTBEAT_SECONDS": "1", "JOB_STOP_SECONDS": "2"}


class Files(NamedTuple):
    path: str  # where a waiting job notes its start
    go: str  # what it waits for


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    yield Files(path=str(tmp_path / "notes"), go=str(tmp_path / "go"))
    (tmp_path / "go").touch()


def state_of(job: Job) -> str:
    job.refresh_from_db()
    return job.state


def state_after_tick(job: Job) -> str:
    tick()
    return state_of(job)


def wait_for_state(job: Job, state: JobState) -> Job:
    wait_for(lambda: state_of(job) == state)
    return job


def lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def test_both_queues_run_their_jobs_and_nothing_is_left(tmp_path: Path) -> None:
    notes = str(tmp_path / "notes")
    jobs = [enqueue(f"{SAMPLE}.note", queue=queue, path=notes, line=queue) for queue in ("short", "long", "short")]
    with manage("worker", "short", data_folder=tmp_path, **QUICK), manage("worker", "long", data_folder=tmp_path, **QUICK):
        for job in jobs:
            wait_for_state(job, JobState.SUCCEEDED)
        wait_for(lambda: ClusterBeat.objects.exclude(beat_at=None).count() == 2)
        wait_for(lambda: not OrmQ.objects.exists())
    assert sorted(lines(notes)) == ["long", "short", "short"]
    assert Task.objects.count() == 0


def test_after_a_killed_cluster_the_next_one_goes_on_at_once(tmp_path: Path, files: Files) -> None:
    job = enqueue(f"{SAMPLE}.wait_for_file", path=files.path, go=files.go)
    patient = QUICK | {"JOB_LEASE_SECONDS": "600"}
    with manage("worker", "short", data_folder=tmp_path, **patient):
        wait_for(lambda: len(lines(files.path)) == 1)
    assert state_of(job) == JobState.RUNNING
    Path(files.go).touch()
    with manage("worker", "short", data_folder=tmp_path, **patient):
        wait_for_state(job, JobState.SUCCEEDED)
    assert (len(lines(files.path)), job.attempts) == (2, 2)


def test_a_killed_worker_loses_nothing(tmp_path: Path, files: Files) -> None:
    job = enqueue(f"{SAMPLE}.wait_for_file", path=files.path, go=files.go)
    with manage("worker", "short", data_folder=tmp_path, **QUICK):
        wait_for(lambda: len(lines(files.path)) == 1)
        os.kill(int(lines(files.path)[0].split()[1]), signal.SIGKILL)
        assert state_of(job) == JobState.RUNNING
        wait_for(lambda: Job.objects.filter(pk=job.pk, lease_until__lt=Now()).exists())
        tick()
        wait_for(lambda: len(lines(files.path)) == 2)
        Path(files.go).touch()
        wait_for_state(job, JobState.SUCCEEDED)
    assert [line.split()[0] for line in lines(files.path)] == ["1", "2"]
    assert job.attempts == 2


def test_a_killed_cluster_loses_nothing_and_leaves_nobody(tmp_path: Path, files: Files) -> None:
    """Not what it runs, and not what it has taken from the queue without running it, which django-q2 would bring back in three hours."""
    running, waiting = (enqueue(f"{SAMPLE}.wait_for_file", queue="long", path=files.path, go=files.go) for _ in range(2))
    with manage("worker", "long", data_folder=tmp_path, **QUICK) as cluster:
        wait_for(lambda: OrmQ.objects.filter(lock__gt=timezone.now()).count() >= 2)
        wait_for(lambda: len(lines(files.path)) == 1)
        family = psutil.Process(cluster.pid).children(recursive=True)
        assert len(family) == 4
        os.kill(cluster.pid, signal.SIGKILL)
        cluster.wait(30)
        assert psutil.wait_procs(family, timeout=30)[1] == []
    Path(files.go).touch()
    with manage("worker", "long", data_folder=tmp_path, JOB_REWAKE_SECONDS="1", **QUICK):
        wait_for(lambda: state_after_tick(running) == JobState.SUCCEEDED, seconds=60)
        Job.objects.filter(pk=waiting.pk, state=JobState.QUEUED).update(run_after="2020-01-01T00:00Z")
        wait_for(lambda: state_after_tick(waiting) == JobState.SUCCEEDED, seconds=60)
    assert (running.attempts, waiting.attempts) == (2, 1)


def test_a_stopping_cluster_waits_for_its_jobs(tmp_path: Path, files: Files) -> None:
    job = enqueue(f"{SAMPLE}.wait_for_file", path=files.path, go=files.go)
    with manage("worker", "short", data_folder=tmp_path, JOB_STOP_SECONDS="20") as cluster:
        wait_for(lambda: len(lines(files.path)) == 1)
        cluster.send_signal(signal.SIGTERM)
        Path(files.go).touch()
        assert cluster.wait(60) == 0
    assert state_of(job) == JobState.SUCCEEDED


def test_a_stopping_cluster_does_not_wait_for_ever_and_the_next_one_goes_on_at_once(tmp_path: Path, files: Files) -> None:
    job = enqueue(f"{SAMPLE}.wait_deaf", path=files.path, go=files.go)
    with manage("worker", "short", data_folder=tmp_path, JOB_STOP_SECONDS="1") as cluster:
        wait_for(lambda: len(lines(files.path)) == 1)
        family = psutil.Process(cluster.pid).children(recursive=True)
        cluster.send_signal(signal.SIGINT)
        assert cluster.wait(60) == 0
        assert psutil.wait_procs(family, timeout=30)[1] == []
    assert state_of(job) == JobState.RUNNING
    Path(files.go).touch()
    with manage("worker", "short", data_folder=tmp_path):
        wait_for_state(job, JobState.SUCCEEDED)
    assert job.attempts == 1


def test_a_jobs_children_do_not_outlive_its_worker(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    enqueue(f"{SAMPLE}.start_child", path=str(notes))
    with manage("worker", "short", data_folder=tmp_path, **QUICK):
        wait_for(lambda: notes.exists() and notes.read_text().endswith("\n"))
        worker, child = map(int, notes.read_text().split())
        process = psutil.Process(child)
        os.kill(worker, signal.SIGKILL)
        assert psutil.wait_procs([process], timeout=30)[1] == []


def test_cancel_across_processes(tmp_path: Path, files: Files) -> None:
    job = enqueue(f"{SAMPLE}.wait_for_file", path=files.path, go=files.go)
    with manage("worker", "short", data_folder=tmp_path, **QUICK):
        wait_for(lambda: Job.objects.filter(pk=job.pk, message="half of it").exists())
        cancel_job(job_id=job.pk)
        wait_for_state(job, JobState.CANCELLED)


def test_one_cluster_to_a_queue_and_folder(tmp_path: Path) -> None:
    with manage("worker", "long", data_folder=tmp_path, **QUICK):
        wait_for((tmp_path / "run" / "worker-long.pid").exists)
        with manage("worker", "long", "--patience=0", data_folder=tmp_path) as second:
            assert second.wait(60) == 1
    assert "runs already" in (tmp_path / "worker-long---patience=0.log").read_text()


def test_a_slow_statement_is_ended_before_the_clusters_timeout(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    job = enqueue(f"{SAMPLE}.statement_limit", path=str(notes))
    with manage("worker", "short", data_folder=tmp_path):
        wait_for_state(job, JobState.SUCCEEDED)
    assert notes.read_text() == "55s\n"


def test_a_killed_workers_statement_ends(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    enqueue(f"{SAMPLE}.query_slowly", path=str(notes))
    with manage("worker", "short", data_folder=tmp_path, **QUICK):
        wait_for(notes.exists)
        wait_for(lambda: slow_statements() == 1)
    wait_for(lambda: slow_statements() == 0, seconds=30)


def slow_statements() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(60)'")
        return int(cursor.fetchone()[0])
