"""A cafeteria's account at Mercado Pago: connected, kept alive, left. Outside every scope: these ask Mercado Pago, or lock public rows."""

import hashlib
import secrets
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from core.alerts.actions import raise_alert, resolve_alerts
from core.audit.actions import record
from core.identity.callers import Caller
from core.jobs import enqueue
from core.vault import VaultLocked, opens, seal, unseal
from payments.gateway import application
from payments.gateway.data import SITE_CURRENCIES, Account, Tokens
from payments.gateway.errors import GatewayRefused, TokenRefused
from payments.gateway.gateway import gateway
from payments.sellers.errors import (
    ConnectionOfAnother,
    ConnectionOver,
    ConnectionRefused,
    NothingConnected,
    NotSetUp,
    SiteNotServed,
    WrongCurrency,
)
from payments.sellers.models import Connecting, Seller
from tenants.errors import CafeteriaNotFound, CopyStaysApart
from tenants.models import Cafeteria
from tenants.routing import platform_url

log = structlog.get_logger()

Status, Reason = Seller.Status, Seller.Reason
CONNECTING_LIVES = timedelta(minutes=10)  # as long as Mercado Pago's code
RENEW_BEFORE = timedelta(days=30)  # a token lives 180 days
NEEDS_RECONNECT = "payments.needs_reconnect"
RENEWAL_FAILS = "payments.renewal_fails"
WHY = {
    Reason.REFUSED: "Mercado Pago refuses the connection of the account.",
    Reason.LOCKED: "None of VAULT_KEYS opens the tokens of the account.",
}


def begin_connection(*, cafeteria_uuid: UUID, person: Caller) -> str:
    """The address at Mercado Pago where the owner allows the platform to act. Raises NotSetUp, CopyStaysApart."""
    if Cafeteria.objects.filter(uuid=cafeteria_uuid, copy_of__isnull=False).exists():
        raise CopyStaysApart
    if not application.is_set_up():
        raise NotSetUp
    state, now = secrets.token_urlsafe(32), timezone.now()
    verifier, challenge = application.new_verifier()
    with transaction.atomic():
        Connecting.objects.filter(expires_at__lt=now).delete()
        Connecting.objects.create(
            state=hash_state(state),
            cafeteria_uuid=cafeteria_uuid,
            person_id=person.id,
            sealed_verifier=seal(verifier),
            created_at=now,
            expires_at=now + CONNECTING_LIVES,
        )
    return application.authorization_url(state=state, challenge=challenge, redirect_uri=redirect_uri())


def finish_connection(*, cafeteria_uuid: UUID, state: str, code: str, person: Caller) -> Seller:
    """Connect the account that has given the code. The account that was connected before is left; its tokens stay for refunds.

    A state works once, for the person who began, as long as the key that sealed it is there. Raises ConnectionOver, ConnectionOfAnother,
    ConnectionRefused, SiteNotServed, WrongCurrency, GatewayUnavailable.
    """
    verifier = _use_state(cafeteria_uuid=cafeteria_uuid, state=state, person=person)
    try:
        tokens = application.exchange_code(code, verifier, redirect_uri())
    except GatewayRefused:
        raise ConnectionRefused from None
    return connect_seller(cafeteria_uuid=cafeteria_uuid, tokens=tokens, by=person)


def connect_seller(*, cafeteria_uuid: UUID, tokens: Tokens, by: Caller | None, label: str = "") -> Seller:
    """Keep the account that these fresh tokens open as the cafeteria's. Without a person, `label` says what did it.

    Raises ConnectionRefused, SiteNotServed, WrongCurrency, CafeteriaNotFound, CopyStaysApart, GatewayUnavailable.
    """
    try:
        account = gateway(tokens.access_token).account()
    except (GatewayRefused, TokenRefused):
        raise ConnectionRefused from None
    if account.user_id != tokens.user_id:
        raise ConnectionRefused
    with transaction.atomic():
        # One connection of a cafeteria at a time. Without touching its key: orders' foreign keys need not wait.
        cafeteria = Cafeteria.objects.select_for_update(no_key=True).filter(uuid=cafeteria_uuid).first()
        if cafeteria is None:
            raise CafeteriaNotFound
        if cafeteria.copy_of is not None:
            raise CopyStaysApart
        _check_currency(account, cafeteria.currency)
        seller = _keep_account(cafeteria_uuid, account, tokens, connected_by=by.email if by else label)
        resolve_alerts(kind=NEEDS_RECONNECT, cafeteria_uuid=cafeteria_uuid, by=by.email if by else label)
        resolve_alerts(kind=RENEWAL_FAILS, cafeteria_uuid=cafeteria_uuid, by=by.email if by else label)
        record(
            "payments.connected", actor=by, cafeteria_uuid=cafeteria_uuid, target=str(account.user_id), label=label, site=account.site_id
        )
    return seller


