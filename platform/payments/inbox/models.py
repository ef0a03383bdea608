from django.db import models
from django.db.models.functions import Now


class Notification(models.Model):
    """What Mercado Pago has told us, with a good signature. Written before it is answered, worked off by payments.inbox.jobs."""

    class State(models.TextChoices):
        NEW = "new"
        DONE = "done"
        IGNORED = "ignored"
        FAILED = "failed"  # given up: reconciliation has to find what it was about

    received_at = models.DateTimeField(db_default=Now())
    seller_id = models.BigIntegerField(null=True)  # null: to the platform's own address
    cafeteria_uuid = models.UUIDField(null=True)
    topic = models.CharField(max_length=60)
    action = models.CharField(max_length=60, blank=True, default="")
    data_id = models.CharField(max_length=64)
    mp_user_id = models.BigIntegerField(null=True)  # as its body claims
    request_id = models.CharField(max_length=80, blank=True, default="")
    state = models.CharField(max_length=8, choices=State, default=State.NEW)
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    try_after = models.DateTimeField(db_default=Now())
    claimed_until = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True, default="", db_default="")

    class Meta:
        indexes = [
            models.Index(fields=["try_after"], condition=models.Q(state="new"), name="payments_notification_due"),
            models.Index(fields=["received_at"], name="payments_notification_at"),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.data_id} {self.state}"
