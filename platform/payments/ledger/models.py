"""What is owed, what Mercado Pago says, what was given back, and the ledger of what moved."""

from typing import Any

from django.db import models

from core.jobs.models import new_job_id as new_id

MONEY: dict[str, Any] = {"max_digits": 12, "decimal_places": 2}


class Method(models.TextChoices):
    MERCADOPAGO = "mercadopago"
    CASH = "cash"
    CARD = "card"  # on the cafeteria's own terminal


class Payment(models.Model):
    """One attempt to have an order paid: a checkout at Mercado Pago, or money taken at the counter. The API's "payment"."""

    class Status(models.TextChoices):
        PENDING = "pending"
        PAID = "paid"
        FAILED = "failed"  # rejected; its checkout may still be used
        CANCELLED = "cancelled"  # its time is over, or its order was cancelled, before it was paid
        REFUNDED = "refunded"
        PARTIALLY_REFUNDED = "partially_refunded"
        REVIEW = "review"
        CHARGED_BACK = "charged_back"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    cafeteria_uuid = models.UUIDField()
    order_key = models.CharField(max_length=32)  # the order's own secret: ids may come again after a restore, this does not
    order_id = models.BigIntegerField()
    order_number = models.IntegerField()
    business_date = models.DateField()  # the order's
    order_copy = models.JSONField(default=dict)  # the order as it was, for the day it has to be made again
    method = models.CharField(max_length=12, choices=Method)
    amount = models.DecimalField(**MONEY)
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=20, choices=Status, default=Status.PENDING)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    person_id = models.BigIntegerField(null=True)  # who began it; null: a guest
    actor_label = models.CharField(max_length=254, blank=True, default="")
    # --- of a checkout at Mercado Pago
    reference = models.CharField(max_length=64, unique=True)  # external_reference: opaque, unguessable
    collector_id = models.BigIntegerField(null=True)  # the seller's account when it began
    platform_fee = models.DecimalField(**MONEY, default=0)
    return_url = models.CharField(max_length=300, blank=True, default="")
    preference_id = models.CharField(max_length=80, blank=True, default="")
    init_point = models.CharField(max_length=400, blank=True, default="")
    sandbox_init_point = models.CharField(max_length=400, blank=True, default="")
    expires_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)  # by us: nobody should pay it any more
    preference_closed_at = models.DateTimeField(null=True)  # and Mercado Pago has been told
    next_check_at = models.DateTimeField(null=True)  # when reconciliation asks Mercado Pago again; null: no more
    checks = models.PositiveSmallIntegerField(default=0)
    check_failures = models.PositiveSmallIntegerField(default=0)  # in a row
    looked_at = models.DateTimeField(null=True)  # when its buyer, coming back, last had Mercado Pago asked
    # --- of the request that made it
    caller = models.CharField(max_length=40, blank=True, default="")
    idempotency_key = models.CharField(max_length=128, blank=True, default="")
    fingerprint = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cafeteria_uuid", "caller", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name="payments_payment_key_once",
            ),
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="payments_payment_amount"),
        ]
        indexes = [
            models.Index(fields=["cafeteria_uuid", "order_key"], name="payments_payment_order"),
            models.Index(fields=["cafeteria_uuid", "-id"], name="payments_payment_newest"),
            models.Index(fields=["cafeteria_uuid", "order_id"], name="payments_payment_order_id"),
            # Nearly all are paid: those are found by going through the newest.
            models.Index(fields=["cafeteria_uuid", "status", "-id"], condition=~models.Q(status="paid"), name="payments_payment_status"),
            models.Index(fields=["next_check_at"], condition=models.Q(next_check_at__isnull=False), name="payments_payment_due"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.amount} {self.currency} for order {self.order_number}"


class Charge(models.Model):
    """A payment at Mercado Pago, as its newest snapshot says. One checkout can have several: a rejected one, then an approved one."""

    class Review(models.TextChoices):
        NONE = ""
        AMOUNT = "amount"  # another amount than was asked for
        CURRENCY = "currency"
        COLLECTOR = "collector"  # another account's
        REFUND_FAILED = "refund_failed"

    class Verdict(models.TextChoices):
        OPEN = ""
        ACCEPTED = "accepted"  # counted as it came
        RETURNED = "returned"  # given back

    cafeteria_uuid = models.UUIDField()
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="charges")
    collector_id = models.BigIntegerField()  # whose token read it
    mp_id = models.CharField(max_length=32)
    status = models.CharField(max_length=20)  # Mercado Pago's word
    status_detail = models.CharField(max_length=80, blank=True, default="")
    amount = models.DecimalField(**MONEY)
    refunded = models.DecimalField(**MONEY, default=0)
    currency = models.CharField(max_length=3)
    fee = models.DecimalField(**MONEY, null=True)  # what Mercado Pago and the platform keep
    net = models.DecimalField(**MONEY, null=True)  # what the account receives
    payment_type = models.CharField(max_length=40, blank=True, default="")
    created_at = models.DateTimeField()  # these three by Mercado Pago's clock
    approved_at = models.DateTimeField(null=True)
    last_updated = models.DateTimeField()
    disputed = models.BooleanField(default=False)
    review = models.CharField(max_length=20, choices=Review, blank=True, default="")
    verdict = models.CharField(max_length=12, choices=Verdict, blank=True, default="")
    reviewed_by = models.CharField(max_length=254, blank=True, default="")
    reviewed_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField()  # when the newest snapshot was taken in

    class Meta:
        constraints = [models.UniqueConstraint(fields=["collector_id", "mp_id", "cafeteria_uuid"], name="payments_charge_once")]
        indexes = [
            models.Index(fields=["cafeteria_uuid", "-last_updated"], name="payments_charge_newest"),
            models.Index(fields=["cafeteria_uuid"], condition=~models.Q(review="") & models.Q(verdict=""), name="payments_charge_review"),
            models.Index(fields=["cafeteria_uuid"], condition=models.Q(disputed=True), name="payments_charge_disputed"),
        ]

    def __str__(self) -> str:
        return f"{self.mp_id} {self.status}"

    @property
    def in_review(self) -> bool:
        return bool(self.review) and not self.verdict

    @property
    def counts(self) -> bool:
        """Whether its money is the order's. A mismatch is never counted until a person has accepted it."""
        return self.review in {"", self.Review.REFUND_FAILED} or self.verdict == self.Verdict.ACCEPTED


