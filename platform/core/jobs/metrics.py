from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from core.jobs.queries import QueueStats, job_counts, queue_stats


class QueueCollector(Collector):
    """The queues for /metrics, read from the tables at each scrape: the same whichever process is asked."""

    def collect(self) -> Iterator[Metric]:
        queues = queue_stats()
        yield _gauge("comanda_job_queue_depth", "Jobs that wait, due or not.", {q.queue: q.queued for q in queues})
        yield _gauge("comanda_job_queue_running", "Jobs that run.", {q.queue: q.running for q in queues})
        yield _gauge("comanda_job_queue_age_seconds", "Wait of the oldest due job.", {q.queue: q.oldest_due_age for q in queues})
        expired = {q.queue: q.oldest_expired_age for q in queues}
        yield _gauge("comanda_job_expired_lease_seconds", "Time since the oldest lease that nobody reaped ran out.", expired)
        yield from _clusters(queues)


class JobCollector(Collector):
    """The jobs that are kept. Counts the whole table."""

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("comanda_jobs", "Jobs kept, by kind and state.", labels=["kind", "state"])
        for kind, state, count in job_counts():
            jobs.add_metric([kind, state], count)
        yield jobs


def _clusters(queues: tuple[QueueStats, ...]) -> Iterator[Metric]:
    beats = {q.queue: q.beat_age for q in queues if q.beat_age is not None}
    yield _gauge("comanda_cluster_beat_age_seconds", "Time since the cluster's last sign of life.", beats)
    stalled = {q.queue: float(q.stalled_since is not None) for q in queues}
    yield _gauge("comanda_cluster_stalled", "1 when the watchdog holds the cluster for stalled.", stalled)
    restarts = CounterMetricFamily("comanda_cluster_restarts", "Restarts by the watchdog.", labels=["queue"])
    for queue in queues:
        restarts.add_metric([queue.queue], queue.restarts)
    yield restarts


def _gauge(name: str, text: str, values: dict[str, float] | dict[str, int]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, text, labels=["queue"])
    for queue, value in values.items():
        gauge.add_metric([queue], value)
    return gauge
