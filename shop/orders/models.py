from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from shop.menu.models import Product
from shop.people.models import Person
from tenants.base import TenantModel


class Order(TenantModel):
    class Status(models.TextChoices):
        PENDING = "pending", _("new")
        CONFIRMED = "confirmed", _("confirmed")
        PREPARING = "preparing", _("being prepared")
        READY = "ready", _("ready")
        COMPLETED = "completed", _("handed over")
        CANCELLED = "cancelled", _("cancelled")

    class PaymentStatus(models.TextChoices):
        PENDING = "pending", _("to be paid")
        PAID = "paid", _("paid")
        FAILED = "failed", _("payment failed")
        REFUNDED = "refunded", _("refunded")
        PARTIALLY_REFUNDED = "partially_refunded", _("partly refunded")
        REVIEW = "review", _("payment under review")
        CHARGED_BACK = "charged_back", _("charged back")

    class Channel(models.TextChoices):
        ONLINE = "online", _("online")
        COUNTER = "counter", _("counter")
        IMPORTED = "imported", _("imported")

    business_date = models.DateField()
    number = models.IntegerField()  # 1, 2, 3 ... of the business day
    status = models.CharField(max_length=12, choices=Status, default=Status.PENDING)
    payment_status = models.CharField(max_length=20, choices=PaymentStatus, default=PaymentStatus.PENDING)
    channel = models.CharField(max_length=12, choices=Channel, default=Channel.ONLINE)
    customer = models.ForeignKey(Person, models.PROTECT, null=True, blank=True, related_name="orders")
    placed_by = models.ForeignKey(Person, models.PROTECT, null=True, blank=True, related_name="+")  # staff, at the counter
    guest_name = models.CharField(max_length=80, blank=True, default="")
    guest_phone = models.CharField(max_length=40, blank=True, default="")
    guest_email = models.CharField(max_length=254, blank=True, default="")
    table = models.CharField(max_length=40, blank=True, default="")
    notes = models.TextField(blank=True, default="")
    pickup_at = models.DateTimeField(null=True, blank=True)
    subtotal = models.DecimalField(max_digits=12, decimal_places=2)
    tip = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    total = models.DecimalField(max_digits=12, decimal_places=2)
    currency = models.CharField(max_length=3)
    paid = models.DecimalField(max_digits=12, decimal_places=2, default=0, db_default=0)  # what the ledger says has stayed
    refunded = models.DecimalField(max_digits=12, decimal_places=2, default=0, db_default=0)
    pay_by = models.DateTimeField(null=True, blank=True)  # it waits for a payment online until then, and nobody cooks it before
    secret = models.CharField(max_length=32, unique=True)  # the tracking page's address
    import_reference = models.CharField(max_length=80, null=True, blank=True, unique=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["business_date", "number"], name="order_number_once_a_day"),
            models.CheckConstraint(condition=Q(total__gte=0), name="order_total_not_negative"),
        ]
        indexes = [
            models.Index(fields=["id"], condition=~Q(status="completed") & ~Q(status="cancelled"), name="order_open"),
            BrinIndex(fields=["created_at"], name="order_created"),
        ]

    def __str__(self) -> str:
        return f"{self.business_date} #{self.number}"


class OrderItem(TenantModel):
    order = models.ForeignKey(Order, models.CASCADE, related_name="items")
    product = models.ForeignKey(Product, models.PROTECT, related_name="+")
    name = models.CharField(max_length=120)  # as it was called when it was ordered
    quantity = models.IntegerField()
    unit_price = models.DecimalField(max_digits=12, decimal_places=2)  # choices included
    choices = models.JSONField(default=list)  # [{id, group, name, price_delta}]
    subtotal = models.DecimalField(max_digits=12, decimal_places=2)
    notes = models.CharField(max_length=200, blank=True, default="")
    stock_taken = models.BooleanField(default=False)  # to be given back when the order is cancelled

    class Meta:
        ordering = ("id",)
        constraints = [models.CheckConstraint(condition=Q(quantity__gte=1), name="order_item_quantity")]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.name}"


class OrderEvent(TenantModel):
    """What happened to an order, oldest first. Never changed."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="events")
    at = models.DateTimeField()
    kind = models.CharField(max_length=20)  # placed, or the status that it went to
    before = models.CharField(max_length=12, blank=True, default="")
    actor = models.ForeignKey(Person, models.PROTECT, null=True, blank=True, related_name="+")
    note = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.kind} {self.at}"


class DayCounter(TenantModel):
    """The newest order number of each business day. Its row lock is what keeps the numbers without gaps."""

    day = models.DateField(primary_key=True)
    newest = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.day}: {self.newest}"


class IdempotencyKey(TenantModel):
    """Which order a request that may be sent again has placed, or has been given a payment for."""

    caller = models.CharField(max_length=40)  # person:<id>, or guest; payment:person:<id> and payment:order:<id> when it asked to pay
    key = models.CharField(max_length=128)
    fingerprint = models.CharField(max_length=64)  # of the request's body
    order_id = models.BigIntegerField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["caller", "key"], name="idempotency_key_once_a_caller")]
        indexes = [BrinIndex(fields=["created_at"], name="idempotency_created")]

    def __str__(self) -> str:
        return self.key
