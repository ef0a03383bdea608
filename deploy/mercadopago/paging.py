"""Pages of a search."""

from dataclasses import dataclass
from typing import Any

from deploy.mercadopago.errors import bad_request

LARGEST = 100


@dataclass(frozen=True, kw_only=True)
class Paging:
    limit: int
    offset: int


def read_paging(query: dict[str, str]) -> Paging:
    """Raises ApiError (400)."""
    try:
        limit, offset = int(query.get("limit", 30)), int(query.get("offset", 0))
    except ValueError:
        raise bad_request("limit and offset must be whole numbers", error="invalid_paging") from None
    if not 0 < limit <= LARGEST or offset < 0:
        raise bad_request(f"limit must be 1 to {LARGEST}, offset 0 or more", error="invalid_paging")
    return Paging(limit=limit, offset=offset)


def paged(paging: Paging, total: int) -> dict[str, Any]:
    return {"paging": {"total": total, "limit": paging.limit, "offset": paging.offset}}
