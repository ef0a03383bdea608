from django.db import models
from django.db.models.functions import Now


class Channel(models.TextChoices):
    SLACK = "slack"
    MAIL = "mail"


class Notice(models.Model):
    """One thing to tell the operators on one channel: written with what it tells of, sent later by a job. Only core.notices writes it."""

    class What(models.TextChoices):
        OPENED = "opened"  # an alert
        WORSE = "worse"  # an alert that has become critical
        RESOLVED = "resolved"  # an alert
        HAPPENED = "happened"  # an act, as the audit calls it

    channel = models.CharField(max_length=8, choices=Channel)
    what = models.CharField(max_length=8, choices=What)
    kind = models.CharField(max_length=60)  # the alert's, or the act
    severity = models.CharField(max_length=8)  # an alert's, or info
    cafeteria_uuid = models.UUIDField(null=True)  # null: the platform's own
    subject = models.CharField(max_length=120, blank=True, default="")
    detail = models.CharField(max_length=500, blank=True, default="")  # an English sentence without anybody's data
    since = models.DateTimeField(db_default=Now())
    at = models.DateTimeField(db_default=Now())
    message_id = models.UUIDField(null=True)  # of the message in which it goes out, with others; null: not in one yet
    sent_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (
            models.Index(fields=["channel", "id"], condition=models.Q(sent_at__isnull=True), name="core_notice_waiting"),
            models.Index(fields=["sent_at"], condition=models.Q(sent_at__isnull=False), name="core_notice_sent"),
        )

    def __str__(self) -> str:
        return f"{self.channel} {self.what} {self.kind}"
