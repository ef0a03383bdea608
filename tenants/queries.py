from collections.abc import Collection
from uuid import UUID

from django.db.models import QuerySet

from tenants.errors import CafeteriaNotFound
from tenants.models import Cafeteria
from tenants.refs import REF_NAMES, TenantRef


def ref_for(cafeteria: Cafeteria) -> TenantRef:
    """The reference for a scope, as of the row in hand."""
    return TenantRef(**{name: getattr(cafeteria, name) for name in REF_NAMES})


def ref_by_uuid(uuid: UUID) -> TenantRef:
    """In whatever state it is: the scope refuses what may not be. Raises CafeteriaNotFound."""
    return _ref(Cafeteria.objects.filter(uuid=uuid))


def ref_by_slug(slug: str) -> TenantRef:
    """As ref_by_uuid."""
    return _ref(Cafeteria.objects.filter(slug=slug))


def ref_by_id(cafeteria_id: int) -> TenantRef:
    """As ref_by_uuid."""
    return _ref(Cafeteria.objects.filter(pk=cafeteria_id))


def open_cafeterias() -> QuerySet[Cafeteria]:
    """The directory, by name. Copies are nobody's business."""
    return Cafeteria.objects.filter(status=Cafeteria.Status.OPEN, copy_of=None).order_by("name", "id")


def cafeterias_of(owner_id: int) -> QuerySet[Cafeteria]:
    """Those of an owner that are not closed, by name."""
    return Cafeteria.objects.filter(owner_id=owner_id).exclude(status=Cafeteria.Status.CLOSED).order_by("name", "id")


def slugs_of(uuids: Collection[UUID]) -> dict[UUID, str]:
    """Of those that there are."""
    return dict(Cafeteria.objects.filter(uuid__in=uuids).values_list("uuid", "slug"))


def _ref(found: QuerySet[Cafeteria]) -> TenantRef:
    cafeteria = found.first()
    if cafeteria is None:
        raise CafeteriaNotFound
    return ref_for(cafeteria)
