from django.db import models
from django.utils.translation import gettext_lazy as _

from core.identity.models import Account, SignInSession
from tenants.base import TenantModel


class Person(Account, TenantModel):
    """A customer or a member of the staff of this cafeteria (wall 4)."""

    class Role(models.TextChoices):
        CUSTOMER = "customer", _("customer")
        KITCHEN = "kitchen", _("kitchen")
        CASHIER = "cashier", _("cashier")
        MANAGER = "manager", _("manager")
        OWNER = "owner", _("owner")

    email = models.CharField(max_length=254, unique=True)
    phone = models.CharField(max_length=40, blank=True, default="")
    role = models.CharField(max_length=12, choices=Role, default=Role.CUSTOMER)
    platform_user_id = models.BigIntegerField(null=True, blank=True, unique=True)  # who comes by hand-off from the platform

    STAFF = frozenset({Role.KITCHEN, Role.CASHIER, Role.MANAGER, Role.OWNER})
    MANAGERS = frozenset({Role.MANAGER, Role.OWNER})

    @property
    def is_staff(self) -> bool:
        return self.role in self.STAFF


class PersonSession(SignInSession, TenantModel):
    person = models.ForeignKey(Person, models.CASCADE, related_name="sessions")
