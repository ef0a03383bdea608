"""What the platform's users do beside signing in (core.identity.actions): hand-offs to their cafeterias, and admins."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from accounts.digests import digest
from accounts.errors import HandoffInvalid
from accounts.models import Handoff, User
from accounts.second_factor.codes import check_enrolled
from accounts.support import check_support, supporter
from core import passwords
from core.audit.actions import record
from core.identity.actions import check_password_rules
from core.identity.callers import Caller
from core.identity.emails import normalise_email
from core.identity.errors import EmailTaken
from tenants.errors import CafeteriaNotFound
from tenants.models import Cafeteria

HANDOFF_LIFE = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class HandedOff:
    """The platform's user who comes into a cafeteria by a hand-off."""

    user_id: int
    email: str
    full_name: str
    support_until: datetime | None = None  # for an admin: when the owner's consent ends


def check_may_enter(cafeteria: Cafeteria, *, caller: Caller) -> None:
    """Raises CafeteriaNotFound for somebody else's cafeteria, SupportAccessRequired for an admin without the owner's consent.

    And SecondFactorMissing for an admin who must have one first.
    """
    if caller.is_admin:
        check_enrolled(caller)
        check_support(cafeteria.pk)
    elif cafeteria.owner_id != caller.id:
        raise CafeteriaNotFound


@transaction.atomic
def issue_handoff(cafeteria: Cafeteria, *, caller: Caller, browser_hash: str) -> str:
    """A code that lets the caller into the cafeteria's site once, within a minute, in one browser: that with the secret of this hash.

    Bound to the browser, so that nobody can be signed in as somebody else by being sent a link. Audited. Raises as check_may_enter.
    """
    check_may_enter(cafeteria, caller=caller)
    Handoff.objects.filter(expires_at__lt=timezone.now() - timedelta(days=1)).delete()
    code = secrets.token_urlsafe(32)
    Handoff.objects.create(
        code_hash=digest(code),
        browser_hash=browser_hash,
        user_id=caller.id,
        cafeteria_id=cafeteria.pk,
        expires_at=timezone.now() + HANDOFF_LIFE,
    )
    record("cafeteria.entered", actor=caller, cafeteria_uuid=cafeteria.uuid, target=cafeteria.slug)
    return code


def redeem_handoff(*, code: str, browser: str, cafeteria_id: int) -> HandedOff:
    """Uses the code up and says who comes. Raises HandoffInvalid for a used, late, foreign or forged one. Outside of any scope."""
    now = timezone.now()
    mine = Handoff.objects.filter(code_hash=digest(code), browser_hash=digest(browser), cafeteria_id=cafeteria_id)
    if not mine.filter(used_at=None, expires_at__gt=now).update(used_at=now):
        raise HandoffInvalid
    user = User.objects.filter(pk__in=mine.values("user_id"), is_active=True).first()
    if user is None:
        raise HandoffInvalid
    admin = supporter(user_id=user.pk, cafeteria_id=cafeteria_id)
    if admin is None and not Cafeteria.objects.filter(pk=cafeteria_id, owner_id=user.pk).exists():
        raise HandoffInvalid
    until = admin.until if admin else None
    return HandedOff(user_id=user.pk, email=user.email, full_name=user.full_name, support_until=until)


def create_admin(*, email: str, full_name: str, password: str) -> User:
    """A new admin of the platform. Raises InvalidEmail, WeakPassword, EmailTaken. Only a command does this. Audited."""
    email = normalise_email(email)
    check_password_rules(password, email=email, full_name=full_name)
    encoded = passwords.hash_password(password)
    with transaction.atomic():
        user, made = User.objects.get_or_create(
            email=email, defaults={"full_name": full_name, "password": encoded, "role": User.Role.ADMIN}
        )
        if not made:
            raise EmailTaken
        record("admin.created", target=email, label="manage.py create_admin")
    return user
