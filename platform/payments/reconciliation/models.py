from decimal import Decimal

from django.db import models

from payments.ledger.models import MONEY


class DayStatement(models.Model):
    """Mercado Pago's business day of a cafeteria set against our ledger's."""

    class State(models.TextChoices):
        AGREES = "agrees"
        DIFFERS = "differs"
        FAILED = "failed"  # Mercado Pago could not be asked: says nothing about the money

    cafeteria_uuid = models.UUIDField()
    business_date = models.DateField()
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=8, choices=State)
    their_payments = models.DecimalField(**MONEY, default=0)  # approved on that day, for our references
    their_refunds = models.DecimalField(**MONEY, default=0)  # of those payments, until now; what a bank took back included
    their_fees = models.DecimalField(**MONEY, default=0)
    their_net = models.DecimalField(**MONEY, default=0)
    our_payments = models.DecimalField(**MONEY, default=0)
    our_refunds = models.DecimalField(**MONEY, default=0)
    our_fees = models.DecimalField(**MONEY, default=0, db_default=0)
    count = models.PositiveIntegerField(default=0)
    differences = models.JSONField(default=list)  # [{"mp_id", "kind", "theirs", "ours", "why"}], amounts as text
    checked_at = models.DateTimeField()
    error = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["cafeteria_uuid", "business_date"], name="payments_statement_once")]

    def __str__(self) -> str:
        return f"{self.business_date} {self.state}"

    @property
    def our_net(self) -> Decimal:
        return self.our_payments - self.our_refunds - self.our_fees
