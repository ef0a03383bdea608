"""The rules by themselves: what a door in front may have refused already."""

from decimal import Decimal
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import override_settings
from django.utils import translation

from shop.menu.data import ChoiceDraft, OptionDraft, ProductFields
from shop.menu.errors import InvalidProduct
from shop.menu.forms import MOST_CHOICES, MOST_GROUPS, check_combinations, clean_product
from shop.menu.pictures import actions as pictures


def group(name: str = "G", *, choices: int = 1, minimum: int = 0, maximum: int = 1) -> OptionDraft:
    drafts = tuple(ChoiceDraft(name=f"C{n}") for n in range(choices))
    return OptionDraft(name=name, minimum=minimum, maximum=maximum, choices=drafts)


NOT_AN_AMOUNT = "is not an amount: write it like 350.00, without a sign for the currency or for thousands."
NOT_A_STOCK = "It must lie between 0 and 1000000, or be empty when it is not counted."


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"price": Decimal("NaN")},
            f'price: "NaN" {NOT_AN_AMOUNT}',
        ),
        (
            {"price": Decimal("sNaN")},
            f'price: "sNaN" {NOT_AN_AMOUNT}',
        ),
        ({"price": Decimal("1E+999999")}, "price: It must lie between 0 and 9999999999.99."),
        ({"price": Decimal("1E-999999")}, "price: 1E-999999 cannot be paid in ARS, which has 2 decimals."),
        ({"options": [group(str(n)) for n in range(MOST_GROUPS + 1)]}, f"options: At most {MOST_GROUPS} of them."),
        ({"options": [group(choices=MOST_CHOICES + 1)]}, f"options: At most {MOST_CHOICES} of them."),
        ({"name": "\ud800"}, "name: It holds the control character U+D800: take it out."),
        (
            {"name": "", "stock": -1},
            f"name: It cannot be empty. stock: {NOT_A_STOCK}",
        ),
    ],
)
def test_what_cannot_be_is_refused(fields: ProductFields, problem: str) -> None:
    with pytest.raises(InvalidProduct) as refused:
        clean_product(fields, currency="ARS")
    assert str(refused.value) == problem


def test_a_refusal_speaks_the_persons_language() -> None:
    with pytest.raises(InvalidProduct) as refused:
        clean_product({"name": ""}, currency="ARS")
    with translation.override("en"):
        assert refused.value.translated() == "It cannot be empty."


@pytest.mark.parametrize(
    ("price", "minimum", "maximum", "deltas", "fits"),
    [
        (0, 0, 1, [0, 5], True),
        (10, 1, 1, [-10, 50], True),
        (10, 1, 1, [-11, 50], False),
        (10, 0, 2, [-6, -5], False),
        (10, 0, 1, [-6, -5], True),
        (10, 2, 2, [-20, 15], True),  # the dear one has to be taken too
        (10, 1, 2, [-20, 15], False),
        (9_999_999_990, 0, 2, [5, 5], False),
        (9_999_999_990, 0, 1, [5, 5], True),
    ],
)
def test_no_combination_costs_less_than_nothing_or_more_than_fits(
    price: int, minimum: int, maximum: int, deltas: list[int], fits: bool
) -> None:
    choices = tuple(ChoiceDraft(name=str(n), price_delta=Decimal(delta)) for n, delta in enumerate(deltas))
    options = [OptionDraft(name="G", minimum=minimum, maximum=maximum, choices=choices)]
    if fits:
        check_combinations(Decimal(price), options, currency="ARS")
    else:
        with pytest.raises(InvalidProduct, match=r"options: With its (cheapest|dearest) choices"):
            check_combinations(Decimal(price), options, currency="ARS")


def test_words_are_parted_at_commas_and_kept_once() -> None:
    clean = clean_product({"tags": [" sin  tacc,vegano ", "", "vegano", ",,"]}, currency="ARS")
    assert clean["tags"] == ["sin tacc", "vegano"]


def test_who_stores_a_picture_second_leaves_no_second_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with override_settings(MEDIA_ROOT=tmp_path):
        default_storage.save("a/b.webp", ContentFile(b"same"))
        there = default_storage.exists
        looks = iter([False])  # It was not there when the second one looked.
        monkeypatch.setattr(default_storage, "exists", lambda name: next(looks, True) and there(name))
        pictures._store("a/b.webp", b"same")
        assert [path.name for path in tmp_path.rglob("*.webp")] == ["b.webp"]
        assert (tmp_path / "a" / "b.webp").read_bytes() == b"same"