class Refund(models.Model):
    """Money to be given back. The row is written before Mercado Pago is asked: its key makes asking again harmless."""

    class State(models.TextChoices):
        REQUESTED = "requested"
        IN_PROCESS = "in_process"  # Mercado Pago has it
        APPROVED = "approved"
        REJECTED = "rejected"

    class Reason(models.TextChoices):
        STAFF = "staff"
        CANCELLED = "cancelled"  # the order was, after it had been paid
        TWICE = "twice"
        LATE = "late"  # paid after the order was cancelled or its time was over
        REVIEW = "review"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    cafeteria_uuid = models.UUIDField()
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="refunds")
    charge = models.ForeignKey(Charge, models.PROTECT, null=True, related_name="refunds")  # null: money from the till
    amount = models.DecimalField(**MONEY)
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=12, choices=Reason)
    key = models.CharField(max_length=64, unique=True)  # x-idempotency-key; "late-<payment id>" and the like happen once by themselves
    state = models.CharField(max_length=12, choices=State, default=State.REQUESTED)
    mp_refund_id = models.CharField(max_length=32, blank=True, default="")
    error = models.CharField(max_length=300, blank=True, default="")
    actor_label = models.CharField(max_length=254, blank=True, default="")
    requested_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    caller = models.CharField(max_length=40, blank=True, default="")
    idempotency_key = models.CharField(max_length=128, blank=True, default="")
    fingerprint = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cafeteria_uuid", "caller", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name="payments_refund_key_once",
            ),
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="payments_refund_amount"),
        ]
        indexes = [models.Index(fields=["cafeteria_uuid", "-requested_at"], name="payments_refund_newest")]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} {self.state}"


class LedgerEntry(models.Model):
    """One movement of money. Written once and never changed: a trigger of the database refuses (migration 0002)."""

    class Kind(models.TextChoices):
        PAYMENT = "payment"
        REFUND = "refund"
        CHARGEBACK = "chargeback"  # negative; positive when Mercado Pago gives it back
        ADJUSTMENT = "adjustment"

    cafeteria_uuid = models.UUIDField()
    order_key = models.CharField(max_length=32)
    order_id = models.BigIntegerField()
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="entries")
    charge = models.ForeignKey(Charge, models.PROTECT, null=True, related_name="entries")
    refund = models.ForeignKey(Refund, models.PROTECT, null=True, related_name="entries")
    key = models.CharField(max_length=80, unique=True)  # says which movement it is, so that it can be written only once
    kind = models.CharField(max_length=12, choices=Kind)
    method = models.CharField(max_length=12, choices=Method)
    amount = models.DecimalField(**MONEY)  # signed: into the cafeteria's hands is positive
    fee = models.DecimalField(**MONEY, default=0)  # of the amount, signed alike: what others keep
    currency = models.CharField(max_length=3)
    at = models.DateTimeField()  # when it moved, by Mercado Pago's clock or ours at the till
    business_date = models.DateField()  # of `at`
    recorded_at = models.DateTimeField()
    actor_label = models.CharField(max_length=254, blank=True, default="")
    note = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        indexes = [
            models.Index(fields=["cafeteria_uuid", "business_date"], name="payments_entry_day"),
            models.Index(fields=["cafeteria_uuid", "order_key"], name="payments_entry_order"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount} {self.currency}"
