from contextlib import suppress
from typing import BinaryIO
from uuid import UUID

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from shop.menu.categories.actions import menu_change
from shop.menu.errors import ProductNotFound
from shop.menu.models import Product
from shop.menu.pictures.forms import read_picture
from tenants.refs import TenantRef


def picture_key(cafeteria_uuid: UUID, name: str) -> str:
    """Where the default storage has a picture; `name` is <digest>-<size>.webp."""
    return f"cafeterias/{cafeteria_uuid}/{name}"


def store_picture(*, cafeteria: TenantRef, raw: bytes) -> str:
    """Stores an uploaded picture in its sizes and answers its digest, for use_picture. PictureRefused.

    Call it outside of a scope: the storage may be far away. A picture that is never used does no harm.
    """
    picture = read_picture(raw)
    for size, content in picture.files.items():
        _store(picture_key(cafeteria.uuid, f"{picture.digest}-{size}.webp"), content)
    return picture.digest


def use_picture(*, product_id: int, digest: str) -> Product:
    """Shows a stored picture with the product. ProductNotFound. The one before stays in the storage: a restore may ask for it."""
    with menu_change():
        product = Product.objects.select_for_update(no_key=True).filter(pk=product_id, archived_at=None).first()
        if product is None:
            raise ProductNotFound
        product.image = digest
        product.save(update_fields=["image", "updated_at"])
    return product


def remove_picture(*, product_id: int) -> Product:
    """The product is shown without a picture. ProductNotFound. Takes nothing from the storage."""
    return use_picture(product_id=product_id, digest="")


def open_picture(*, cafeteria: TenantRef, name: str) -> BinaryIO | None:
    """The stored file, or None when this cafeteria has none of that name."""
    with suppress(FileNotFoundError):
        file: BinaryIO = default_storage.open(picture_key(cafeteria.uuid, name))  # type: ignore[assignment]
        return file
    return None


def _store(key: str, content: bytes) -> None:
    """Content under a name made of it never changes: what is there whole stays. A cut-off file of a killed process is written anew."""
    if default_storage.exists(key):
        if default_storage.size(key) == len(content):
            return
        default_storage.delete(key)
    stored = default_storage.save(key, ContentFile(content))
    if stored != key:  # Somebody else stored the same at the same time.
        default_storage.delete(stored)
