"""Every sentence of the shop has its Spanish, those of its errors too, and its pages leave none out in either language."""

import re
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.extract import extract
from babel.messages.pofile import read_po
from django.utils.translation.template import templatize

from core.errors import AppError
from shop.menu.errors import InvalidProduct
from tests.shop.pages import checkout, fill_cart, order_of, visitor
from tests.world import World

REPOSITORY = Path(__file__).resolve().parents[2]
KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop")),
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
}
ONLY_OTHERS_WORDS = {InvalidProduct}  # Its sentence is those of its problems.
# What a developer or an operator reads.
NOT_FOR_PAGES = ("shop.orders.imports",)
type Sentence = tuple[str | None, str]  # context, message


def sentences(path: Path) -> set[Sentence]:
    source = path.read_text()
    if path.suffix == ".html":
        source = "\n".join(line.strip() for line in templatize(source, origin=str(path)).splitlines())
    found = extract("python", BytesIO(source.encode()), keywords=KEYWORDS)
    return {(context, message if isinstance(message, str) else message[0]) for _, message, _, context in found}


def errors_of(kind: type[AppError]) -> list[type[AppError]]:
    return [kind, *(error for child in kind.__subclasses__() for error in errors_of(child))]


def translated() -> set[Sentence]:
    known: set[Sentence] = set()
    for root in ("platform", "tenants", "shop", "billing", "ops"):
        for path in (REPOSITORY / root).rglob("django.po"):
            with path.open("rb") as file:
                for message in read_po(file, locale="es"):
                    if message.string and not message.fuzzy:
                        known.add((message.context, message.id if isinstance(message.id, str) else message.id[0]))
    return known


def test_every_sentence_of_the_shop_has_its_spanish() -> None:
    paths = [path for pattern in ("**/*.html", "**/*.py") for path in (REPOSITORY / "shop").glob(pattern) if "migrations" not in path.parts]
    wanted = {sentence for path in paths for sentence in sentences(path)}
    assert wanted - translated() - {(None, "")} == set()


def test_every_error_of_the_shop_has_its_spanish() -> None:
    shown = [error for error in errors_of(AppError) if error.__module__.startswith("shop.") and error not in ONLY_OTHERS_WORDS]
    wanted = {(None, error.template()) for error in shown if not error.__module__.startswith(NOT_FOR_PAGES)}
    assert wanted - translated() == set()


def words(page: str, *canaries: str) -> set[str]:
    """The words that people can read or hear, without the names of the world."""
    page = re.sub(r"<script.*?</script>|<style.*?</style>", " ", page, flags=re.DOTALL)
    heard = " ".join(re.findall(r'(?:aria-label|placeholder|data-lost|data-undo|data-new|data-wrong)="([^"]*)"', page))
    seen = re.sub(r"<[^>]*>", " ", page)
    for canary in canaries:
        seen, heard = seen.replace(canary, " "), heard.replace(canary, " ")
    return set(re.findall(r"[a-záéíóúñ]{3,}", f"{seen} {heard}".lower()))


# Words that no page of the other language has.
ENGLISH = {"the", "and", "your", "order", "orders", "with", "from", "name", "add", "remove", "search", "sold", "ready", "cancel", "price"}
SPANISH = {"pedido", "pedidos", "para", "del", "con", "nombre", "agregar", "quitar", "buscar", "agotado", "listo", "cancelar", "precio"}


@pytest.mark.parametrize(("language", "foreign"), [("es", ENGLISH), ("en", SPANISH)])
def test_the_pages_leave_no_word_in_the_other_language(world: World, language: str, foreign: set[str]) -> None:
    guest, staff = visitor(world.a), visitor(world.a, "manager")
    guest.cookies["lang"] = staff.cookies["lang"] = language
    fill_cart(guest, world.a)
    assert checkout(guest).status_code == 302
    secret = order_of(world.a).secret
    fill_cart(guest, world.a)
    guests = ("/", "/?q=zzz", f"/p/{world.a.latte}", f"/p/{world.a.cake}", "/cart", f"/o/{secret}")
    pages = {address: guest.get(address) for address in guests}
    pages["/cart/place"] = guest.post("/cart/place", {"where": "table", "tip": "x", "contact": "1"})
    pages |= {address: staff.get(address) for address in ("/staff/", "/staff/menu", "/account/orders")}
    # A file's columns are called the same in every language.
    allowed = {"price", "name", "ordered"} if language == "es" else set()
    leftovers = {address: words(page.content.decode(), world.a.canary, "Español", "English") & foreign for address, page in pages.items()}
    leftovers["/staff/menu"] -= allowed
    assert {address: found for address, found in leftovers.items() if found} == {}
