"""What a cafeteria owes the platform, in public: it outlives a restore of the cafeteria."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from django.db import models
from django.utils.translation import gettext_lazy as _

MONEY: dict[str, Any] = {"max_digits": 12, "decimal_places": 2}


class Status(models.TextChoices):
    """Of a subscription."""

    TRIAL = "trial", _("Trial")
    PENDING = "pending", _("First payment on its way")  # agreed to, and nothing else covers it
    ACTIVE = "active", _("Active")
    PAST_DUE = "past_due", _("Payment due")
    SUSPENDED = "suspended", _("Suspended")
    CANCELLED = "cancelled", _("Cancelled")  # works until the end of what is paid


class State(models.TextChoices):
    """Of an invoice."""

    SCHEDULED = "scheduled", _("On its way")
    PAID = "paid", _("Paid")
    FAILED = "failed", _("Trying again")  # Mercado Pago does
    UNPAID = "unpaid", _("Not paid")
    REFUNDED = "refunded", _("Refunded")
    VOID = "void", _("Not charged")


class Subscription(models.Model):
    """How a cafeteria stands with the platform. One a cafeteria, from its opening on; billing.standing derives the status."""

    cafeteria_uuid = models.UUIDField(unique=True)
    plan = models.CharField(max_length=20)  # billing.plans
    next_plan = models.CharField(max_length=20, blank=True, default="")  # from the end of what is covered
    status = models.CharField(max_length=12, choices=Status, default=Status.TRIAL, db_index=True)
    trial_ends_at = models.DateTimeField()
    paid_until = models.DateTimeField(null=True)
    grace_until = models.DateTimeField(null=True)  # set while something is due: then the cafeteria is suspended
    cancelled_at = models.DateTimeField(null=True)  # by the owner, here
    suspended_site = models.BooleanField(default=False)  # we did it, so we take it back
    looked_at = models.DateTimeField(null=True)  # Mercado Pago's answer of this moment, or a later one, is known
    check_failures = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.cafeteria_uuid} {self.plan} {self.status}"

    @property
    def covered_until(self) -> datetime:
        return max(self.trial_ends_at, self.paid_until or self.trial_ends_at)


class Preapproval(models.Model):
    """A monthly payment that the owner has agreed to at Mercado Pago, or was sent to agree to. Written before Mercado Pago is asked."""

    class Status(models.TextChoices):
        NEW = "new"  # Mercado Pago may have it, and we have no answer
        PENDING = "pending"
        AUTHORIZED = "authorized"
        PAUSED = "paused"
        CANCELLED = "cancelled"
        REFUSED = "refused"  # never made

    key = models.UUIDField(unique=True, default=uuid4)  # its reference there, and the idempotency key that makes it once
    subscription = models.ForeignKey(Subscription, models.CASCADE, related_name="preapprovals")
    plan = models.CharField(max_length=20)
    amount = models.DecimalField(**MONEY)
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=200)
    payer_email = models.CharField(max_length=254)
    back_url = models.CharField(max_length=300)
    free_days = models.PositiveSmallIntegerField(default=0)
    mp_id = models.CharField(max_length=64, null=True, unique=True)  # noqa: DJ001 - many have none yet, and "" would be one value
    init_point = models.CharField(max_length=500, blank=True, default="")
    status = models.CharField(max_length=12, choices=Status, default=Status.NEW)
    wanted_plan = models.CharField(max_length=20, blank=True, default="")  # a change that Mercado Pago has yet to confirm
    ending = models.BooleanField(default=False)  # we want it to end there
    authorized_at = models.DateTimeField(null=True)
    next_payment_at = models.DateTimeField(null=True)
    last_modified = models.DateTimeField(null=True)  # Mercado Pago's: older snapshots are left aside
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscription"],
                condition=models.Q(status__in=["new", "pending"], ending=False),
                name="billing_one_open_preapproval",
            )
        ]
        indexes = [models.Index(fields=["status"], name="billing_preapproval_status")]

    def __str__(self) -> str:
        return f"{self.mp_id or self.key} {self.status}"

    @property
    def reference(self) -> str:
        """What Mercado Pago knows it by: opaque."""
        return f"sub-{self.key.hex}"


class Invoice(models.Model):
    """One month's bill. `state` is ours: Mercado Pago's "processed" says nothing of money."""

    mp_id = models.CharField(max_length=64, unique=True)
    preapproval = models.ForeignKey(Preapproval, models.CASCADE, related_name="invoices")
    state = models.CharField(max_length=10, choices=State)
    plan = models.CharField(max_length=20)
    debit_at = models.DateTimeField()  # its month begins
    paid_until = models.DateTimeField()  # its month ends
    amount = models.DecimalField(**MONEY)
    currency = models.CharField(max_length=3)
    retry_attempt = models.PositiveSmallIntegerField(default=0)
    next_retry_at = models.DateTimeField(null=True)
    payment_id = models.CharField(max_length=64, blank=True, default="")
    payment_status = models.CharField(max_length=30, blank=True, default="")
    payment_detail = models.CharField(max_length=80, blank=True, default="")
    last_modified = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.mp_id} {self.state}"
