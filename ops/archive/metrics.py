from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ops.archive.moments import folder_of_settings
from ops.archive.queries import standing


class ArchiveCollector(Collector):
    """How well any moment can be had, read from the archive's folder at each scrape; nothing where there is none."""

    def collect(self) -> Iterator[Metric]:
        folder = folder_of_settings()
        if folder.state() is None:
            return
        found, now = standing(folder, None), datetime.now(UTC)
        figures = {
            "comanda_archive_lag_seconds": ("Time of commits that are not in the archive yet.", found.lag_seconds(now)),
            "comanda_archive_offsite_lag_seconds": (
                "The same, off-site.",
                (now - found.shipped_until).total_seconds() if found.shipped_until else None,
            ),
            "comanda_archive_base_age_seconds": (
                "Age of the newest base backup.",
                (now - found.cards[-1].moment).total_seconds() if found.cards else None,
            ),
            "comanda_archive_window_seconds": (
                "How long the time is of which any moment can be had.",
                (found.window_until - found.window_from).total_seconds() if found.window_from and found.window_until else None,
            ),
            "comanda_archive_bytes": ("Size of base backups and log on this machine.", float(found.bytes)),
            "comanda_archive_gaps": ("Gaps of the log since the archive was begun.", float(found.gaps)),
        }
        for name, (text, value) in figures.items():
            if value is not None:
                yield GaugeMetricFamily(name, text, value=value)
