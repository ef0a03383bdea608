from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from core.notices.sending import waiting_by_channel


class NoticeCollector(Collector):
    """What operators have not been told yet."""

    def collect(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily("comanda_notices_waiting", "Notices that wait to be sent.", labels=["channel"])
        age = GaugeMetricFamily("comanda_notices_waiting_seconds", "Wait of the oldest of them.", labels=["channel"])
        for channel, count, seconds in waiting_by_channel():
            waiting.add_metric([channel], count)
            age.add_metric([channel], seconds)
        yield waiting
        yield age
