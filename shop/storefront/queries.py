"""The menu as it is drawn. Its HTML is kept by content and language: between two changes of the menu, no page draws it again.

Kept in the process for the cafeterias that it was last asked for, and where all processes share it, for those that another one has drawn.
"""

import sys
import unicodedata
from collections.abc import Iterator

from django.core.cache import cache
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

from core.cache import BoundedCache
from core.design.drawings import drawing_for
from shop.menu.data import ProductData
from shop.menu.errors import ProductNotFound
from shop.menu.queries import MenuSnapshot
from tenants.scope import current_tenant

type Section = tuple[str, str, list[ProductData]]  # its place on the page, its category's name, its products

KEPT = 6 * 3600  # seconds in the shared cache; a changed menu has another ETag, so an old drawing is never shown
OVERHEAD = 300  # bytes of an entry beside its text

# By cafeteria and language: what was drawn, and of what. A menu of 40 products takes 22 to 44 kB.
_drawn: BoundedCache[tuple[int, str], tuple[str, SafeString]] = BoundedCache(most_bytes=16 * 1024 * 1024, most_entries=4_000)


def menu_body(menu: MenuSnapshot) -> SafeString:
    """The chips and sections of the menu page, in the active language."""
    tenant, language = current_tenant(), get_language() or ""
    content = f"{tenant.currency}:{menu.etag}"
    known = _drawn.get((tenant.id, language))
    if known is not None and known[0] == content:
        return known[1]
    key = f"menu-body:{tenant.id}:{language}:{content}"
    shared: str | None = cache.get(key)
    body = _draw(list(numbered(menu))) if shared is None else mark_safe(shared)  # noqa: S308 - rendered by the template engine
    if shared is None:
        cache.set(key, str(body), KEPT)
    _drawn.put((tenant.id, language), (content, body), size=sys.getsizeof(body) + OVERHEAD)
    return body


def found_body(menu: MenuSnapshot, wanted: str) -> str:
    """The menu page's sections with only what has the wanted words in it: the search of a browser without JavaScript."""
    words = plain(wanted).split()
    found = [
        (anchor, name, [product for product in products if all(word in plain(words_of(product)) for word in words)])
        for anchor, name, products in numbered(menu)
    ]
    return _draw([section for section in found if section[2]], wanted)


def numbered(menu: MenuSnapshot) -> Iterator[Section]:
    for number, category in enumerate(menu.categories, 1):
        yield f"c{number}", category["name"], category["products"]


def words_of(product: ProductData) -> str:
    """What a search looks through."""
    return " ".join([product["name"], product["description"], *product["tags"]])


def plain(text: str) -> str:
    """Without accents and capitals, as people type on a phone."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(letter))


def _draw(sections: list[Section], wanted: str = "") -> SafeString:
    drawn_sections = [(anchor, name, [(product, drawing_of(product, name)) for product in products]) for anchor, name, products in sections]
    context = {"sections": drawn_sections, "cafeteria": current_tenant(), "wanted": wanted}
    drawn: SafeString = render_to_string("shop/storefront/menu_body.html", context)
    return drawn


def anchor_of(menu: MenuSnapshot, category: str) -> str:
    """Where on the menu page a category stands."""
    return f"c{[each['name'] for each in menu.categories].index(category) + 1}"


def drawing_of(product: ProductData, category: str) -> str:
    """What stands for a product without a picture: what its own name says, else its category's."""
    own = drawing_for(product["name"])
    return drawing_for(category) if own == "other" else own


def product_of(menu: MenuSnapshot, product_id: int) -> ProductData:
    """Raises ProductNotFound."""
    for product in menu.products:
        if product["id"] == product_id:
            return product
    raise ProductNotFound


def default_choices(product: ProductData) -> set[int]:
    """What is chosen before anybody chooses: the first to be had of each group, as many as it asks for."""
    chosen: set[int] = set()
    for group in product["options"]:
        to_be_had = [choice["id"] for choice in group["choices"] if choice["available"]]
        chosen.update(to_be_had[: group["min"]])
    return chosen
