from django.db import models
from django.utils.translation import gettext_lazy as _

from core.identity.models import Account, SignInSession


class User(Account):
    """Somebody of the platform: an owner of cafeterias, or an admin."""

    class Role(models.TextChoices):
        OWNER = "owner", _("owner")
        ADMIN = "admin", _("admin")

    email = models.CharField(max_length=254, unique=True)
    role = models.CharField(max_length=12, choices=Role, default=Role.OWNER)


class UserSession(SignInSession):
    user = models.ForeignKey(User, models.CASCADE, related_name="sessions")


class Handoff(models.Model):
    """A way for a platform user into one cafeteria's site: used once, within a minute, in the browser that asked for it."""

    code_hash = models.CharField(max_length=64, unique=True)
    browser_hash = models.CharField(max_length=64)  # of the secret that the cafeteria's site left in that browser
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    cafeteria_id = models.BigIntegerField()
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True)


class SupportAccess(models.Model):
    """An owner's consent that the platform's support enters their cafeteria. At most one is not ended."""

    cafeteria_id = models.BigIntegerField()
    granted_by = models.ForeignKey(User, models.CASCADE, related_name="+")
    granted_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["cafeteria_id"], condition=models.Q(ended_at=None), name="one_support_access")]


class SupportRequest(models.Model):
    """An admin asks an owner for that. At most one waits; consenting or declining settles it."""

    cafeteria_id = models.BigIntegerField()
    asked_by = models.ForeignKey(User, models.CASCADE, related_name="+")
    asked_at = models.DateTimeField(auto_now_add=True)
    reason = models.CharField(max_length=300)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["cafeteria_id"], condition=models.Q(settled_at=None), name="one_support_request")]


class SecondFactor(models.Model):
    """That somebody's sign-in asks for a code of their app: confirmed by one, and theirs until they, or an operator, take it away."""

    user = models.OneToOneField(User, models.CASCADE, primary_key=True, related_name="second_factor")
    sealed_secret = models.CharField(max_length=400)  # core.vault
    last_step = models.BigIntegerField()  # of the newest code that was used: that one and older ones are worth nothing
    created_at = models.DateTimeField(auto_now_add=True)


class RecoveryCode(models.Model):
    """In place of the app's, once."""

    factor = models.ForeignKey(SecondFactor, models.CASCADE, related_name="codes")
    code_hash = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["factor", "code_hash"], name="one_recovery_code")]
