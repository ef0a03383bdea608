"""A new password by mail, for whoever has forgotten the old one: the same on the platform and at a cafeteria.

The link is signed, holds for an hour and once, and on one host only: it names the account's token version, which a new password bumps,
and its salt the realm's audience, which a restore changes. Whether somebody has an account here is told to nobody.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.core import signing
from django.utils import translation
from django.utils.translation import gettext as _

from core import passwords, throttle
from core.errors import TooManyAttempts
from core.identity.actions import SignedIn, check_password_rules, set_password, start_session
from core.identity.emails import normalised_or_none
from core.identity.errors import ResetLinkInvalid, SecondFactorRequired, WrongCredentials
from core.identity.models import Account
from core.identity.notices import mail_account
from core.identity.realm import Realm
from core.identity.second_factor import HalfSignedIn

LINK_LIFE = timedelta(hours=1)
MAILS = 3  # to one account within settings.LOGIN_FAILURE_WINDOW
LONGEST = 400


def ask_for_link(realm: Realm, *, email: str, address: str, enqueue_mail: Callable[[int], Any]) -> None:
    """Add the job that mails a link, for whichever account: for no account, 0, so that both take as long. Raises TooManyAttempts.

    An account that gets too many mails gets no more for a while, and whoever asks is told nothing of it.
    """
    throttle.take_attempt([throttle.address_brake(address)])
    known = normalised_or_none(email)
    account_id = 0
    try:
        throttle.take_attempt([replace(throttle.account_brake(f"{realm.space} mail", known or email.strip().lower()), limit=MAILS)])
        with realm.scope():
            account = _accounts(realm).filter(email=known).first() if known else None
            account_id = account.pk if account is not None else 0
    except TooManyAttempts:
        pass
    enqueue_mail(account_id)


def mail_link(realm: Realm, *, account_id: int, page: str, place: str, language: str, job_id: UUID) -> bool:
    """Mail a link to `page` with its token, in the words of `place`; False for an account that is not there (any more).

    And for one that no mail reaches. The same job again is the same mail. Raises OSError when the mail server may take it later.
    """
    with realm.scope():
        account = _accounts(realm).filter(pk=account_id).first()
        token = _token(realm, account) if account is not None else ""
    if account is None:
        return False
    with translation.override(language):
        subject = _("New password at {place}").format(place=place)
        text = _(
            "Somebody, probably you, asked for a new password at {place}. Choose it here within an hour:\n\n{link}\n\n"
            "Was it not you? Then nothing has to be done: without this link the password stays as it is.\n"
        ).format(place=place, link=f"{page}?{urlencode({'token': token})}")
    return mail_account(account, subject=subject, text=text, message_id=f"reset-{job_id}")


def check_link(realm: Realm, *, token: str) -> None:
    """Raises ResetLinkInvalid for one that is forged, used, too old, or of another host."""
    with realm.scope():
        _account_of(realm, token)


def choose_password(realm: Realm, *, token: str, new: str, address: str) -> SignedIn:
    """Sets the password, ends every session, and starts one for whoever has the link. Told by mail.

    Raises ResetLinkInvalid, WeakPassword, TooManyAttempts. Whoever was locked out by wrong passwords may sign in again. For whoever has a
    second factor the link stands for the password alone: the password is set, and SecondFactorRequired raised.
    """
    brake = throttle.address_brake(address)
    throttle.take_attempt([brake])
    with realm.scope():
        account = _account_of(realm, token)
    throttle.give_back([brake])
    check_password_rules(new, email=account.email, full_name=account.full_name)
    encoded = passwords.hash_password(new)
    try:
        with realm.scope():
            set_password(realm, account, encoded=encoded, how="chosen")
            signed_in = None if realm.asks_for_code(account.pk) else start_session(realm, account)
    except WrongCredentials:  # Used at the same time by somebody else.
        raise ResetLinkInvalid from None
    throttle.forgive(throttle.account_brake(realm.space, account.email))
    if signed_in is None:
        raise SecondFactorRequired(HalfSignedIn(account_id=account.pk, token_version=account.token_version))
    return signed_in


def _accounts(realm: Realm) -> Any:
    """Those that have a password here: whoever comes by hand-off has none."""
    found = realm.accounts._default_manager.filter(is_active=True)
    by_hand_off = {field.name for field in realm.accounts._meta.get_fields()} & {"platform_user_id"}
    return found.filter(**dict.fromkeys(by_hand_off))


def _account_of(realm: Realm, token: str) -> Account:
    try:
        account_id, version = signing.loads(token[:LONGEST], salt=_salt(realm), max_age=LINK_LIFE)
    except (signing.BadSignature, ValueError, TypeError):
        raise ResetLinkInvalid from None
    account: Account | None = _accounts(realm).filter(pk=account_id, token_version=version).first()
    if account is None:
        raise ResetLinkInvalid
    return account


def _token(realm: Realm, account: Account) -> str:
    return signing.dumps([account.pk, account.token_version], salt=_salt(realm))


def _salt(realm: Realm) -> str:
    """Inside the scope, where the audience is fresh."""
    return f"comanda.reset:{realm.audience()}"
