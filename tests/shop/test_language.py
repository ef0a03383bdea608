"""The pages of the shop leave no word in the other language. That each sentence has its Spanish: tests/architecture."""

import re

import pytest

from tests.shop.pages import checkout, fill_cart, order_of, visitor
from tests.world import World


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
