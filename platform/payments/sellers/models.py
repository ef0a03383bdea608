from django.db import models

from core.vault import opens, seal, unseal


class Seller(models.Model):
    """A cafeteria's account at Mercado Pago. An account that was left stays as a row: its old payments are refunded with it."""

    class Status(models.TextChoices):
        CONNECTED = "connected"
        NEEDS_RECONNECT = "needs_reconnect"  # its token is of no use any more: online payment is hidden
        DISCONNECTED = "disconnected"

    class Reason(models.TextChoices):
        """Why it has to be connected again."""

        REFUSED = "refused"  # by Mercado Pago
        LOCKED = "locked"  # no key opens the token: payments.sellers.vault

    cafeteria_uuid = models.UUIDField()
    mp_user_id = models.BigIntegerField()  # Mercado Pago's id of the account: a payment's collector
    nickname = models.CharField(max_length=120, blank=True, default="")
    site_id = models.CharField(max_length=4)  # MLA, MLB, ...
    currency = models.CharField(max_length=3)  # the site's
    sealed_access_token = models.TextField(default="")
    sealed_refresh_token = models.TextField(default="")
    public_key = models.CharField(max_length=120, blank=True, default="")
    live_mode = models.BooleanField(default=True)
    expires_at = models.DateTimeField()  # of the access token
    refreshed_at = models.DateTimeField()
    connected_at = models.DateTimeField()
    connected_by = models.CharField(max_length=254, blank=True, default="")
    status = models.CharField(max_length=20, choices=Status, default=Status.CONNECTED)
    reason = models.CharField(max_length=10, choices=Reason, blank=True, default="", db_default="")  # while it needs to be connected again
    webhook_key = models.CharField(max_length=64, unique=True)  # opaque, in the address that Mercado Pago notifies
    swept_until = models.DateTimeField(null=True)  # changes at Mercado Pago before this moment are known

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["cafeteria_uuid", "mp_user_id"], name="payments_seller_once"),
            models.UniqueConstraint(
                fields=["cafeteria_uuid"], condition=~models.Q(status="disconnected"), name="payments_one_seller_a_cafeteria"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.mp_user_id} of {self.cafeteria_uuid}"

    @property
    def access_token(self) -> str:
        """In clear. Never into a log, a page or an export."""
        return unseal(self.sealed_access_token)

    @property
    def refresh_token(self) -> str:
        """In clear. It works once."""
        return unseal(self.sealed_refresh_token)

    @property
    def is_locked(self) -> bool:
        """Whether no key of this process opens its token."""
        return not opens(self.sealed_access_token)

    def keep_tokens(self, *, access: str, refresh: str) -> None:
        """Sealed; the caller saves the row."""
        self.sealed_access_token, self.sealed_refresh_token = seal(access), seal(refresh)


class Connecting(models.Model):
    """A connection under way: between the owner's tap and Mercado Pago's answer."""

    state = models.CharField(max_length=64, primary_key=True)  # SHA-256 of what travels
    cafeteria_uuid = models.UUIDField()
    person_id = models.BigIntegerField()  # of the cafeteria: the one who began, and the only one who may end
    sealed_verifier = models.TextField()  # PKCE
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="payments_connecting_expires")]

    def __str__(self) -> str:
        return f"connection of {self.cafeteria_uuid}"
