"""What is dear to measure is measured once for a while."""

import time
from collections.abc import Iterator
from threading import Lock

from django.conf import settings
from prometheus_client import Metric
from prometheus_client.registry import Collector


class Kept(Collector):
    """Another collector's answer, kept in this process for `times` METRICS_KEPT_SECONDS. A failure is not kept."""

    def __init__(self, collector: Collector, *, times: int = 1) -> None:
        self._collector = collector
        self._times = times
        self._lock = Lock()
        self._until = 0.0
        self._metrics: list[Metric] = []

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if time.monotonic() >= self._until:
                self._metrics = list(self._collector.collect())
                self._until = time.monotonic() + settings.METRICS_KEPT_SECONDS * self._times
            yield from self._metrics
