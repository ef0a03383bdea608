"""Signing up, in and out: one implementation for the platform's users and for each cafeteria's people.

Passwords are hashed outside of the realm's scope (a transaction must not wait for argon2), and failures are counted outside of it too.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from core import passwords, throttle, tokens
from core.identity.callers import Caller, Claims
from core.identity.emails import normalise_email, normalised_or_none
from core.identity.errors import EmailTaken, InvalidToken, SecondFactorRequired, SignInExpired, WeakPassword, WrongCode, WrongCredentials
from core.identity.models import Account
from core.identity.notices import How, tell_new_password
from core.identity.realm import Realm
from core.identity.second_factor import HalfSignedIn, code_attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedIn:
    """A sign-in that has just been made or renewed."""

    who: Claims
    audience: str
    rotation: int

    def tokens(self) -> tokens.TokenPair:
        return tokens.issue_pair(self.audience, self.who, rotation=self.rotation)


def register(realm: Realm, *, email: str, password: str, full_name: str, address: str, **details: Any) -> Account:
    """Makes an account and signs nobody in. Raises InvalidEmail, WeakPassword, EmailTaken, TooManyAttempts.

    A taken address counts as a failure of the client's address, and takes as long as a free one.
    """
    email = normalise_email(email)
    check_password_rules(password, email=email, full_name=full_name)
    brake = throttle.address_brake(address)
    throttle.take_attempt([brake])
    encoded = passwords.hash_password(password)
    account = realm.accounts(email=email, password=encoded, full_name=full_name, **details)
    try:
        with realm.scope(), transaction.atomic():
            account.save(force_insert=True)
    except IntegrityError:
        raise EmailTaken from None
    throttle.give_back([brake])
    return account


def sign_in(realm: Realm, *, email: str, password: str, address: str, code: str = "") -> SignedIn:
    """Starts a session. Raises WrongCredentials for an unknown, inactive or mistaken account alike, after the same work; TooManyAttempts.

    Failures count against the account and the client's address; a success forgives the account's. For whoever has a second factor it raises
    SecondFactorRequired without a code, which `complete_sign_in` takes too, and WrongCode with a wrong one.
    """
    known = normalised_or_none(email)
    by_account = throttle.account_brake(realm.space, known or email.strip().lower())
    by_address = throttle.address_brake(address)
    throttle.take_attempt([by_account, by_address])
    with realm.scope():
        account = _active_accounts(realm).filter(email=known).first() if known else None
    if not passwords.matches(password, account.password if account else None) or account is None:
        raise WrongCredentials
    if passwords.needs_rehash(account.password):
        _rehash(realm, account, password)
    with realm.scope():
        signed_in = None if realm.asks_for_code(account.pk) else start_session(realm, account)
    throttle.give_back([by_address])
    if signed_in is None:
        throttle.give_back([by_account])  # And no more: only the whole sign-in forgives.
        return _with_code(realm, HalfSignedIn(account_id=account.pk, token_version=account.token_version), code=code, address=address)
    throttle.forgive(by_account)
    return signed_in


def complete_sign_in(realm: Realm, half: HalfSignedIn, *, code: str, address: str) -> SignedIn:
    """The second step, with a code. Raises SignInExpired when the account has changed since the first, WrongCode, TooManyAttempts."""
    with realm.scope():
        account = _active_accounts(realm).filter(pk=half.account_id, token_version=half.token_version).first()
    if account is None:
        raise SignInExpired
    with code_attempt(realm.space, email=account.email, address=address), realm.scope():
        signed_in = start_session(realm, account)
        _use_code(realm, signed_in.who, code)
    throttle.forgive(throttle.account_brake(realm.space, account.email))
    return signed_in


def _with_code(realm: Realm, half: HalfSignedIn, *, code: str, address: str) -> SignedIn:
    if not code:
        raise SecondFactorRequired(half)
    return complete_sign_in(realm, half, code=code, address=address)


def _use_code(realm: Realm, who: Claims, code: str) -> None:
    caller = realm.caller(who)
    if caller is None:
        raise WrongCode
    realm.use_code(caller, code)


def _rehash(realm: Realm, account: Account, password: str) -> None:
    """Hashed anew as hashes are made now, unless the password changes just then."""
    renewed = passwords.hash_password(password)
    with realm.scope():
        if _active_accounts(realm).filter(pk=account.pk, password=account.password).update(password=renewed):
            account.password = renewed


def start_session(realm: Realm, account: Account) -> SignedIn:
    """Inside the scope, for an account whose right to sign in was just proven. Raises WrongCredentials if it changed since it was read."""
    unchanged = _active_accounts(realm).filter(pk=account.pk, token_version=account.token_version, password=account.password)
    if unchanged.select_for_update().values_list("pk", flat=True).first() is None:
        raise WrongCredentials
    session_id = uuid4()
    realm.sessions._default_manager.create(id=session_id, expires_at=timezone.now() + life_of(account), **{realm.owner_column: account.pk})
    who = Claims(account_id=account.pk, session_id=session_id, token_version=account.token_version)
    return SignedIn(who=who, audience=realm.audience(), rotation=1)


def life_of(account: Account) -> timedelta:
    """How long a sign-in lasts: an admin's, who can do the most harm, for a working day."""
    return settings.ADMIN_SESSION_LIFE if getattr(account, "role", "") == "admin" else settings.REFRESH_TOKEN_LIFE


