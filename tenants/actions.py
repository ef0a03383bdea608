"""Everything that happens to a cafeteria as a whole. Each change bumps its revision, so that no process goes on with an older reference."""

import uuid
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from typing import Any, TypedDict
from zoneinfo import available_timezones

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone as clock
from django.utils.module_loading import import_string

from core.audit.actions import record
from core.identity.callers import Caller
from core.jobs import enqueue
from core.money import DECIMALS
from tenants import routing
from tenants.copies import next_cafeteria_id
from tenants.domains import MOST as MOST_DOMAINS
from tenants.domains import checked_domain, in_ascii
from tenants.errors import (
    CafeteriaNotFound,
    CrossedTenantScope,
    CurrencyInUse,
    DomainTaken,
    InvalidDetails,
    InvalidLifecycle,
    NoSuchDomain,
    SlugTaken,
    TooManyDomains,
)
from tenants.locks import cafeteria_lock, wait_for_lock
from tenants.models import Cafeteria, Domain, Pulse
from tenants.provisioning.schema import drop_schema, make_schema
from tenants.provisioning.template import Template, current_template
from tenants.queries import ref_for
from tenants.scope import current_tenant_or_none, tenant_scope
from tenants.slugs import check_slug, free_slugs

Status = Cafeteria.Status
DETAILS = frozenset({"name", "description", "address", "timezone", "currency", "brand", "language", "day_cutoff", "accepts_orders"})


class OwnerPerson(TypedDict):
    """The owner, as the new cafeteria will know them."""

    email: str
    full_name: str


def open_cafeteria(  # noqa: PLR0913 - what a form has
    *,
    owner_id: int,
    name: str,
    slug: str | None = None,
    description: str = "",
    address: str = "",
    timezone: str = "America/Argentina/Buenos_Aires",
    currency: str = "ARS",
    language: str = "es",
    brand: str = "terracotta",
    owner_person: OwnerPerson | None = None,
) -> Cafeteria:
    """A new cafeteria, open, with its schema at the code's head and its owner in it: all of it or nothing.

    Without a slug one is derived from the name, with a suffix when it is taken. Safe when many are opened at once.
    Raises SlugTaken, SlugReserved, InvalidSlug, InvalidDetails. Not inside a cafeteria's scope.
    """
    if current_tenant_or_none() is not None:
        raise CrossedTenantScope("A cafeteria cannot be opened inside the scope of another one.")
    details = {"name": name, "description": description, "address": address, "timezone": timezone}
    details |= {"currency": currency, "language": language, "brand": brand}
    check_details(details)
    if slug is not None:
        check_slug(slug)
    template = current_template()
    with transaction.atomic():
        cafeteria = _insert(slugs=[slug] if slug else free_slugs(name), head=template.head, owner_id=owner_id, **details)
        _furnish(cafeteria, template)
        if owner_person is not None:
            _welcome(cafeteria, owner_person)
    return cafeteria


def suspend_cafeteria(*, cafeteria_id: int) -> Cafeteria:
    """Its site answers 503 from now on; its data stays. Raises InvalidLifecycle unless it is open."""
    return _move(cafeteria_id, to=Status.SUSPENDED, allowed=[Status.OPEN])


def resume_cafeteria(*, cafeteria_id: int) -> Cafeteria:
    """Raises InvalidLifecycle unless it is suspended."""
    return _move(cafeteria_id, to=Status.OPEN, allowed=[Status.SUSPENDED])


def close_cafeteria(*, cafeteria_id: int) -> Cafeteria:
    """For good: its site answers 404 from now on. The schema is kept for CLOSED_KEEP_DAYS, then a job drops it; the slug stays taken.

    Raises InvalidLifecycle when it is closed already.
    """
    with transaction.atomic():
        cafeteria = _move(cafeteria_id, to=Status.CLOSED, allowed=[Status.OPEN, Status.SUSPENDED], closed_at=clock.now())
        enqueue(
            "tenants.jobs.drop_closed_cafeteria",
            queue="long",
            cafeteria_uuid=cafeteria.uuid,
            idempotency_key=f"drop:{cafeteria.uuid}",
            run_after=_dropped_after(cafeteria),
        )
        for name in settings.CAFETERIA_CLOSED:
            import_string(name)(cafeteria)
    return cafeteria


