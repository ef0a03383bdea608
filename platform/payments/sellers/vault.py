"""Accounts whose token no key of this process opens: is the token lost, or has the process the wrong keys?

A token that does not open proves neither. Whoever took the first for granted would, with wrong VAULT_KEYS in one process of a deploy, have
every owner of the fleet connect again for nothing; and nobody but a person knows that keys are lost for good. So (decision 0024):

- Online payment is hidden wherever the token does not open in this process. That needs no row: right keys show it again at once.
- An account is marked, and its owner told, only by a process whose keys are known: they open at least half of what was sealed last.
- With unknown keys nothing is marked. There is one alert, and whoever knows that they are lost says so: rotate_vault_keys --give-up.
- A key that comes back undoes the marks.
"""

from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.utils import timezone

from core.alerts.actions import raise_alert, resolve_alerts
from core.alerts.models import Alert
from core.vault import VaultLocked, fingerprint, opens
from payments.sellers.actions import mark_locked, take_back_locked
from payments.sellers.errors import KeysUnknown, TokenLocked
from payments.sellers.models import Seller

log = structlog.get_logger()
Status, Reason = Seller.Status, Seller.Reason
KEYS_UNKNOWN = "vault.keys_unknown"
NEWEST = 100  # What was sealed last says which keys are the right ones.
TELL_EVERY = timedelta(minutes=1)  # A page that many look at writes no row for each of them.
FORGOTTEN = timedelta(hours=1)  # Nothing was heard for so long of a process with other keys: it is gone.


@dataclass(frozen=True, kw_only=True)
class LookedOver:
    accounts: int
    locked: int  # that are connected
    marked: int  # of these, now
    taken_back: int
    are_known: bool  # the keys of this process


def token_of(seller: Seller) -> str:
    """Its access token, to ask Mercado Pago with. Outside every scope.

    Raises TokenLocked when it is lost, and then it is marked; KeysUnknown while nobody knows: try again later.
    """
    try:
        return seller.access_token
    except VaultLocked:
        log.error("vault_locked", about=str(seller.cafeteria_uuid))
    if seller.status == Status.NEEDS_RECONNECT or keys_are_known():
        mark_locked(seller_id=seller.pk)
        raise TokenLocked
    tell_keys_unknown()
    raise KeysUnknown


def keys_are_known() -> bool:
    """Whether this process's keys open at least half of the connected accounts that were sealed last. They are where there are none."""
    connected = Seller.objects.filter(status=Status.CONNECTED).exclude(sealed_access_token="").order_by("-refreshed_at", "-pk")
    sealed = list(connected.values_list("sealed_access_token", flat=True)[:NEWEST])
    return 2 * sum(map(opens, sealed)) >= len(sealed)


def tell_keys_unknown() -> None:
    """Raise the alert, at most once in TELL_EVERY. In the caller's transaction, if there is one: it locks nothing else."""
    keys = fingerprint()
    lately = Alert.objects.filter(kind=KEYS_UNKNOWN, cafeteria_uuid=None, subject=keys, resolved_at=None)
    if lately.filter(last_at__gt=timezone.now() - TELL_EVERY).exists():
        return
    detail = (
        f"VAULT_KEYS of a process (fingerprint {keys}) do not open the tokens of Mercado Pago accounts. "
        "Online payments are hidden where that process answers. Nothing is marked, and nothing is lost while the right keys exist."
    )
    raise_alert(kind=KEYS_UNKNOWN, subject=keys, detail=detail, severity="critical")


def note_locked(seller: Seller) -> None:
    """A page has found it. What is marked, the job marks: a page only says that this process has keys that nobody knows."""
    log.error("vault_locked", about=str(seller.cafeteria_uuid))
    if not keys_are_known():
        tell_keys_unknown()


def locked_accounts() -> list[Seller]:
    """All whose token does not open, also those that were left: their refunds need it."""
    sealed = Seller.objects.exclude(sealed_access_token="").order_by("pk")
    return [seller for seller in sealed.iterator() if seller.is_locked]


def look_over_accounts(*, give_up: bool = False) -> LookedOver:
    """Mark every account whose token is lost, and take back the marks of those that open again. Outside every scope.

    With `give_up` the keys are lost, as a person says: unknown keys keep nothing from being marked, and their alert is over.
    """
    marked = Seller.objects.filter(status=Status.NEEDS_RECONNECT, reason=Reason.LOCKED).values_list("pk", flat=True)
    taken_back = sum(take_back_locked(seller_id=seller_id) for seller_id in list(marked))
    locked = [seller.pk for seller in locked_accounts() if seller.status == Status.CONNECTED]
    are_known = keys_are_known()
    counts = {"accounts": Seller.objects.exclude(sealed_access_token="").count(), "locked": len(locked), "taken_back": taken_back}
    if not are_known and not give_up:
        tell_keys_unknown()
        return LookedOver(**counts, marked=0, are_known=False)
    found = LookedOver(**counts, marked=sum(mark_locked(seller_id=seller_id) for seller_id in locked), are_known=are_known)
    _resolve_keys_unknown(all_of=give_up)
    return found


def _resolve_keys_unknown(*, all_of: bool) -> None:
    """Of this process's keys, and of others that nobody has told of for a while."""
    opened = Alert.objects.filter(kind=KEYS_UNKNOWN, cafeteria_uuid=None, resolved_at=None)
    for alert in list(opened):
        if all_of or alert.subject == fingerprint() or alert.last_at < timezone.now() - FORGOTTEN:
            resolve_alerts(kind=KEYS_UNKNOWN, subject=alert.subject)
