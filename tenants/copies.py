"""A copy of a cafeteria, made from a backup: one of its own, with another uuid, address and id, that concerns nobody but the staff."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from tenants.errors import CafeteriaNotFound, SlugTaken
from tenants.models import Cafeteria, Pulse
from tenants.slugs import check_slug

KEPT = ("description", "address", "day_cutoff", "language", "brand", "owner_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """What a cafeteria that is still to come will be called."""

    id: int
    uuid: UUID
    slug: str

    @property
    def schema_name(self) -> str:
        return f"t_{self.id}"


def next_cafeteria_id() -> int:
    """A number that no cafeteria has or will have: it is given once."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('public.tenants_cafeteria', 'id'))")
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def check_free_slug(slug: str) -> None:
    """Raises InvalidSlug, SlugReserved, SlugTaken."""
    check_slug(slug)
    if Cafeteria.objects.filter(slug=slug).exists():
        raise SlugTaken(slug=slug)


def add_copy(
    place: Place, *, original: UUID, moment: datetime, head: str, name: str, currency: str, timezone: str, closes_at: datetime | None = None
) -> Cafeteria:
    """The row of a copy whose schema is made in the same transaction. It is open, has the same owner, and takes no orders from a site.

    Raises SlugTaken, CafeteriaNotFound.
    """
    theirs = Cafeteria.objects.filter(uuid=original).first()
    if theirs is None:
        raise CafeteriaNotFound
    copy = Cafeteria(
        id=place.id,
        uuid=place.uuid,
        slug=place.slug,
        schema_name=place.schema_name,
        schema_head=head,
        name=name,
        currency=currency,
        timezone=timezone,
        accepts_orders=False,
        copy_of=original,
        copied_moment=moment,
        closes_at=closes_at,
        **{field: getattr(theirs, field) for field in KEPT},
    )
    try:
        with transaction.atomic():
            Cafeteria.objects.bulk_create([copy])
    except IntegrityError:
        raise SlugTaken(slug=place.slug) from None
    Pulse.objects.bulk_create([Pulse(cafeteria=copy)])
    return copy


def copied_from(cafeteria_id: int) -> tuple[str, datetime, datetime | None]:
    """(the slug of the cafeteria that a copy was made of, the moment that it shows, when it is closed by itself)."""
    copy_of, moment, closes_at = Cafeteria.objects.values_list("copy_of", "copied_moment", "closes_at").get(pk=cafeteria_id)
    assert moment is not None
    return Cafeteria.objects.values_list("slug", flat=True).get(uuid=copy_of), moment, closes_at