def refresh(realm: Realm, *, token: str) -> SignedIn:
    """Turns a refresh token into the next one. One that was used already ends its session: somebody has a copy. Raises InvalidToken."""
    with realm.scope():
        renewed = _rotate(realm, token)
    # Outside: the end of a stolen session is kept although the answer is an error.
    if renewed is None:
        raise InvalidToken
    return renewed


def _rotate(realm: Realm, token: str) -> SignedIn | None:
    audience = realm.audience()
    try:
        claims = tokens.read_refresh(audience, token)
    except InvalidToken:
        return None
    caller = realm.caller(claims.who)
    if caller is None:
        return None
    mine = _open_sessions(realm).filter(pk=claims.who.session_id)
    # An admin's ends when it was to end, however often it is renewed.
    longer = {} if caller.is_admin else {"expires_at": timezone.now() + settings.REFRESH_TOKEN_LIFE}
    if mine.filter(rotation=claims.rotation).update(rotation=claims.rotation + 1, **longer):
        return SignedIn(who=claims.who, audience=audience, rotation=claims.rotation + 1)
    mine.update(ended_at=timezone.now())
    return None


def sign_out(realm: Realm, *, session_id: UUID) -> None:
    """Ends one session, its tokens and its cookie. Once more is fine."""
    with realm.scope():
        _open_sessions(realm).filter(pk=session_id).update(ended_at=timezone.now())


def sign_out_by_token(realm: Realm, *, token: str) -> None:
    """Ends the session of a genuine refresh token, whichever its rotation. Raises InvalidToken."""
    with realm.scope():
        claims = tokens.read_refresh(realm.audience(), token)
        mine = _open_sessions(realm).filter(pk=claims.who.session_id)
        mine.filter(**{realm.owner_column: claims.who.account_id}).update(ended_at=timezone.now())


def sign_out_everywhere(realm: Realm, *, account_id: int) -> None:
    """Ends every session, token and cookie of the account."""
    with realm.scope():
        realm.accounts._default_manager.filter(pk=account_id).update(token_version=F("token_version") + 1)
        realm.sessions._default_manager.filter(ended_at=None, **{realm.owner_column: account_id}).update(ended_at=timezone.now())


def change_password(realm: Realm, *, caller: Caller, current: str, new: str, address: str) -> SignedIn:
    """Sets a new password, ends every session, and starts one for whoever did it. Told by mail.

    Raises WrongCredentials, WeakPassword, TooManyAttempts.
    """
    brakes = [throttle.account_brake(realm.space, caller.email), throttle.address_brake(address)]
    throttle.take_attempt(brakes)
    with realm.scope():
        account = _active_accounts(realm).filter(pk=caller.id).first()
    if not passwords.matches(current, account.password if account else None) or account is None:
        raise WrongCredentials
    throttle.give_back(brakes)
    check_password_rules(new, email=account.email, full_name=account.full_name)
    encoded = passwords.hash_password(new)
    with realm.scope():
        set_password(realm, account, encoded=encoded, how="changed")
        return start_session(realm, account)


def confirm_password(realm: Realm, *, caller: Caller, password: str, address: str, code: str = "") -> None:
    """Whether it is still the caller at the device, with a code from whoever has a second factor. Failures count as those of signing in.

    Raises WrongCredentials, WrongCode, TooManyAttempts.
    """
    brakes = [throttle.account_brake(realm.space, caller.email), throttle.address_brake(address)]
    throttle.take_attempt(brakes)
    with realm.scope():
        account = _active_accounts(realm).filter(pk=caller.id).first()
        asks_for_code = realm.asks_for_code(caller.id)
    if not passwords.matches(password, account.password if account else None) or account is None:
        raise WrongCredentials
    throttle.give_back(brakes)
    if asks_for_code:
        with code_attempt(realm.space, email=account.email, address=address), realm.scope():
            realm.use_code(caller, code)


def set_password(realm: Realm, account: Account, *, encoded: str, how: How) -> None:
    """Inside the scope. The account's sessions and tokens end, and its holder is told by mail. Raises as end_sessions."""
    end_sessions(realm, account, password=encoded)
    tell_new_password(realm, account, how=how)


def end_sessions(realm: Realm, account: Account, *, password: str = "") -> None:
    """Inside the scope. Ends the account's sessions and tokens, and sets the (hashed) password if there is one.

    Raises WrongCredentials if the account's sessions were ended since it was read.
    """
    password, version = password or account.password, account.token_version + 1
    changed = _active_accounts(realm).filter(pk=account.pk, token_version=account.token_version)
    if not changed.update(password=password, token_version=version):
        raise WrongCredentials
    realm.sessions._default_manager.filter(ended_at=None, **{realm.owner_column: account.pk}).update(ended_at=timezone.now())
    account.password, account.token_version = password, version


def check_password_rules(password: str, *, email: str, full_name: str) -> None:
    """Raises WeakPassword, with a sentence for each broken rule."""
    try:
        passwords.check_new_password(password, email=email, full_name=full_name)
    except ValidationError as error:
        raise WeakPassword(list(error.messages)) from None


def _active_accounts(realm: Realm) -> Any:
    return realm.accounts._default_manager.filter(is_active=True)


def _open_sessions(realm: Realm) -> Any:
    return realm.sessions._default_manager.filter(ended_at=None, expires_at__gt=timezone.now())
