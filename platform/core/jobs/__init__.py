"""The queue of record (wall 8): every job is a row of ours; django-q2 wakes up a worker and runs it.

`enqueue` names a job by its dotted string; the job's function is `def name(run: JobRun, *, ...)` in a module called `jobs`.
"""

from core.jobs.actions import enqueue
from core.jobs.errors import JobPostponed
from core.jobs.functions import Json
from core.jobs.run import JobRun

__all__ = ["JobPostponed", "JobRun", "Json", "enqueue"]
