from django.db import models


class Alert(models.Model):
    """Something that a person has to look at. While it stays open, the same thing again only counts up."""

    class Severity(models.TextChoices):
        WARNING = "warning"
        CRITICAL = "critical"

    kind = models.CharField(max_length=60)  # e.g. payments.review
    cafeteria_uuid = models.UUIDField(null=True)  # null: the platform's own
    subject = models.CharField(max_length=120, blank=True, default="")  # what it is about, e.g. a payment's id
    detail = models.CharField(max_length=500, blank=True, default="")
    severity = models.CharField(max_length=8, choices=Severity, default=Severity.WARNING)
    count = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.CharField(max_length=254, blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "cafeteria_uuid", "subject"],
                condition=models.Q(resolved_at__isnull=True),
                nulls_distinct=False,
                name="core_alert_open_once",
            )
        ]
        indexes = [
            # What the gauge counts; what it still shows, and what is erased.
            models.Index(fields=["kind", "severity"], condition=models.Q(resolved_at__isnull=True), name="core_alert_open"),
            models.Index(fields=["resolved_at"], condition=models.Q(resolved_at__isnull=False), name="core_alert_resolved"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"
