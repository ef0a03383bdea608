"""A django-q2 cluster as a process that a supervisor can trust: one to a queue and data folder, ends in time, leaves nobody behind."""

import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import connections
from django.db.backends.signals import connection_created
from django.db.models import F, Value
from django.db.models.functions import Greatest, Now
from django_q.cluster import Cluster
from django_q.conf import Conf

from core.jobs.models import Job, JobState
from core.jobs.processes import let_forks_die_with_their_parent, pid_file
from core.jobs.runner import cluster_prefix
from core.jobs.tick import ensure_tick_schedule, tick

log = structlog.get_logger()

LIMITS = "SELECT set_config('statement_timeout', %s, false), set_config('client_connection_check_interval', '5s', false)"
LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 20.0  # for the cluster that a watchdog or a supervisor is just ending


def cluster_pid_path(queue: str) -> Path:
    return Path(settings.DATA_FOLDER) / "run" / f"worker-{queue}.pid"


def run_cluster(queue: str, *, patience: float = PATIENCE_SECONDS) -> int:
    """Run the queue's cluster until SIGTERM or SIGINT; the exit status. Raises AlreadyRunning when another one does not end in time.

    Running jobs have JOB_STOP_SECONDS to end; those that do not are killed, and run again as soon as a cluster is back.
    """
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    _become(queue)
    former = _former_group(queue)
    with pid_file(cluster_pid_path(queue), patience=patience):
        ensure_tick_schedule()
        end_leases(queue, group=former)
        tick()  # What the last cluster left need not wait for the first minute.
        connections.close_all()
        connection_created.connect(_limit_statements)
        let_forks_die_with_their_parent()
        return _run_until_told()


def release_jobs(group: int) -> int:
    """Let go of the leases of a dead cluster's jobs, and take back the attempt: it was not the job's fault. How many."""
    jobs = Job.objects.filter(state=JobState.RUNNING, worker__startswith=cluster_prefix(group))
    return jobs.update(lease_until=Now(), attempts=Greatest(F("attempts") - 1, Value(0)))


def end_leases(queue: str, *, group: int) -> int:
    """Let the tick put the jobs of a cluster that was killed back into their queue at once; how many. The attempt counts: it may be why."""
    jobs = Job.objects.filter(state=JobState.RUNNING, queue=queue, worker__startswith=cluster_prefix(group))
    return jobs.update(lease_until=Now())


def _former_group(queue: str) -> int:
    """Of the cluster that has held this one's pid file last: dead, once we hold it. 0: none is known."""
    try:
        return int(cluster_pid_path(queue).read_text())
    except (OSError, ValueError):
        return 0


def _become(queue: str) -> None:
    """Take on the queue's configuration. django-q2 would read its name from the environment, before any command has its say."""
    Conf.CLUSTER_NAME = queue
    logging.getLogger("django-q").setLevel(logging.WARNING)  # Our own lines say more, and beats are no news.
    alternatives: Any = settings.Q_CLUSTER["ALT_CLUSTERS"]
    for name, value in alternatives.get(queue, {}).items():
        setattr(Conf, name.upper(), value)


def _run_until_told() -> int:
    told = threading.Event()
    cluster = Cluster()
    for number in (signal.SIGTERM, signal.SIGINT):
        # In place of the cluster's own handlers, which wait for ever and can deadlock.
        signal.signal(number, lambda *_: told.set())
    cluster.start()
    log.info("cluster_started", queue=Conf.CLUSTER_NAME, pid=os.getpid())
    while cluster.sentinel.is_alive() and not told.wait(LOOK_SECONDS):
        pass
    ended = told.is_set() and _stop_gently(cluster)
    if not ended:
        _kill_the_rest(cluster)
    log.info("cluster_stopped", queue=Conf.CLUSTER_NAME, killed=not ended)
    return 0 if told.is_set() else 1


def _stop_gently(cluster: Any) -> bool:
    """Whether all workers have ended by themselves."""
    # In a thread: the event's lock may be held by a process that is stopped or dead.
    threading.Thread(target=cluster.stop_event.set, daemon=True).start()
    cluster.sentinel.join(settings.JOB_STOP_SECONDS)
    return not cluster.sentinel.is_alive()


def _kill_the_rest(cluster: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)  # the children that jobs have started, too
    cluster.sentinel.kill()  # With it, by the kernel, its workers.
    cluster.sentinel.join(5)
    release_jobs(os.getpgrp())
    connections.close_all()


def _limit_statements(*, connection: Any, **_: object) -> None:
    """The timeout's signal does not interrupt a statement: the server has to. And it has to notice a killed client."""
    limit = max(Conf.TIMEOUT - 5, 1) if Conf.TIMEOUT else 0
    with connection.cursor() as cursor:
        cursor.execute(LIMITS, [f"{limit}s"])