def drop_closed_cafeteria(*, cafeteria_id: int) -> bool:
    """Drop the schema of a cafeteria that was closed for long enough; its row stays. False, and nothing done, when it is not due.

    Killed halfway, it goes on when it is called again. What stands above may object (settings.CAFETERIA_BEFORE_DROP), by raising.
    """
    closed = Cafeteria.objects.filter(pk=cafeteria_id, status=Status.CLOSED).first()
    if closed is not None and closed.schema_head and clock.now() >= _dropped_after(closed):
        for name in settings.CAFETERIA_BEFORE_DROP:
            import_string(name)(closed)
    with transaction.atomic():
        wait_for_lock(cafeteria_lock(cafeteria_id))
        cafeteria = Cafeteria.objects.filter(pk=cafeteria_id, status=Status.CLOSED).first()
        if cafeteria is None or clock.now() < _dropped_after(cafeteria):
            return False
        # First of all, so that a fleet migration leaves a schema alone that is half gone.
        Cafeteria.objects.filter(pk=cafeteria_id).update(schema_head="", revision=F("revision") + 1)
    drop_schema(cafeteria.schema_name)
    return True


def update_cafeteria(*, cafeteria_id: int, **changes: Any) -> Cafeteria:
    """Change details, those of DETAILS that are given. Raises CafeteriaNotFound (closed too), InvalidDetails, CurrencyInUse."""
    if unknown := changes.keys() - DETAILS:
        raise TypeError(f"update_cafeteria() cannot change {', '.join(sorted(unknown))}")
    check_details(changes)
    with transaction.atomic():
        cafeteria = _locked(cafeteria_id)
        if cafeteria.status == Status.CLOSED:
            raise CafeteriaNotFound
        if changes.get("currency", cafeteria.currency) != cafeteria.currency and _has_orders(cafeteria):
            raise CurrencyInUse
        _save(cafeteria, **changes)
    return cafeteria


def touch_cafeteria(*, cafeteria_id: int) -> Cafeteria:
    """Void every reference to it, as after a change of its domains."""
    with transaction.atomic():
        cafeteria = _locked(cafeteria_id)
        _save(cafeteria)
    return cafeteria


def add_domain(*, cafeteria_id: int, domain: str, by: Caller | None = None, label: str = "") -> Domain:
    """Its site answers on this domain too, from the next request on. Nothing when it has it already. Audited.

    Raises InvalidDomain, DomainReserved, DomainTaken, TooManyDomains, CafeteriaNotFound (closed too).
    """
    name = checked_domain(domain)
    with transaction.atomic():
        cafeteria = _locked(cafeteria_id)
        if cafeteria.status == Status.CLOSED:
            raise CafeteriaNotFound
        known: Domain | None = Domain.objects.filter(domain=name).first()
        if known is not None:
            if known.tenant_id != cafeteria.pk:
                raise DomainTaken(domain=name)
            return known
        if Domain.objects.filter(tenant_id=cafeteria.pk).count() >= MOST_DOMAINS:
            raise TooManyDomains(most=MOST_DOMAINS)
        added = Domain(domain=name, tenant_id=cafeteria.pk, is_primary=False)
        try:
            with transaction.atomic():
                Domain.objects.bulk_create([added])
        except IntegrityError:  # Another cafeteria was quicker.
            raise DomainTaken(domain=name) from None
        record("cafeteria.domain_added", actor=by, cafeteria_uuid=cafeteria.uuid, target=name[:120], label=label)
        _save(cafeteria)
    return added


