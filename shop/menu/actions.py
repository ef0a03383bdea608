"""Every change of the menu: the only way in. Each owns its transaction, needs a scope, and bumps the menu's pulse (tenants.pulse)."""

from shop.menu.categories.actions import create_category, delete_category, rename_category, reorder_categories
from shop.menu.imports.actions import export_menu, import_menu
from shop.menu.pictures.actions import remove_picture, store_picture, use_picture
from shop.menu.products.actions import (
    archive_product,
    create_product,
    reorder_products,
    set_availability,
    set_stock,
    update_product,
)

__all__ = [
    "archive_product",
    "create_category",
    "create_product",
    "delete_category",
    "export_menu",
    "import_menu",
    "remove_picture",
    "rename_category",
    "reorder_categories",
    "reorder_products",
    "set_availability",
    "set_stock",
    "store_picture",
    "update_product",
    "use_picture",
]
