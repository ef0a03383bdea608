from dataclasses import dataclass
from datetime import time
from uuid import UUID
from zoneinfo import ZoneInfo

# The columns of tenants_cafeteria that make a TenantRef, in its order.
REF_COLUMNS = (
    "id, uuid, schema_name, slug, name, status, generation, revision, currency, timezone, day_cutoff, language, brand, accepts_orders, "
    "copy_of"
)
REF_NAMES = tuple(REF_COLUMNS.split(", "))


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantRef:
    """What a request or a job needs to know of its cafeteria, without a model instance."""

    id: int
    uuid: UUID
    schema_name: str  # opaque, immutable
    slug: str
    name: str
    status: str  # a value of Cafeteria.Status
    generation: int  # counts restores: tokens, sessions and caches of an older one are void
    revision: int  # counts changes of the row and its domains: an older one is stale
    currency: str  # ISO 4217
    timezone: str  # IANA name
    day_cutoff: time  # local time at which the business day ends
    language: str
    brand: str
    accepts_orders: bool  # false while the cafeteria has paused orders from its site
    copy_of: UUID | None = None  # the cafeteria that it is a neutralised copy of: for the staff alone, without money, mail and webhooks

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def audience(self) -> str:
        """Whom a token or a session is for: this cafeteria, as of this generation."""
        return f"cafeteria:{self.uuid}:{self.generation}"


def ref_from_row(row: tuple[object, ...]) -> TenantRef:
    """A TenantRef from a database row with REF_COLUMNS."""
    return TenantRef(**dict(zip(REF_NAMES, row, strict=True)))  # type: ignore[arg-type]
