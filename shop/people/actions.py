"""The people of one cafeteria. Everything here runs inside its scope; signing in and out is in core.identity.actions."""

from datetime import timedelta
from uuid import uuid4

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from core import passwords, tokens
from core.audit.actions import record
from core.errors import NotAllowed
from core.identity.actions import SignedIn
from core.identity.callers import Caller, Claims
from core.identity.emails import normalise_email
from core.identity.errors import EmailTaken
from shop.people.errors import NotAStaffRole, OwnerUntouchable, PersonNotFound
from shop.people.models import Person, PersonSession
from tenants.scope import current_tenant

GIVEN_ROLES = frozenset({Person.Role.KITCHEN, Person.Role.CASHIER, Person.Role.MANAGER})


@transaction.atomic
def admit_owner(*, email: str, full_name: str, platform_user_id: int) -> Person:
    """The person as whom the platform's user comes in: made when missing, brought up to date when there. Does not sign in.

    Whoever had registered here with that address before loses the password and every session: the address was never proven.
    """
    person = Person.objects.select_for_update().filter(platform_user_id=platform_user_id).first()
    if person is None:
        person = Person.objects.select_for_update().filter(email=email).first() or Person(email=email)
        if person.pk is not None:
            end_sessions(person)
            person.token_version += 1
        person.password = passwords.unusable_password()
        person.platform_user_id = platform_user_id
    person.full_name, person.role, person.is_active = full_name, Person.Role.OWNER, True
    person.save()
    return person


@transaction.atomic
def admit_support(*, full_name: str, platform_user_id: int) -> Person:
    """The person as whom an admin comes in with the owner's consent: at most what a manager may. Does not sign in.

    Never the account of somebody else: its address is one that nobody can have.
    """
    email = f"support-{platform_user_id}@comanda.invalid"
    person = Person.objects.select_for_update().filter(platform_user_id=platform_user_id).first()
    if person is None:
        person = Person.objects.select_for_update().filter(email=email).first() or Person(email=email)
        if person.pk is not None:
            end_sessions(person)
            person.token_version += 1
        person.password = passwords.unusable_password()
        person.platform_user_id = platform_user_id
    person.full_name, person.role, person.is_active = f"Comanda · {full_name}"[:120], Person.Role.MANAGER, True
    person.save()
    return person


def start_handed_off_session(person: Person, *, life: timedelta | None = None) -> SignedIn:
    """A session for somebody whom the platform has vouched for."""
    session_id = uuid4()
    expires_at = timezone.now() + (life or settings.REFRESH_TOKEN_LIFE)
    PersonSession.objects.create(id=session_id, person=person, expires_at=expires_at)
    who = Claims(account_id=person.pk, session_id=session_id, token_version=person.token_version)
    return SignedIn(who=who, audience=current_tenant().audience, rotation=1)


def issue_owner_token(*, email: str, full_name: str, platform_user_id: int) -> str:
    """An access token of the owner for this cafeteria's host. It cannot be refreshed, and its session ends with it."""
    person = admit_owner(email=email, full_name=full_name, platform_user_id=platform_user_id)
    signed_in = start_handed_off_session(person, life=settings.ACCESS_TOKEN_LIFE)
    return tokens.issue_access(signed_in.audience, signed_in.who)


def issue_support_token(*, full_name: str, platform_user_id: int, life: timedelta) -> str:
    """As issue_owner_token, for an admin with the owner's consent; ends with `life` at the latest."""
    person = admit_support(full_name=full_name, platform_user_id=platform_user_id)
    signed_in = start_handed_off_session(person, life=min(life, settings.ACCESS_TOKEN_LIFE))
    return tokens.issue_access(signed_in.audience, signed_in.who)


def create_staff(*, email: str, full_name: str, role: str, password: str, actor: Caller) -> Person:
    """A new member of the staff. Raises NotAStaffRole, InvalidEmail, EmailTaken. `password` comes hashed. Audited."""
    _check_may_change(actor)
    _check_given_role(role)
    person = Person(email=normalise_email(email), full_name=full_name, role=role, password=password)
    try:
        with transaction.atomic():
            person.save()
    except IntegrityError:
        raise EmailTaken from None
    _record("person.created", person, actor, role=role)
    return person


@transaction.atomic
def set_role(*, person_id: int, role: str, actor: Caller) -> Person:
    """Gives another role, or makes a customer of them again; it counts from their next request on. Never the owner's. Audited."""
    _check_may_change(actor)
    if role != Person.Role.CUSTOMER:
        _check_given_role(role)
    person = _locked(person_id)
    person.role = role
    person.save(update_fields=["role"])
    _record("person.role_set", person, actor, role=role)
    return person


@transaction.atomic
def deactivate(*, person_id: int, actor: Caller) -> Person:
    """Ends the person's sessions and keeps them from signing in; their orders stay. Never the owner. Audited."""
    _check_may_change(actor)
    person = _locked(person_id)
    person.is_active = False
    person.save(update_fields=["is_active"])
    end_sessions(person)
    _record("person.deactivated", person, actor)
    return person


@transaction.atomic
def activate(*, person_id: int, actor: Caller) -> Person:
    """Lets a deactivated person sign in again. Audited."""
    _check_may_change(actor)
    person = _locked(person_id)
    person.is_active = True
    person.save(update_fields=["is_active"])
    _record("person.activated", person, actor)
    return person


def lock_copied_people(*, with_staff: bool) -> None:
    """In a copy of a cafeteria: every session ends, and nobody can sign in with a password, `with_staff` but the staff's.

    Its owner comes by hand-off from the platform. settings.CAFETERIA_COPIED names this.
    """
    PersonSession.objects.all().delete()
    shut_out = Person.objects.exclude(role__in=Person.STAFF) if with_staff else Person.objects.exclude(role=Person.Role.OWNER)
    shut_out.update(is_active=False)
    locked = Person.objects.filter(role=Person.Role.CUSTOMER) if with_staff else Person.objects.all()
    locked.update(password=passwords.unusable_password())
    Person.objects.update(token_version=F("token_version") + 1)


def end_sessions(person: Person) -> None:
    Person.objects.filter(pk=person.pk).update(token_version=F("token_version") + 1)
    PersonSession.objects.filter(person=person, ended_at=None).update(ended_at=timezone.now())


def update_details(*, person_id: int, full_name: str, phone: str) -> None:
    """What a person may change of their own account without a proof."""
    Person.objects.filter(pk=person_id).update(full_name=full_name, phone=phone)


def _locked(person_id: int) -> Person:
    person = Person.objects.select_for_update().filter(pk=person_id).first()
    if person is None:
        raise PersonNotFound
    if person.role == Person.Role.OWNER:
        raise OwnerUntouchable
    return person


def _check_may_change(actor: Caller) -> None:
    """Raises NotAllowed for the platform's support: who belongs to a cafeteria is its owner's affair, and nobody lets themselves in."""
    if actor.is_support:
        raise NotAllowed


def _check_given_role(role: str) -> None:
    if role not in GIVEN_ROLES:
        raise NotAStaffRole(role=role)


def _record(action: str, person: Person, actor: Caller, **data: str) -> None:
    record(action, actor=actor, cafeteria_uuid=current_tenant().uuid, target=person.email, **data)
