"""The cafeterias, as the platform sees them. All of it lives in the public schema."""

import uuid
from datetime import time
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django_tenants.models import DomainMixin, TenantMixin


class Cafeteria(TenantMixin):  # type: ignore[misc]
    class Status(models.TextChoices):
        OPEN = "open", _("open")
        SUSPENDED = "suspended", _("suspended")
        CLOSED = "closed", _("closed")

    # Only tenants.provisioning makes and drops schemas.
    auto_create_schema = False
    auto_drop_schema = False

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    slug = models.CharField(max_length=63, unique=True)
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True, default="")
    address = models.CharField(max_length=200, blank=True, default="")
    owner_id = models.BigIntegerField(db_index=True)  # accounts.User, by id: imports go down
    status = models.CharField(max_length=12, choices=Status, default=Status.OPEN, db_index=True)
    currency = models.CharField(max_length=3, default="ARS")
    timezone = models.CharField(max_length=64, default="America/Argentina/Buenos_Aires")
    day_cutoff = models.TimeField(default=time(4, 0))
    language = models.CharField(max_length=2, default="es")
    brand = models.CharField(max_length=20, default="terracotta")
    accepts_orders = models.BooleanField(default=True)  # the pause switch for orders from the site
    generation = models.IntegerField(default=1)
    revision = models.IntegerField(default=1)
    schema_head = models.CharField(max_length=64, default="", db_index=True)  # empty: it has no schema (any more)
    fenced_until = models.DateTimeField(null=True, blank=True)  # its scopes are refused until then: a restore exchanges its schema
    copy_of = models.UUIDField(null=True, blank=True)  # the cafeteria whose backup it was made from; never changed
    copied_moment = models.DateTimeField(null=True, blank=True)  # that it shows
    closes_at = models.DateTimeField(null=True, blank=True)  # when a copy is closed by itself; null: by somebody, or never
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager["Cafeteria"]] = models.Manager()

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(status__in=["open", "suspended", "closed"]), name="cafeteria_status"),)

    def __str__(self) -> str:
        return self.slug


class Domain(DomainMixin):  # type: ignore[misc]
    """A cafeteria's own domain. Its subdomain of the platform needs no row: that is the slug."""


class Pulse(models.Model):
    """Counters that a change bumps in its own transaction: whoever holds the same numbers holds the newest page."""

    cafeteria = models.OneToOneField(Cafeteria, models.CASCADE, primary_key=True)
    menu = models.BigIntegerField(default=1)
    orders = models.BigIntegerField(default=1)

    def __str__(self) -> str:
        return f"{self.cafeteria_id}: {self.menu}, {self.orders}"


class SchemaTemplate(models.Model):
    """The verified script that makes a cafeteria's schema, one per migration head."""

    head = models.CharField(max_length=64, primary_key=True)
    statements = models.JSONField()  # in order, each sent by itself, without a schema's name
    migrations = models.JSONField()  # [app, name] of each, in the order in which they were applied
    built_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.head


class MigrationStatus(models.Model):
    """How far one cafeteria's schema is in the fleet's newest migration run."""

    class State(models.TextChoices):
        PENDING = "pending"
        DONE = "done"
        FAILED = "failed"

    cafeteria = models.OneToOneField(Cafeteria, models.CASCADE, primary_key=True)
    target = models.CharField(max_length=64)
    state = models.CharField(max_length=12, choices=State, default=State.PENDING, db_index=True)
    attempts = models.IntegerField(default=0)
    error = models.TextField(blank=True, default="")
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "migration statuses"

    def __str__(self) -> str:
        return f"{self.cafeteria_id}: {self.state}"
