import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from django.db.models.functions import Now
from django_q.models import OrmQ
from prometheus_client import CollectorRegistry, generate_latest
from pytest_django import Settings

from core.jobs import beats, enqueue
from core.jobs.metrics import JobCollector, QueueCollector
from core.jobs.models import ClusterBeat, Job, JobState
from core.jobs.queries import QueueStats, queue_stats
from core.jobs.runner import claim_job, run_job
from ops.watchdog import Problem, check_once, look_at_clusters, restart_cluster, watch
from tests.core.jobs.conftest import committed_jobs
from tests.processes import manage, wait_for

pytestmark = pytest.mark.usefixtures("committed_jobs")

__all__ = ["committed_jobs"]  # A fixture is found by its name in the module.

REFUSE = "tests.core.jobs.sample.jobs.refuse"
QUICK = {"JOB_LEASE_SECONDS": "3", "JOB_STOP_SECONDS": "1", "JOB_STALL_SECONDS": "3", "JOB_BEAT_SECONDS": "1"}
PATIENT = {**QUICK, "JOB_STALL_SECONDS": "60"}  # for clusters that are only starting, on a busy machine


@pytest.fixture(autouse=True)
def quick(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_FOLDER = tmp_path
    settings.JOB_STALL_SECONDS, settings.JOB_BEAT_SECONDS, settings.JOB_STOP_SECONDS = 3, 1, 1


def kinds(problems: list[Problem]) -> list[tuple[str, str]]:
    return [(problem.queue, problem.what) for problem in problems]


def asked_long_ago(queue: str) -> None:
    ClusterBeat.objects.filter(pk=queue).update(asked_at=Now() - timedelta(seconds=10))


def test_a_cluster_that_was_just_asked_is_given_time() -> None:
    assert look_at_clusters() == []
    assert look_at_clusters() == []
    assert sorted(row.key for row in OrmQ.objects.all()) == ["long", "short"]


def test_a_cluster_that_does_not_answer_has_stalled_until_it_does() -> None:
    look_at_clusters()
    asked_long_ago("long")
    assert kinds(look_at_clusters()) == [("long", "stalled")]
    since = ClusterBeat.objects.get(pk="long").stalled_since
    assert since is not None
    assert ClusterBeat.objects.get(pk="short").stalled_since is None
    look_at_clusters()
    assert ClusterBeat.objects.get(pk="long").stalled_since == since
    beats.answer("long")
    ClusterBeat.objects.filter(pk="long").update(beat_at=Now() - timedelta(seconds=2))
    assert look_at_clusters() == []
    assert ClusterBeat.objects.get(pk="long").stalled_since is None


def test_a_job_that_runs_is_a_sign_of_life() -> None:
    look_at_clusters()
    asked_long_ago("short")
    run_job(str(enqueue(REFUSE).pk))
    assert look_at_clusters() == []


def test_a_question_that_a_dead_cluster_took_is_asked_again() -> None:
    look_at_clusters()
    asked_long_ago("long")
    OrmQ.objects.filter(key="long").update(lock=Now() + timedelta(hours=3))
    look_at_clusters()
    row = OrmQ.objects.get(key="long")
    assert row.pk == ClusterBeat.objects.get(pk="long").wake_up_id
    assert row.lock is not None
    assert kinds(look_at_clusters()) == [("long", "stalled")]


def test_jobs_that_wait_too_long() -> None:
    job = enqueue(REFUSE)
    Job.objects.filter(pk=job.pk).update(run_after=Now() - timedelta(seconds=301))
    assert kinds(look_at_clusters()) == [("short", "late")]


def test_leases_that_nobody_reaps() -> None:
    job = enqueue(REFUSE)
    assert claim_job(job.pk) is not None
    Job.objects.filter(pk=job.pk).update(lease_until=Now() - timedelta(seconds=151))
    assert kinds(look_at_clusters()) == [("short", "unreaped")]


def test_once_waits_for_an_answer_but_not_for_ever(settings: Settings) -> None:
    settings.JOB_STALL_SECONDS = 0.2
    assert kinds(check_once()) == [("long", "stalled"), ("short", "stalled")]
    settings.JOB_STALL_SECONDS = 60
    beats.answer("long")
    beats.answer("short")
    assert check_once() == []


def test_nothing_to_restart() -> None:
    assert restart_cluster("long") is False


def test_a_stopped_cluster_is_noticed_and_ended(tmp_path: Path) -> None:
    with manage("worker", "short", data_folder=tmp_path, **QUICK) as cluster, manage("worker", "long", data_folder=tmp_path, **QUICK):
        with manage("watchdog", "--once", data_folder=tmp_path, **PATIENT) as healthy:
            assert healthy.wait(90) == 0
        family = [psutil.Process(cluster.pid), *psutil.Process(cluster.pid).children(recursive=True)]
        os.killpg(cluster.pid, signal.SIGSTOP)
        ClusterBeat.objects.filter(pk="short").update(asked_at=Now() - timedelta(seconds=10), beat_at=Now() - timedelta(seconds=20))
        with manage("watchdog", "--once", "--queue", "short", data_folder=tmp_path, **QUICK) as stalled:
            assert stalled.wait(60) == 1
        assert (tmp_path / "watchdog---once---queue-short.log").read_text().startswith("The short queue is stalled")
        with manage("watchdog", "--restart", "--queue", "short", "--pause=1", data_folder=tmp_path, **QUICK):
            assert cluster.wait(60) == -signal.SIGKILL
            assert psutil.wait_procs(family, timeout=30)[1] == []
            wait_for(lambda: queue_of("short").restarts == 1)
        with manage("worker", "short", data_folder=tmp_path, **QUICK):
            wait_for(lambda: ("short", "stalled") not in kinds(look_at_clusters()) and queue_of("short").stalled_since is None, seconds=60)


def test_a_question_from_before_the_start_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole copy was down: its clusters are only starting."""
    look_at_clusters()
    asked_long_ago("short")
    ended: list[str] = []
    monkeypatch.setattr("ops.watchdog.restart_cluster", ended.append)

    def leave(_pause: float) -> None:
        raise InterruptedError

    monkeypatch.setattr("ops.watchdog.time.sleep", leave)
    with pytest.raises(InterruptedError):
        watch(restart=True)
    assert ended == []
    assert look_at_clusters() == []


def test_a_container_looks_at_its_own_cluster_alone(tmp_path: Path) -> None:
    """It cannot see the other one's processes, and would wait for it in vain."""
    with (
        manage("worker", "short", data_folder=tmp_path, **QUICK),
        manage("watchdog", "--once", "--queue", "short", data_folder=tmp_path, **PATIENT) as fine,
        manage("watchdog", "--once", "--queue", "long", data_folder=tmp_path, **QUICK) as dead,
    ):
        assert (dead.wait(60), fine.wait(90)) == (1, 0)
    assert (tmp_path / "watchdog---once---queue-long.log").read_text().startswith("The long queue is stalled")


def test_a_cluster_whose_workers_hang_is_noticed_though_its_guard_lives(tmp_path: Path) -> None:
    with manage("worker", "long", data_folder=tmp_path, **QUICK) as cluster:
        wait_for(answered("long"), seconds=60)
        (sentinel,) = psutil.Process(cluster.pid).children()
        worker, _monitor, _pusher = sorted(sentinel.children(), key=lambda child: child.pid)
        worker.suspend()
        wait_for(lambda: ("long", "stalled") in kinds(look_at_clusters()))
        assert restart_cluster("long") is True
        assert cluster.wait(30) in {0, -signal.SIGKILL}
        assert psutil.wait_procs([worker], timeout=30)[1] == []


def test_metrics(settings: Settings) -> None:
    done, waiting = enqueue(REFUSE), enqueue(REFUSE, queue="long")
    run_job(str(done.pk))
    Job.objects.filter(pk=waiting.pk).update(run_after=Now() - timedelta(seconds=60))
    look_at_clusters()
    asked_long_ago("long")
    look_at_clusters()
    registry = CollectorRegistry()
    registry.register(JobCollector())
    registry.register(QueueCollector())
    text = generate_latest(registry).decode()
    assert f'comanda_jobs{{kind="{REFUSE}",state="failed"}} 1.0' in text
    assert 'comanda_job_queue_depth{queue="long"} 1.0' in text
    assert 'comanda_job_queue_depth{queue="short"} 0.0' in text
    assert 'comanda_job_queue_age_seconds{queue="long"} 6' in text
    assert 'comanda_cluster_stalled{queue="long"} 1.0' in text
    assert 'comanda_cluster_restarts_total{queue="long"} 0.0' in text


def test_stats_of_an_empty_table() -> None:
    assert [(each.queue, each.queued, each.running, each.oldest_due_age, each.beat_age) for each in queue_stats()] == [
        ("long", 0, 0, 0.0, None),
        ("short", 0, 0, 0.0, None),
    ]


def test_stats_count_each_state() -> None:
    jobs = [enqueue(REFUSE) for _ in range(3)]
    assert claim_job(jobs[0].pk) is not None
    Job.objects.filter(pk=jobs[1].pk).update(state=JobState.SUCCEEDED)
    short = queue_of("short")
    assert (short.queued, short.running, short.oldest_expired_age) == (1, 1, 0.0)


def queue_of(name: str) -> QueueStats:
    (found,) = [each for each in queue_stats() if each.queue == name]
    return found


def answered(queue: str) -> Callable[[], bool]:
    return lambda: ClusterBeat.objects.filter(pk=queue, asked_at=None).exclude(beat_at=None).exists()
