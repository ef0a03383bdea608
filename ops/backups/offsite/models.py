"""What is known of the off-site storage as a whole. In public, as the backups are."""

from django.db import models


class OffsiteErasure(models.Model):
    """An off-site copy that the retention has let go: erased when the storage answers."""

    key = models.CharField(max_length=300, primary_key=True)
    since = models.DateTimeField()

    def __str__(self) -> str:
        return self.key


class OffsiteMedia(models.Model):
    """A picture that is off-site, or about to be. Lost rows cost a second copy, never a picture: objects are found by their names."""

    cafeteria_uuid = models.UUIDField()
    sha256 = models.CharField(max_length=64)  # of the picture
    key_id = models.CharField(max_length=80)  # that it is encrypted for
    offsite_key = models.CharField(max_length=300, unique=True)
    noted_at = models.DateTimeField()
    copied_at = models.DateTimeField(null=True)  # when it was there whole, and looked at

    class Meta:
        constraints = [models.UniqueConstraint(fields=["cafeteria_uuid", "sha256", "key_id"], name="ops_picture_offsite_once_a_key")]

    def __str__(self) -> str:
        return self.offsite_key


class OffsiteStanding(models.Model):
    """One row: how the storage has answered lately. While it does not, copies wait instead of holding up the long jobs."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    failures = models.PositiveIntegerField(default=0)  # in a row
    retry_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True, default="")  # of the last one

    def __str__(self) -> str:
        return f"{self.failures} failures"
