"""Support access: an admin enters a cafeteria only while its owner lets the platform's support in.

The consent is in public and is asked for at each request, so that ending it counts at once, and a restore of the cafeteria changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from accounts.errors import SupportAccessRequired
from accounts.models import SupportAccess, SupportRequest, User
from core.audit.actions import record
from core.errors import NotAllowed
from core.identity.callers import Caller
from tenants.errors import CafeteriaNotFound
from tenants.models import Cafeteria
from tenants.refs import TenantRef

LIVES = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
VISIT_LIFE = timedelta(hours=1)  # of one sign-in of an admin, at most: then in again from the console


@dataclass(frozen=True, kw_only=True, slots=True)
class Supporter:
    """An admin who may be in a cafeteria now, and until when the owner's consent lasts."""

    email: str
    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How support access to a cafeteria stands."""

    until: datetime | None  # while there is consent
    asked: SupportRequest | None  # what an admin waits for


@transaction.atomic
def grant_support(*, cafeteria_id: int, life: str, caller: Caller) -> SupportAccess:
    """The platform's support may come in from now on, for a key of LIVES; a request is settled, an earlier consent ends. Audited.

    Raises CafeteriaNotFound for somebody else's, or one that is closed.
    """
    cafeteria = _locked(cafeteria_id, caller)
    now = timezone.now()
    SupportAccess.objects.filter(cafeteria_id=cafeteria_id, ended_at=None).update(ended_at=now)
    SupportRequest.objects.filter(cafeteria_id=cafeteria_id, settled_at=None).update(settled_at=now)
    access = SupportAccess.objects.create(cafeteria_id=cafeteria_id, granted_by_id=caller.id, granted_at=now, expires_at=now + LIVES[life])
    until = access.expires_at.isoformat()
    record("support.granted", actor=caller, cafeteria_uuid=cafeteria.uuid, target=cafeteria.slug, until=until)
    return access


@transaction.atomic
def end_support(*, cafeteria_id: int, caller: Caller) -> None:
    """Ends the consent, or declines a request; whoever is in is out with their next request. Once more is fine. Audited.

    Raises CafeteriaNotFound for somebody else's, or one that is closed.
    """
    cafeteria = _locked(cafeteria_id, caller)
    now = timezone.now()
    ended = SupportAccess.objects.filter(cafeteria_id=cafeteria_id, ended_at=None).update(ended_at=now)
    declined = SupportRequest.objects.filter(cafeteria_id=cafeteria_id, settled_at=None).update(settled_at=now)
    if ended or declined:
        record("support.ended" if ended else "support.declined", actor=caller, cafeteria_uuid=cafeteria.uuid, target=cafeteria.slug)


@transaction.atomic
def give_up_support(*, cafeteria: TenantRef, caller: Caller) -> None:
    """An admin inside needs it no more: the owner's consent ends, and whoever is in is out with their next request. Audited.

    Works inside the cafeteria's scope. Raises NotAllowed for anybody but the support: the owner has end_support.
    """
    if not caller.is_support:
        raise NotAllowed
    if SupportAccess.objects.filter(cafeteria_id=cafeteria.id, ended_at=None).update(ended_at=timezone.now()):
        record("support.ended", actor=caller, cafeteria_uuid=cafeteria.uuid, target=cafeteria.slug)


@transaction.atomic
def ask_for_support(*, cafeteria_id: int, reason: str, caller: Caller) -> SupportRequest:
    """An admin asks the owner for access; while one request waits, that one. Audited. Raises CafeteriaNotFound."""
    cafeteria = Cafeteria.objects.select_for_update().filter(pk=cafeteria_id).exclude(status=Cafeteria.Status.CLOSED).first()
    if cafeteria is None or not caller.is_admin:
        raise CafeteriaNotFound
    waiting = SupportRequest.objects.filter(cafeteria_id=cafeteria_id, settled_at=None).first()
    if waiting is not None:
        return waiting
    asked = SupportRequest.objects.create(cafeteria_id=cafeteria_id, asked_by_id=caller.id, reason=reason)
    record("support.asked", actor=caller, cafeteria_uuid=cafeteria.uuid, target=cafeteria.slug, reason=reason)
    return asked


def check_support(cafeteria_id: int) -> datetime:
    """Until when the owner's consent lasts. Raises SupportAccessRequired without one."""
    until = support_until(cafeteria_id)
    if until is None:
        raise SupportAccessRequired
    return until


def support_until(cafeteria_id: int) -> datetime | None:
    until: datetime | None = _valid([cafeteria_id]).values_list("expires_at", flat=True).first()
    return until


def owner_name(cafeteria_id: int) -> str:
    """Who can end it. Works inside the cafeteria's scope too."""
    owner = Cafeteria.objects.filter(pk=cafeteria_id).values("owner_id")
    return User.objects.filter(pk__in=owner).values_list("full_name", flat=True).first() or ""


def supporter(*, user_id: int, cafeteria_id: int) -> Supporter | None:
    """The admin, if still one and the consent still holds. Works inside the cafeteria's scope too."""
    email = User.objects.filter(pk=user_id, role=User.Role.ADMIN, is_active=True).values_list("email", flat=True).first()
    until = support_until(cafeteria_id) if email else None
    return Supporter(email=email, until=until) if email and until else None


def visit_life(until: datetime) -> timedelta:
    return min(VISIT_LIFE, max(until - timezone.now(), timedelta(0)))


def standings_of(cafeteria_ids: Iterable[int]) -> dict[int, Standing]:
    """Two queries however many."""
    ids = list(cafeteria_ids)
    until = dict(_valid(ids).values_list("cafeteria_id", "expires_at"))
    asked = {asked.cafeteria_id: asked for asked in SupportRequest.objects.filter(cafeteria_id__in=ids, settled_at=None)}
    return {pk: Standing(until=until.get(pk), asked=asked.get(pk)) for pk in ids}


def _valid(cafeteria_ids: list[int]) -> QuerySet[SupportAccess]:
    # The consent of somebody who owns it no more is none.
    owned = Cafeteria.objects.filter(pk=OuterRef("cafeteria_id"), owner_id=OuterRef("granted_by_id"))
    return SupportAccess.objects.filter(Exists(owned), cafeteria_id__in=cafeteria_ids, ended_at=None, expires_at__gt=timezone.now())


def _locked(cafeteria_id: int, caller: Caller) -> Cafeteria:
    mine = Cafeteria.objects.select_for_update().filter(pk=cafeteria_id, owner_id=caller.id)
    cafeteria: Cafeteria | None = mine.exclude(status=Cafeteria.Status.CLOSED).first()
    if cafeteria is None:
        raise CafeteriaNotFound
    return cafeteria
