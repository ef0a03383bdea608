"""What an account and its sign-ins are, for the platform's users and for each cafeteria's people alike."""

import uuid

from django.db import models


class Account(models.Model):
    email = models.CharField(max_length=254)  # as normalise_email gives it
    password = models.CharField(max_length=200)  # argon2, or unusable
    full_name = models.CharField(max_length=120)
    is_active = models.BooleanField(default=True)
    token_version = models.IntegerField(default=1)  # a bump ends every session and token
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.email


class SignInSession(models.Model):
    """One sign-in on one device. Tokens and cookies carry its id; ending it ends them."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    rotation = models.IntegerField(default=1)  # the refresh token that is valid; an older one means theft
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True


class Throttle(models.Model):
    """Failures of one account or one address in a window of time. Keys are HMACs."""

    key = models.CharField(max_length=64, primary_key=True)
    count = models.IntegerField()
    started_at = models.DateTimeField(db_index=True)