def disconnect_seller(*, cafeteria_uuid: UUID, person: Caller) -> Seller:
    """Stop taking payments with the account. Its tokens stay, for refunds of what was paid to it. Raises NothingConnected."""
    with transaction.atomic():
        seller = Seller.objects.select_for_update().filter(cafeteria_uuid=cafeteria_uuid).exclude(status=Status.DISCONNECTED).first()
        if seller is None:
            raise NothingConnected
        seller.status = Status.DISCONNECTED
        seller.save(update_fields=["status"])
        resolve_alerts(kind=NEEDS_RECONNECT, cafeteria_uuid=cafeteria_uuid, by=person.email)
        record("payments.disconnected", actor=person, cafeteria_uuid=cafeteria_uuid, target=str(seller.mp_user_id))
    return seller


def refresh_seller(*, seller_id: int) -> bool:
    """New tokens for an account whose token ends within RENEW_BEFORE; False when it does not (any more), or cannot have new ones.

    The row is locked meanwhile: a refresh token works once, and of two at once the second finds the first one's work. What came is
    committed before anything else is done. Raises GatewayUnavailable, GatewayRefused, VaultLocked: nothing has changed then.
    """
    with transaction.atomic(durable=True):
        seller = Seller.objects.select_for_update().filter(pk=seller_id).first()
        if seller is None or not seller.sealed_refresh_token or seller.status == Status.NEEDS_RECONNECT:
            return False
        if seller.expires_at > timezone.now() + RENEW_BEFORE:
            return False
        try:
            tokens = application.refresh_tokens(seller.refresh_token)
        except GatewayRefused as error:
            if error.their_code != "invalid_grant":
                raise
            seller.sealed_refresh_token = ""  # It works for nobody any more.
            seller.save(update_fields=["sealed_refresh_token"])
            _note_needs_reconnect(seller, Reason.REFUSED)
            return False
        _keep_tokens(seller, tokens, now=timezone.now())
        seller.save(update_fields=["sealed_access_token", "sealed_refresh_token", "public_key", "live_mode", "expires_at", "refreshed_at"])
    resolve_alerts(kind=RENEWAL_FAILS, cafeteria_uuid=seller.cafeteria_uuid, subject=str(seller.mp_user_id))
    log.info("seller_refreshed", cafeteria=str(seller.cafeteria_uuid), mp_user_id=seller.mp_user_id)
    return True


def mark_needs_reconnect(*, seller_id: int, refused_token: str | None = None) -> bool:
    """Mercado Pago refuses the account's token: hide online payment and tell the owner. Whether it was news.

    With `refused_token`, a token that has come since then is left in peace.
    """
    with transaction.atomic():
        seller = Seller.objects.select_for_update().filter(pk=seller_id).first()
        if seller is None or (refused_token is not None and not _has_token(seller, refused_token)):
            return False
        return _note_needs_reconnect(seller, Reason.REFUSED)


def mark_locked(*, seller_id: int) -> bool:
    """The account's token is lost with the key that sealed it: as mark_needs_reconnect. One that opens after all is left in peace."""
    with transaction.atomic():
        seller = Seller.objects.select_for_update().filter(pk=seller_id).first()
        if seller is None or opens(seller.sealed_access_token):
            return False
        return _note_needs_reconnect(seller, Reason.LOCKED)


def take_back_locked(*, seller_id: int) -> bool:
    """The key is there again: an account that mark_locked has marked is connected as before. Whether it was so."""
    with transaction.atomic():
        locked = Seller.objects.filter(pk=seller_id, status=Status.NEEDS_RECONNECT, reason=Reason.LOCKED)
        seller = locked.select_for_update().first()
        if seller is None or not opens(seller.sealed_access_token):
            return False
        seller.status, seller.reason = Status.CONNECTED, ""
        seller.save(update_fields=["status", "reason"])
        resolve_alerts(kind=NEEDS_RECONNECT, cafeteria_uuid=seller.cafeteria_uuid, subject=str(seller.mp_user_id))
        record("payments.readable_again", cafeteria_uuid=seller.cafeteria_uuid, target=str(seller.mp_user_id), label="vault")
    return True


