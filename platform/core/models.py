"""The models of core, all in public. Django looks for them here."""

from core.jobs.models import ClusterBeat, Job

__all__ = ["ClusterBeat", "Job"]
