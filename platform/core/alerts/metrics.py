from collections.abc import Iterator

from django.db.models import Count, Q
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from core.alerts.models import Alert


class AlertCollector(Collector):
    """The open alerts for /metrics, read from the table at each scrape. A kind whose alerts are all resolved stays, at 0."""

    def collect(self) -> Iterator[Metric]:
        alerts = GaugeMetricFamily("comanda_open_alerts", "Alerts that nobody has resolved.", labels=["kind", "severity"])
        still_open = Count("id", filter=Q(resolved_at=None))
        for kind, severity, count in (
            Alert.objects.values_list("kind", "severity").annotate(still_open=still_open).order_by("kind", "severity")
        ):
            alerts.add_metric([kind, severity], count)
        yield alerts
