"""Whatever a menu holds, its file reads as the same menu."""

from contextlib import suppress
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from shop.menu.data import ChoiceDraft, OptionDraft, ProductFields
from shop.menu.errors import InvalidProduct
from shop.menu.forms import check_combinations, clean_product
from shop.menu.imports.errors import MenuFileRefused
from shop.menu.imports.forms import read_menu, write_menu
from shop.menu.imports.options import read_options

text = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from(r";|=[]\:,\"'- "), min_size=1, max_size=30)
lines = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('\n\r\t",;'), max_size=60)
amounts = st.decimals(-1000, 100_000, places=2)
prices = st.decimals(0, 9_999_999_999, places=2)


@st.composite
def options(draw: st.DrawFn) -> OptionDraft:
    names = draw(st.lists(text, min_size=1, max_size=4))
    choices = tuple(ChoiceDraft(name=name, price_delta=draw(amounts)) for name in names)
    minimum = draw(st.integers(0, len(choices)))
    return OptionDraft(name=draw(text), minimum=minimum, maximum=draw(st.integers(max(1, minimum), 50)), choices=choices)


products = st.builds(
    ProductFields,
    category=text,
    name=text,
    description=lines,
    price=prices,
    stock=st.none() | st.integers(0, 1_000_000),
    tags=st.lists(text, max_size=3),
    allergens=st.lists(text, max_size=3),
    options=st.lists(options(), max_size=3),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(products, min_size=1, max_size=4))
def test_a_written_menu_reads_as_itself(drafts: list[ProductFields]) -> None:
    clean = {}
    for draft in drafts:
        try:
            product = clean_product(draft, currency="ARS")
            check_combinations(product["price"], product["options"], currency="ARS")
        except InvalidProduct:
            continue
        clean[product["category"], product["name"]] = product
    if not clean:
        return
    rows = read_menu(write_menu(clean.values(), currency="ARS").encode(), currency="ARS")
    assert [row.product for row in rows] == list(clean.values())


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    header = b"category,name,description,price,stock,tags,allergens,options\n"
    for file in (raw, header + raw, header + b'a,b,,1,,,,"' + raw.replace(b'"', b'""') + b'"'):
        with suppress(MenuFileRefused):
            assert read_menu(file, currency="CLP")


def test_the_contracts_example_reads_as_it_says() -> None:
    assert read_options("Size[1-1]: Small=0 | Large=250; Milk[0-1]: Oat=150") == [
        OptionDraft(
            name="Size",
            minimum=1,
            maximum=1,
            choices=(ChoiceDraft(name="Small", price_delta=Decimal(0)), ChoiceDraft(name="Large", price_delta=Decimal(250))),
        ),
        OptionDraft(name="Milk", minimum=0, maximum=1, choices=(ChoiceDraft(name="Oat", price_delta=Decimal(150)),)),
    ]


def test_a_backslash_takes_the_meaning_from_the_next_character() -> None:
    [group] = read_options(r"Size \[cm\][0-1]: 10\=x\|y\;z\\ = -5.50 ;")
    assert (group.name, group.choices[0].name.strip(), group.choices[0].price_delta) == ("Size [cm]", "10=x|y;z\\", Decimal("-5.50"))
