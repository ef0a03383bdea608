"""The disks of the machine that is asked, and the certificates as they were last looked at."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from core.jobs.models import Job, JobState
from ops.measuring.database import labelled


class DiskCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        free = GaugeMetricFamily("comanda_disk_free_bytes", "Left of the disk on which the folder is.", labels=["folder"])
        size = GaugeMetricFamily("comanda_disk_bytes", "Size of that disk.", labels=["folder"])
        for name, folder in {"data": settings.DATA_FOLDER, "backups": settings.BACKUP_FOLDER, "media": settings.MEDIA_ROOT}.items():
            usage = shutil.disk_usage(_there(Path(folder)))
            free.add_metric([name], usage.free)
            size.add_metric([name], usage.total)
        yield free
        yield size


class CertificateCollector(Collector):
    """What ops.certificates found, from the result of its job."""

    def collect(self) -> Iterator[Metric]:
        # By the index of the idempotency key, whose text sorts by time: there may be half a million other jobs.
        looks = Job.objects.filter(kind="ops.certificates.jobs.check", cafeteria_uuid=None, state=JobState.SUCCEEDED)
        looked = looks.exclude(idempotency_key="").order_by("-idempotency_key").first()
        found = looked.result if looked is not None and isinstance(looked.result, dict) else {}
        ends = "When the certificate ends, of each kind of host the first."
        yield labelled("comanda_certificate_end_seconds", ends, "hosts", found.get("ends", {}))
        unknown = "Hosts whose certificate could not be looked at or is not good."
        yield labelled("comanda_certificates_bad", unknown, "hosts", found.get("bad", {}))


def _there(folder: Path) -> Path:
    """The folder, or the one above it that exists: it is made when it is first needed."""
    return next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
