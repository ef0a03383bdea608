"""The rows of django-q2 that bring work to a cluster: the only module that knows their format."""

import uuid
from datetime import datetime

from django.db.models import BooleanField, Exists, OuterRef
from django.db.models.functions import Now
from django.utils import timezone
from django_q.models import OrmQ
from django_q.signing import SignedPackage

RUN_JOB = "core.jobs.runner.run_job"
ANSWER_BEAT = "core.jobs.beats.answer"


def replace_wake_up(old: int | None, *, queue: str, function: str, argument: str, due: datetime | None = None) -> int:
    """Insert a wake-up, in the caller's transaction, in place of an old one; its id.

    Written as a row rather than through async_task, which gives no id back, cannot be due later and may close the connection. A worker
    that holds the old one in memory still runs it: whatever it calls must bear being called twice.
    """
    if old is not None:
        OrmQ.objects.filter(pk=old).delete()
    now = timezone.now()
    package = {
        "id": uuid.uuid4().hex,
        "name": argument,
        "func": function,
        "args": (argument,),
        "kwargs": {},
        "started": now,
        "save": False,  # Successes are in our own rows.
        "ack_failure": True,
    }
    row_id: int = OrmQ.objects.create(key=queue, payload=SignedPackage.dumps(package), lock=due or now).pk
    return row_id


def is_waiting(wake_up_id: int | None) -> bool:
    """Whether a cluster may still take it. One that is locked was taken: by a live worker, or by one that was killed."""
    return wake_up_id is not None and OrmQ.objects.filter(pk=wake_up_id, lock__lte=Now()).exists()


def has_waiting_wake_up() -> Exists:
    """`is_waiting` as a condition on rows with a wake_up_id."""
    return Exists(OrmQ.objects.filter(pk=OuterRef("wake_up_id"), lock__lte=Now()), output_field=BooleanField())
