"""The models of core, all in public. Django looks for them here."""

from core.alerts.models import Alert
from core.audit.models import AuditEntry
from core.identity.models import Throttle
from core.jobs.models import ClusterBeat, Job
from core.notices.models import Notice

__all__ = ["Alert", "AuditEntry", "ClusterBeat", "Job", "Notice", "Throttle"]
