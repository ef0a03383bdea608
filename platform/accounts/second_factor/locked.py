"""Second factors whose secret no key of VAULT_KEYS opens. Their codes cannot be checked; recovery codes still sign in."""

from accounts.models import SecondFactor
from core.alerts.actions import raise_alert, resolve_alerts
from core.vault import opens

CODES_LOCKED = "vault.codes_locked"


def locked_factors() -> list[SecondFactor]:
    """With their users. None is taken away by itself: that would leave the password alone to open the account."""
    factors = SecondFactor.objects.select_related("user").order_by("pk")
    return [factor for factor in factors.iterator() if not opens(factor.sealed_secret)]


def look_over_factors() -> int:
    """Raise the alert for them, or resolve it; how many they are."""
    locked = len(locked_factors())
    if locked:
        detail = f"VAULT_KEYS do not open the secrets of {locked} second factors: their people can sign in with a recovery code only."
        raise_alert(kind=CODES_LOCKED, detail=detail, severity="critical")
    else:
        resolve_alerts(kind=CODES_LOCKED)
    return locked