def remove_domain(*, cafeteria_id: int, domain: str, by: Caller | None = None, label: str = "") -> None:
    """Its site answers 404 on this domain from now on. Audited. Raises NoSuchDomain, CafeteriaNotFound."""
    name = in_ascii(domain.strip().lower().removesuffix("."))
    with transaction.atomic():
        cafeteria = _locked(cafeteria_id)
        gone, _ = Domain.objects.filter(tenant_id=cafeteria.pk, domain=name).delete()
        if not gone:
            raise NoSuchDomain(domain=domain[:80])
        record("cafeteria.domain_removed", actor=by, cafeteria_uuid=cafeteria.uuid, target=name[:120], label=label)
        _save(cafeteria)


def check_details(details: dict[str, Any]) -> None:
    """InvalidDetails for the first one that no cafeteria can have."""
    for field, value in details.items():
        if not _is_valid(field, value):
            raise InvalidDetails(field=field, value=str(value)[:80])


def _is_valid(field: str, value: Any) -> bool:
    if field == "accepts_orders":
        return isinstance(value, bool)
    if field == "day_cutoff":
        return hasattr(value, "hour")
    if not isinstance(value, str) or "\x00" in value:
        return False
    if field == "timezone":
        return value in _timezones()
    if field == "currency":
        return value in DECIMALS
    if field == "language":
        return value in dict(settings.LANGUAGES)
    longest = Cafeteria._meta.get_field(field).max_length
    return (longest is None or len(value) <= longest) and (field != "name" or bool(value.strip()))


@cache
def _timezones() -> frozenset[str]:
    # "localtime" and "Factory" mean something else on each machine.
    return frozenset(name for name in available_timezones() if "/" in name or name == "UTC")


def _insert(*, slugs: Iterable[str], head: str, **values: Any) -> Cafeteria:
    for slug in slugs:
        number = next_cafeteria_id()
        cafeteria = Cafeteria(id=number, schema_name=f"t_{number}", slug=slug, uuid=uuid.uuid4(), schema_head=head, **values)
        try:
            with transaction.atomic():
                Cafeteria.objects.bulk_create([cafeteria])  # not save(), which is django-tenants' own
                return cafeteria
        except IntegrityError:
            continue  # Somebody has just taken it.
    raise SlugTaken(slug=slug)


def _furnish(cafeteria: Cafeteria, template: Template) -> None:
    Pulse.objects.bulk_create([Pulse(cafeteria=cafeteria)])
    make_schema(ref_for(cafeteria), statements=template.statements, migrations=template.migrations)


def _welcome(cafeteria: Cafeteria, owner: OwnerPerson) -> None:
    """What stands above tenants and fills a new cafeteria: dotted names in the settings."""
    with tenant_scope(ref_for(cafeteria)):
        for name in settings.CAFETERIA_OPENED:
            import_string(name)(email=owner["email"], full_name=owner["full_name"], platform_user_id=cafeteria.owner_id)


def _has_orders(cafeteria: Cafeteria) -> bool:
    with tenant_scope(ref_for(cafeteria), also_suspended=True):
        return bool(import_string(settings.CAFETERIA_HAS_ORDERS)())


def _dropped_after(cafeteria: Cafeteria) -> Any:
    assert cafeteria.closed_at is not None
    return cafeteria.closed_at + timedelta(days=settings.CLOSED_KEEP_DAYS)


def _move(cafeteria_id: int, *, to: Status, allowed: list[Status], **values: Any) -> Cafeteria:
    with transaction.atomic():
        cafeteria = _locked(cafeteria_id)
        if cafeteria.status not in allowed:
            raise InvalidLifecycle(status=cafeteria.status, wanted=to.value)
        _save(cafeteria, status=to, **values)
    return cafeteria


def _locked(cafeteria_id: int) -> Cafeteria:
    cafeteria = Cafeteria.objects.select_for_update().filter(pk=cafeteria_id).first()
    if cafeteria is None:
        raise CafeteriaNotFound
    return cafeteria


def _save(cafeteria: Cafeteria, **values: Any) -> None:
    """Of a locked row: what changed and the revision, and nothing else."""
    values["revision"] = cafeteria.revision + 1
    for field, value in values.items():
        setattr(cafeteria, field, value)
    Cafeteria.objects.filter(pk=cafeteria.pk).update(**values)
    transaction.on_commit(lambda: routing.forget(cafeteria.pk))
