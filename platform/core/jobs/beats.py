"""Signs of life of the clusters. Only work done in one of its workers proves a cluster's life: its guard lives on when they hang."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from core.jobs import wake_up
from core.jobs.models import ClusterBeat, Queue

OFTEN_ENOUGH = timedelta(seconds=5)


def answer(queue: str) -> None:
    """Runs in the cluster's worker: the answer to ask_for_beats."""
    ClusterBeat.objects.filter(pk=queue).update(beat_at=Now(), asked_at=None)


def note_work(queue: str) -> None:
    """A job that runs is a sign of life too. Writes at most every few seconds."""
    old = Q(beat_at=None) | Q(beat_at__lt=Now() - OFTEN_ENOUGH)
    ClusterBeat.objects.filter(old, pk=queue).update(beat_at=Now(), asked_at=None)


def ask_for_beats() -> None:
    """Ask every cluster for a sign of life, unless one is young or a question is still waiting in its queue."""
    for queue in Queue.values:
        _ask(queue)


def ask_anew() -> None:
    """Let the questions that are open count from now: they may be from a time when nothing ran that could have answered."""
    ClusterBeat.objects.exclude(asked_at=None).update(asked_at=Now())


@transaction.atomic
def _ask(queue: str) -> None:
    ClusterBeat.objects.bulk_create([ClusterBeat(queue=queue)], ignore_conflicts=True)
    young = Q(beat_at__gt=Now() - timedelta(seconds=settings.JOB_BEAT_SECONDS))
    beat = ClusterBeat.objects.select_for_update(skip_locked=True).filter(pk=queue).exclude(young).first()
    if beat is None:
        return
    if beat.asked_at is None:
        beat.asked_at = Now()
    if not wake_up.is_waiting(beat.wake_up_id):
        beat.wake_up_id = wake_up.replace_wake_up(beat.wake_up_id, queue=queue, function=wake_up.ANSWER_BEAT, argument=queue)
    beat.save(update_fields=["asked_at", "wake_up_id"])
