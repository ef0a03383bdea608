import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from shop.menu.models import Product

type Names = Mapping[str, str | None]  # what the file says -> what the menu says; None: left out

SUGGESTIONS = 3


def products_for_items(items: Iterable[str], names: Names) -> tuple[dict[str, Product | None], dict[str, str]]:
    """The product of each item, None for one that the names leave out; and of every other item why it has none.

    Capitals, accents written in two ways and doubled spaces make no difference. A product on the menu goes before an archived one.
    "category / name" means one of several products of the same name.
    """
    menu = _menu()
    spoken = {_plain(said): meant for said, meant in names.items()}
    found: dict[str, Product | None] = {}
    problems: dict[str, str] = {}
    for item in items:
        meant = spoken.get(_plain(item), item)
        candidates = menu.get(_plain(meant), []) if meant is not None else []
        if meant is None or len(candidates) == 1:
            found[item] = candidates[0] if candidates else None
        else:
            problems[item] = _problem(item, meant, candidates, menu)
    return found, problems


def _menu() -> dict[str, list[Product]]:
    menu: dict[str, list[Product]] = defaultdict(list)
    archived: dict[str, Product] = {}
    for product in Product.objects.select_related("category").order_by("archived_at", "id"):
        keys = (_plain(product.name), _plain(f"{product.category.name} / {product.name}"))
        for key in keys:
            if product.archived_at is None:
                menu[key].append(product)
            else:
                archived[key] = product  # the one that was archived last
    return {key: [product] for key, product in archived.items()} | menu


def _problem(item: str, meant: str, candidates: list[Product], menu: Mapping[str, list[Product]]) -> str:
    said = f'"{item}"' if item == meant else f'"{item}" ("{meant}" in the file of names)'
    if candidates:
        places = " or ".join(f'"{product.category.name} / {product.name}"' for product in candidates)
        return f"{said} is on the menu more than once: say which with --names, {places}"
    close = get_close_matches(_plain(meant), menu, n=SUGGESTIONS, cutoff=0.6)
    suggestions = dict.fromkeys(f'"{menu[key][0].name}"' for key in close)
    hint = f"; did you mean {' or '.join(suggestions)}?" if suggestions else ""
    return f"{said} is not on the menu: add it there, or say with --names what the menu calls it{hint}"


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())
