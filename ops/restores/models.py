from django.db import models

from core.jobs.models import new_job_id as new_id


class Clone(models.Model):
    """A bundle becoming a cafeteria of its own, a neutralised copy. All of it is there when the row says done, before that nothing."""

    class Phase(models.TextChoices):
        WAITING = "waiting"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    cafeteria_uuid = models.UUIDField()  # of the original
    slug = models.CharField(max_length=63)  # of the copy, as are the next two
    copy_uuid = models.UUIDField(unique=True)
    copy_id = models.BigIntegerField()
    backup_id = models.UUIDField(null=True)  # null: from a file
    file = models.CharField(max_length=400, blank=True, default="")  # the bundle
    keep_days = models.PositiveIntegerField(null=True)  # after which the copy is closed by itself; null: never
    with_staff = models.BooleanField(default=False)  # the staff's passwords are good in the copy as well
    phase = models.CharField(max_length=10, choices=Phase, default=Phase.WAITING)
    moment = models.DateTimeField(null=True)  # that it shows
    media = models.JSONField(default=list)  # keys that may be in the storage for it; empty once it is done or swept
    requested_by = models.CharField(max_length=254, blank=True, default="")
    job_id = models.UUIDField(null=True)
    tries = models.PositiveSmallIntegerField(default=0, db_default=0)  # of the off-site storage, in vain
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True, default="")
    report = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["slug"], condition=models.Q(phase="waiting"), name="ops_one_clone_an_address")]
        indexes = [models.Index(fields=["cafeteria_uuid", "-started_at"], name="ops_clone_newest")]

    def __str__(self) -> str:
        return f"{self.slug} {self.phase}"


class Restore(models.Model):
    """One cafeteria going back. The row says how far it is: whoever finds it goes on from there."""

    class Phase(models.TextChoices):
        WAITING = "waiting"
        BUILT = "built"  # the side schema is there, verified
        EXCHANGED = "exchanged"  # and live
        DONE = "done"
        FAILED = "failed"  # the live cafeteria is as it was
        UNDONE = "undone"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    cafeteria_uuid = models.UUIDField()
    cafeteria_id = models.BigIntegerField()
    backup_id = models.UUIDField(null=True)  # null: from a file
    file = models.CharField(max_length=400)  # the bundle
    parts = models.JSONField(default=list)  # database, files
    phase = models.CharField(max_length=10, choices=Phase, default=Phase.WAITING)
    side_schema = models.CharField(max_length=63, blank=True, default="")
    kept_schema = models.CharField(max_length=63, blank=True, default="")  # what was live before
    kept_head = models.CharField(max_length=64, blank=True, default="")
    head = models.CharField(max_length=64, blank=True, default="")
    moment = models.DateTimeField(null=True)  # that it goes back to
    requested_by = models.CharField(max_length=254, blank=True, default="")
    job_id = models.UUIDField(null=True)
    tries = models.PositiveSmallIntegerField(default=0, db_default=0)  # of the off-site storage, in vain
    started_at = models.DateTimeField()
    exchanged_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    undo_until = models.DateTimeField(null=True)
    away_seconds = models.FloatField(null=True)  # how long the cafeteria was fenced
    error = models.CharField(max_length=500, blank=True, default="")
    report = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cafeteria_uuid"],
                condition=models.Q(phase__in=["waiting", "built", "exchanged"]),
                name="ops_one_restore_a_cafeteria",
            )
        ]
        indexes = [models.Index(fields=["cafeteria_uuid", "-started_at"], name="ops_restore_newest")]

    def __str__(self) -> str:
        return f"{self.cafeteria_uuid} {self.phase}"
