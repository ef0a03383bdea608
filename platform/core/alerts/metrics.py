from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Count, Q
from django.utils import timezone
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from core.alerts.models import Alert

SHOWN_AFTER = timedelta(days=1)


class AlertCollector(Collector):
    """The open alerts for /metrics, read from the table at each scrape: by its indexes, however many were resolved long ago.

    A kind whose alerts are all resolved stays for a day, at 0: its graph comes down instead of breaking off.
    """

    def collect(self) -> Iterator[Metric]:
        alerts = GaugeMetricFamily("comanda_open_alerts", "Alerts that nobody has resolved.", labels=["kind", "severity"])
        is_open = Q(resolved_at__isnull=True)
        shown = Alert.objects.filter(is_open | Q(resolved_at__gt=timezone.now() - SHOWN_AFTER))
        counted = shown.values_list("kind", "severity").annotate(still_open=Count("id", filter=is_open))
        for kind, severity, count in counted.order_by("kind", "severity"):
            alerts.add_metric([kind, severity], count)
        yield alerts
