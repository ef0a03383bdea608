"""What /metrics says beside the web process' own measurements: read from the database, the same in every process."""

import structlog
from django.db import Error, connection
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.registry import Collector

from core.alerts.metrics import AlertCollector
from core.jobs.metrics import JobCollector, QueueCollector
from core.notices.metrics import NoticeCollector
from ops.archive.metrics import ArchiveCollector
from ops.backups.metrics import BackupCollector
from ops.measuring.database import DatabaseCollector, SizeCollector
from ops.measuring.fleet import FleetCollector, MoneyCollector, RecurrenceCollector
from ops.measuring.kept import Kept
from ops.measuring.machine import CertificateCollector, DiskCollector

log = structlog.get_logger("comanda.health")

# Each costs a query or a few; what counts whole tables is kept, and what reads the catalogue for longer.
COLLECTORS: tuple[Collector, ...] = (
    QueueCollector(),
    AlertCollector(),
    NoticeCollector(),
    DatabaseCollector(),
    MoneyCollector(),
    RecurrenceCollector(),
    CertificateCollector(),
    Kept(FleetCollector()),
    Kept(JobCollector()),
    Kept(BackupCollector()),
    Kept(ArchiveCollector()),
    Kept(SizeCollector(), times=5),
)


def measured() -> bytes:
    """All of it; when the database does not answer, that alone, and the disks: the alert for it must have something to go by."""
    told = _told()
    up = CollectorRegistry()
    Gauge("comanda_database_up", "1 when the database answers.", registry=up).set(told is not None)
    up.register(DiskCollector())
    return generate_latest(up) + (told or b"")


def _told() -> bytes | None:
    registry = CollectorRegistry()
    for collector in COLLECTORS:
        registry.register(collector)
    try:
        return generate_latest(registry)
    except Error as error:
        log.warning("database_unreachable", error=type(error).__name__)
        connection.close()  # The next question gets a new connection.
        return None
