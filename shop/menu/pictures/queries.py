from collections.abc import Callable
from typing import Any
from uuid import UUID

from shop.menu.pictures.actions import picture_key
from shop.menu.pictures.forms import LARGE, SMALL


def picture_keys(rows: Callable[[str], list[tuple[Any, ...]]], cafeteria_uuid: UUID) -> list[str]:
    """The storage's keys of what the products show, archived ones included. `rows` runs a query; settings.BACKUP_MEDIA names this."""
    digests = [digest for (digest,) in rows("SELECT DISTINCT image FROM shop_product WHERE image <> '' ORDER BY image")]
    return [picture_key(cafeteria_uuid, f"{digest}-{size}.webp") for digest in digests for size in (LARGE, SMALL)]
