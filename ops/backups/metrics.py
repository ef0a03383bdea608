from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Count, F, Max, Sum
from django.utils import timezone
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ops.backups.models import Backup
from ops.backups.queries import standings
from ops.restores.models import Restore


class BackupCollector(Collector):
    """How well the fleet is backed up, read from the tables at each scrape. No label is a cafeteria: the worst one speaks for all."""

    def collect(self) -> Iterator[Metric]:
        found = standings()
        yield _gauge("comanda_backups_not_ok", "Cafeterias that are not backed up as they should be.", sum(not row.ok for row in found))
        yield _gauge(
            "comanda_backup_newest_age_seconds", "Age of the newest backup, where it is oldest.", _oldest(row.newest_at for row in found)
        )
        yield _gauge(
            "comanda_backup_proven_age_seconds",
            "Age of the newest proven backup, where it is oldest.",
            _oldest(row.proven_at for row in found),
        )
        sizes = GaugeMetricFamily("comanda_backup_bytes", "Size of the backups that are kept.", labels=["kind"])
        counts = GaugeMetricFamily("comanda_backups", "Backups that are kept.", labels=["kind"])
        for kind, count, size in Backup.objects.values_list("kind").annotate(Count("id"), Sum("size")).order_by("kind"):
            counts.add_metric([kind], count)
            sizes.add_metric([kind], size)
        yield counts
        yield sizes
        day, week = timezone.now() - timedelta(days=1), timezone.now() - timedelta(days=7)
        slowest = Backup.objects.filter(taken_at__gt=day).aggregate(seconds=Max(F("finished_at") - F("taken_at")))["seconds"]
        yield _gauge("comanda_backup_seconds", "Time of the slowest backup of the last day.", slowest.total_seconds() if slowest else 0)
        away = Restore.objects.filter(exchanged_at__gt=week).aggregate(seconds=Max("away_seconds"))["seconds"]
        yield _gauge("comanda_restore_away_seconds", "How long a restore's cafeteria was away, the longest of the last week.", away or 0)
        active = Restore.objects.filter(phase__in=("waiting", "built", "exchanged")).count()
        yield _gauge("comanda_restores_under_way", "Restores that have begun and not ended.", active)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _oldest(moments: Iterator[datetime | None]) -> float:
    """In seconds; 0 when there is none at all."""
    now = timezone.now()
    return max(((now - moment).total_seconds() for moment in moments if moment is not None), default=0.0)