def redirect_uri() -> str:
    """Where Mercado Pago sends every owner back: one address, registered with the platform's application."""
    return f"{platform_url()}/mercadopago/callback"


def hash_state(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def _use_state(*, cafeteria_uuid: UUID, state: str, person: Caller) -> str:
    """The verifier of a connection under way, which is over with this."""
    with transaction.atomic():
        connecting = Connecting.objects.select_for_update().filter(state=hash_state(state)).first()
        if connecting is None or connecting.expires_at < timezone.now():
            raise ConnectionOver
        if (connecting.cafeteria_uuid, connecting.person_id) != (cafeteria_uuid, person.id):
            raise ConnectionOfAnother
        connecting.delete()
    try:
        return unseal(connecting.sealed_verifier)
    except VaultLocked:  # Its key has gone since the owner's tap: beginning anew is all that it takes.
        raise ConnectionOver from None


def _check_currency(account: Account, ours: str) -> None:
    theirs = SITE_CURRENCIES.get(account.site_id)
    if theirs is None:
        raise SiteNotServed(site=account.site_id)
    if theirs != ours:
        raise WrongCurrency(theirs=theirs, ours=ours)


def _keep_account(cafeteria_uuid: UUID, account: Account, tokens: Tokens, *, connected_by: str) -> Seller:
    """The row of the account, new or known; the cafeteria's other one is left. Its notification address stays: old payments know it."""
    now = timezone.now()
    others = Seller.objects.filter(cafeteria_uuid=cafeteria_uuid).exclude(mp_user_id=account.user_id).exclude(status=Status.DISCONNECTED)
    others.update(status=Status.DISCONNECTED)
    known = Seller.objects.select_for_update().filter(cafeteria_uuid=cafeteria_uuid, mp_user_id=account.user_id).first()
    seller = known or Seller(cafeteria_uuid=cafeteria_uuid, mp_user_id=account.user_id, webhook_key=secrets.token_urlsafe(32))
    seller.nickname, seller.site_id, seller.currency = account.nickname[:120], account.site_id, SITE_CURRENCIES[account.site_id]
    seller.status, seller.connected_at, seller.connected_by = Status.CONNECTED, now, connected_by
    seller.reason = ""
    _keep_tokens(seller, tokens, now=now)
    seller.save()
    return seller


def _keep_tokens(seller: Seller, tokens: Tokens, *, now: datetime) -> None:
    seller.keep_tokens(access=tokens.access_token, refresh=tokens.refresh_token)
    seller.public_key, seller.live_mode = tokens.public_key[:120], tokens.live_mode
    seller.expires_at, seller.refreshed_at = now + timedelta(seconds=tokens.expires_in), now


def _has_token(seller: Seller, token: str) -> bool:
    """Not so when its present one does not open: payments.sellers.vault sees to that."""
    try:
        return seller.access_token == token
    except VaultLocked:
        return False


def _note_needs_reconnect(seller: Seller, reason: Seller.Reason) -> bool:
    """Of a locked row. One that was left needs nothing."""
    if seller.status != Status.CONNECTED:
        return False
    seller.status, seller.reason = Status.NEEDS_RECONNECT, reason
    seller.save(update_fields=["status", "reason"])
    detail = f"{WHY[reason]} Online payments are off until the owner connects it again."
    raise_alert(
        kind=NEEDS_RECONNECT, cafeteria_uuid=seller.cafeteria_uuid, subject=str(seller.mp_user_id), detail=detail, severity="critical"
    )
    label = "vault" if reason == Reason.LOCKED else "mercado pago"
    record("payments.needs_reconnect", cafeteria_uuid=seller.cafeteria_uuid, target=str(seller.mp_user_id), label=label)
    if settings.MAIL_ENABLED:
        # Once a day at most, however often it is lost and found.
        enqueue("payments.sellers.jobs.mail_owner", idempotency_key=f"{seller.pk} {timezone.now():%Y-%m-%d}", seller_id=seller.pk)
    return True
