"""What was done to whom, by whom: in public, so that it survives the restore of a cafeteria (wall 7)."""

from django.db import models


class AuditEntry(models.Model):
    at = models.DateTimeField(auto_now_add=True)
    actor_kind = models.CharField(max_length=12)  # user, person, job, command
    actor_id = models.BigIntegerField(null=True)
    actor_label = models.CharField(max_length=254, blank=True, default="")
    cafeteria_uuid = models.UUIDField(null=True)
    action = models.CharField(max_length=60)  # e.g. cafeteria.opened
    target = models.CharField(max_length=120, blank=True, default="")
    data = models.JSONField(default=dict)  # never a secret
    request_id = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        indexes = [models.Index(fields=["cafeteria_uuid", "-at"], name="audit_by_cafeteria")]
