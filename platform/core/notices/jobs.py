from core.jobs import JobRun, Json, enqueue
from core.jobs.models import ENDED, Job
from core.notices import actions, sending

KEEP_DAYS = 7
SEND = "core.notices.jobs.send"


def look(run: JobRun) -> Json:  # noqa: ARG001 - every job takes its run
    """Add a job for each channel on which something waits, unless it has one: a channel that hangs holds up no other."""
    busy = set(Job.objects.filter(kind=SEND).exclude(state__in=ENDED).values_list("arguments__channel", flat=True))
    waiting = [channel for channel in sending.channels_with_waiting() if channel not in busy]
    for channel in waiting:
        enqueue("core.notices.jobs.send", channel=channel)
    return {"channels": waiting}


def send(run: JobRun, *, channel: str) -> Json:  # noqa: ARG001
    """Tell the operators what waits on the channel."""
    return {"told": sending.send_waiting(channel=channel)}


def prune(run: JobRun) -> Json:  # noqa: ARG001
    """Erase what was told long ago, or could not be told."""
    return {"erased": actions.prune_notices(days=KEEP_DAYS)}
