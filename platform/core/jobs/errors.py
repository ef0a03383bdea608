from datetime import timedelta

from core.errors import AppError, NotFound


class JobNotFound(NotFound):
    """There is no such job."""

    code = "job_not_found"


class JobHasEnded(AppError):
    """This job has ended already: it is {state}."""

    code = "job_has_ended"
    status = 409


class JobNotRetryable(AppError):
    """Only a job that failed or was cancelled can be tried again; this one is {state}."""

    code = "job_not_retryable"
    status = 409


class InvalidJob(ValueError):
    """The code that enqueued it is wrong: arguments that are not JSON, a name that is no job's, another cafeteria."""


class JobPostponed(Exception):
    """Raised by a job, or by the hook that enters its cafeteria, to be run later. Does not count as an attempt."""

    def __init__(self, *, delay: timedelta) -> None:
        super().__init__(f"postponed by {delay}")
        self.delay = delay


class JobInterrupted(BaseException):
    """Ends a run from within. Not an Exception: a job's own `except Exception` must not swallow it."""


class JobCancelled(JobInterrupted):
    """Somebody asked for the job to be cancelled."""


class LeaseLost(JobInterrupted):
    """The lease has run out, and the job may run elsewhere by now: stop, and write nothing more."""
