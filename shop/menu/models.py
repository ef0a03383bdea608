from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from tenants.base import TenantModel


class Category(TenantModel):
    name = models.CharField(max_length=80, unique=True)
    position = models.IntegerField(default=0)
    archived_at = models.DateTimeField(null=True, blank=True)  # taken off the menu, kept for its archived products

    class Meta:
        ordering = ("position", "id")

    def __str__(self) -> str:
        return self.name


class Product(TenantModel):
    category = models.ForeignKey(Category, models.PROTECT, related_name="products")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True, default="")
    price = models.DecimalField(max_digits=12, decimal_places=2)
    stock = models.IntegerField(null=True, blank=True)  # null: not counted
    is_available = models.BooleanField(default=True)  # the sold-out switch
    tags = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    allergens = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    image = models.CharField(max_length=64, blank=True, default="")  # SHA-256 of the picture (shop.menu.pictures)
    position = models.IntegerField(default=0)
    archived_at = models.DateTimeField(null=True, blank=True)  # a sold product is archived, not erased
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("position", "id")
        constraints = [
            models.CheckConstraint(condition=Q(price__gte=0), name="product_price_not_negative"),
            models.CheckConstraint(condition=Q(stock__isnull=True) | Q(stock__gte=0), name="product_stock_not_negative"),
            models.UniqueConstraint(fields=["category", "name"], condition=Q(archived_at=None), name="product_name_once_a_category"),
        ]

    def __str__(self) -> str:
        return self.name


class OptionGroup(TenantModel):
    """Something to choose about a product: from `minimum` to `maximum` of its choices."""

    product = models.ForeignKey(Product, models.CASCADE, related_name="option_groups")
    name = models.CharField(max_length=80)
    minimum = models.IntegerField(default=0)
    maximum = models.IntegerField(default=1)
    position = models.IntegerField(default=0)

    class Meta:
        ordering = ("position", "id")
        constraints = [
            models.CheckConstraint(
                condition=Q(minimum__gte=0) & Q(maximum__gte=1) & Q(minimum__lte=F("maximum")), name="option_group_bounds"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Choice(TenantModel):
    group = models.ForeignKey(OptionGroup, models.CASCADE, related_name="choices")
    name = models.CharField(max_length=80)
    price_delta = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    is_available = models.BooleanField(default=True)
    position = models.IntegerField(default=0)

    class Meta:
        ordering = ("position", "id")

    def __str__(self) -> str:
        return self.name
