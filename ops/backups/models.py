"""The backups there are. In public: they survive the restore of a cafeteria, and its end (wall 7)."""

from django.db import models

from core.jobs.models import new_job_id as new_id


class Backup(models.Model):
    """One whole bundle. The row is written when the file is there."""

    class Kind(models.TextChoices):
        HOURLY = "hourly"
        WEEKLY = "weekly"  # with the pictures in it; kept longer
        MANUAL = "manual"
        SAFETY = "safety"  # before a restore
        FINAL = "final"  # when the cafeteria was closed
        MOMENT = "moment"  # out of the archive, of a moment that somebody asked for; counts for no retention, and is never off-site

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    cafeteria_uuid = models.UUIDField()
    cafeteria_id = models.BigIntegerField()
    slug = models.CharField(max_length=63)  # as it was
    kind = models.CharField(max_length=8, choices=Kind)
    taken_at = models.DateTimeField()  # the moment that is in it
    finished_at = models.DateTimeField()
    size = models.BigIntegerField()  # bytes
    rows = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)  # of the file
    head = models.CharField(max_length=64)
    key_id = models.CharField(max_length=80)
    file = models.CharField(max_length=200, blank=True)  # within settings.BACKUP_FOLDER; empty: only the off-site copy is left
    manifest = models.JSONField()
    proven_at = models.DateTimeField(null=True)  # when it was last restored into a scratch schema and found right
    error = models.CharField(max_length=300, blank=True, default="")  # of the last proof
    offsite_key = models.CharField(max_length=300, blank=True, default="")  # where its copy is, or may be in part
    offsite_at = models.DateTimeField(null=True)  # when the copy was there whole, and looked at
    offsite_due_at = models.DateTimeField(null=True)  # until then somebody is copying it; null: it waits

    class Meta:
        indexes = [
            models.Index(fields=["cafeteria_uuid", "-taken_at"], name="ops_backup_newest"),
            models.Index(fields=["-taken_at"], name="ops_backup_waiting", condition=models.Q(offsite_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.slug} {self.taken_at:%Y-%m-%d %H:%M} {self.kind}"

    @property
    def location(self) -> str:
        """local, offsite or both."""
        if self.offsite_at is None:
            return "local"
        return "both" if self.file else "offsite"


class BackupTurn(models.Model):
    """When a cafeteria's next backup is due, and what it looked like at the newest."""

    cafeteria_uuid = models.UUIDField(primary_key=True)
    due_at = models.DateTimeField(db_index=True)
    fingerprint = models.CharField(max_length=200, blank=True, default="")  # equal: nothing has changed since
    newest_at = models.DateTimeField(null=True)  # the moment of the newest backup, or at which nothing had changed since it
    weekly_at = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0)  # in a row

    def __str__(self) -> str:
        return f"{self.cafeteria_uuid} due {self.due_at}"
