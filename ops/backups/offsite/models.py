"""What is known of the off-site storage as a whole. In public, as the backups are."""

from django.db import models


class OffsiteErasure(models.Model):
    """An off-site copy that the retention has let go: erased when the storage answers."""

    key = models.CharField(max_length=300, primary_key=True)
    since = models.DateTimeField()

    def __str__(self) -> str:
        return self.key


class OffsiteStanding(models.Model):
    """One row: how the storage has answered lately. While it does not, copies wait instead of holding up the long jobs."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    failures = models.PositiveIntegerField(default=0)  # in a row
    retry_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True, default="")  # of the last one

    def __str__(self) -> str:
        return f"{self.failures} failures"
