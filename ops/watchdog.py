"""Notices a stalled cluster from outside, and ends it so that its supervisor starts a new one.

A cluster can look alive and do nothing: a killed worker may have held the queue's lock, a signal may have met it at a bad moment. So only
work that was done counts as a sign of life (core.jobs.beats).
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import structlog
from django.conf import settings
from django.db import DatabaseError, connections
from django.db.models import F
from django.db.models.functions import Coalesce, Now

from core.jobs.beats import ask_anew, ask_for_beats
from core.jobs.cluster import cluster_pid_path
from core.jobs.models import ClusterBeat, Queue
from core.jobs.processes import end_process_group
from core.jobs.queries import QueueStats, queue_stats

log = structlog.get_logger()

TICKS_TO_REAP = 150  # seconds; two ticks and a half
GRACE_SECONDS = 5  # between SIGTERM and SIGKILL, on top of what running jobs get
LOOK_SECONDS = 15


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    queue: str
    what: Literal["stalled", "late", "unreaped"]
    seconds: float  # for how long

    def __str__(self) -> str:
        return f"The {self.queue} queue is {self.what}, for {self.seconds:.0f} seconds."


def look_at_clusters() -> list[Problem]:
    """Ask every cluster for a sign of life, and say what is wrong by now. Stalled clusters are marked so for the metrics."""
    ask_for_beats()
    queues = queue_stats()
    for queue in queues:
        _mark(queue)
    return [problem for queue in queues for problem in problems_of(queue)]


def problems_of(queue: QueueStats) -> list[Problem]:
    problems: list[Problem] = []
    if is_stalled(queue):
        problems.append(Problem(queue=queue.queue, what="stalled", seconds=queue.unanswered_age or 0))
    if queue.oldest_due_age > settings.JOB_LATE_SECONDS[queue.queue]:
        problems.append(Problem(queue=queue.queue, what="late", seconds=queue.oldest_due_age))
    if queue.oldest_expired_age > TICKS_TO_REAP:
        problems.append(Problem(queue=queue.queue, what="unreaped", seconds=queue.oldest_expired_age))
    return problems


def is_stalled(queue: QueueStats) -> bool:
    """Asked for a sign of life long ago, and none came since."""
    return queue.unanswered_age is not None and queue.unanswered_age > settings.JOB_STALL_SECONDS


def check_once(queues: Collection[str] = tuple(Queue.values)) -> list[Problem]:
    """As look_at_clusters, of these queues, but waits for an answer, up to JOB_STALL_SECONDS, from a cluster that was asked only now."""
    deadline = time.monotonic() + settings.JOB_STALL_SECONDS + 1
    while True:
        problems = [problem for problem in look_at_clusters() if problem.queue in queues]
        asked = [queue for queue in queue_stats() if queue.queue in queues]
        waiting = any(queue.unanswered_age is not None and not is_stalled(queue) and _is_silent(queue) for queue in asked)
        if not waiting or time.monotonic() > deadline:
            return problems
        time.sleep(0.5)


def watch(*, restart: bool, pause: float = LOOK_SECONDS, queues: Collection[str] = tuple(Queue.values)) -> None:
    """For ever: look, log and, when told to, restart what has stalled of these queues. Outlives an unreachable database.

    It begins when the clusters do: what stands unanswered from before is no sign that these have stalled.
    """
    begun = False
    while True:
        try:
            if not begun:
                ask_anew()
                begun = True
            for problem in [problem for problem in look_at_clusters() if problem.queue in queues]:
                log.error("cluster_problem", queue=problem.queue, what=problem.what, seconds=round(problem.seconds))
                if restart and problem.what == "stalled":
                    restart_cluster(problem.queue)
        except DatabaseError:
            log.exception("watchdog_cannot_look")
            connections.close_all()
        time.sleep(pause)


def restart_cluster(queue: str) -> bool:
    """End this machine's cluster of the queue, for its supervisor to start anew; False when none runs here.

    The new one gets as long as the old one to give a sign of life.
    """
    pid = end_process_group(cluster_pid_path(queue), patience=settings.JOB_STOP_SECONDS + GRACE_SECONDS)
    if pid is None:
        log.error("cluster_not_running", queue=queue)
        return False
    ClusterBeat.objects.filter(pk=queue).update(asked_at=Now(), restarts=F("restarts") + 1)
    log.error("cluster_ended", queue=queue, pid=pid)
    return True


def _mark(queue: QueueStats) -> None:
    rows = ClusterBeat.objects.filter(pk=queue.queue)
    if is_stalled(queue):
        rows.filter(stalled_since=None).update(stalled_since=Coalesce(F("asked_at"), Now()))
    else:
        rows.filter(beat_at__gt=F("stalled_since")).update(stalled_since=None)


def _is_silent(queue: QueueStats) -> bool:
    """No sign of life that is young enough to pass for one."""
    return queue.beat_age is None or queue.beat_age > settings.JOB_STALL_SECONDS
