"""What a product and a category may be. Everything that writes to the menu passes through here, whatever door it came in by."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, cast

from core.money import DECIMALS, LARGEST, as_text, is_exact, quantize
from shop.menu import errors
from shop.menu.data import ChoiceDraft, OptionDraft, ProductFields

MOST_PRODUCTS = 2_000  # as many as a file of the menu may have
MOST_CATEGORIES = 500
MOST_STOCK = 1_000_000
LONGEST_PRODUCT_NAME = 120
LONGEST_CATEGORY_NAME = 80
LONGEST_OPTION_NAME = 80
LONGEST_DESCRIPTION = 2_000
LONGEST_TAG = 40
MOST_TAGS = 20
MOST_GROUPS = 20
MOST_CHOICES = 50  # of a group
AMOUNT = re.compile(r"-?[0-9]{1,14}(\.[0-9]{1,10})?")


def clean_product(fields: ProductFields, *, currency: str) -> ProductFields:
    """The given fields, trimmed, exact and in bounds. InvalidProduct has every problem."""
    problems: list[errors.FieldProblem] = []
    clean: dict[str, Any] = {}
    for field, value in fields.items():
        try:
            clean[field] = CLEANERS[field](value, currency)
        except errors.FieldProblem as problem:
            problem.field = field
            problems.append(problem)
    if problems:
        raise errors.InvalidProduct(problems)
    return cast("ProductFields", clean)


def check_combinations(price: Decimal, options: Iterable[OptionDraft], *, currency: str) -> None:
    """InvalidProduct when some combination of choices would cost less than nothing, or more than can be stored."""
    cheapest = dearest = price
    for group in options:
        deltas = sorted(choice.price_delta for choice in group.choices)
        cheapest += _least(deltas, group)
        dearest -= _least(sorted(-delta for delta in deltas), group)
    problem: errors.FieldProblem | None = None
    if cheapest < 0:
        problem = errors.CheapestBelowZero(amount=as_text(cheapest, currency))
    elif dearest > LARGEST:
        problem = errors.DearestTooDear(amount=as_text(dearest, currency), most=LARGEST)
    if problem is not None:
        problem.field = "options"
        raise errors.InvalidProduct([problem])


def _least(deltas: Sequence[Decimal], group: OptionDraft) -> Decimal:
    """The least that choices with these deltas, ascending, add up to: those that must be taken, and each that lowers the sum."""
    taken = [delta for place, delta in enumerate(deltas[: group.maximum]) if place < group.minimum or delta < 0]
    return sum(taken, Decimal(0))


def clean_category_name(value: str) -> str:
    return clean_line(value, LONGEST_CATEGORY_NAME)


def clean_line(value: str, most: int) -> str:
    """One line: runs of white space are a space, letters are composed, no control characters."""
    line = " ".join(unicodedata.normalize("NFC", value).split())
    if not line:
        raise errors.Missing
    _check_text(line, most)
    return line


def clean_amount(value: Decimal, currency: str, *, least: Decimal) -> Decimal:
    if not value.is_finite():
        raise errors.NotAnAmount(value=value)
    if not least <= value <= LARGEST:
        raise errors.AmountOutOfRange(least=least, most=LARGEST)
    if not is_exact(value, currency):
        raise errors.AmountNotExact(amount=_short(value), currency=currency, decimals=DECIMALS[currency])
    return quantize(value, currency) + 0  # without a minus before a zero


def read_amount(text: str) -> Decimal:
    """An amount as a person writes it in a file or a form: digits, a point, decimals."""
    if not AMOUNT.fullmatch(text):
        raise errors.NotAnAmount(value=_short(text))
    return Decimal(text)


def read_stock(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.removeprefix("-").isdigit()):
        raise errors.NotANumber(value=_short(text))
    if len(text) > 12:
        raise errors.StockOutOfRange(most=MOST_STOCK)
    return int(text)


def clean_stock(value: int | None) -> int | None:
    if value is not None and not 0 <= value <= MOST_STOCK:
        raise errors.StockOutOfRange(most=MOST_STOCK)
    return value


def _clean_description(value: str) -> str:
    text = unicodedata.normalize("NFC", value).replace("\r\n", "\n").replace("\r", "\n").strip()
    _check_text(text.replace("\n", " ").replace("\t", " "), LONGEST_DESCRIPTION)
    return text


def _clean_words(values: Sequence[str]) -> list[str]:
    """Short words without a comma, which is what parts them in a file. Each once, in the given order."""
    words = dict.fromkeys(" ".join(part.split()) for value in values for part in unicodedata.normalize("NFC", value).split(","))
    words.pop("", None)
    if len(words) > MOST_TAGS:
        raise errors.TooMany(most=MOST_TAGS)
    return [clean_line(word, LONGEST_TAG) for word in words]


def _clean_options(values: Sequence[OptionDraft], currency: str) -> list[OptionDraft]:
    if len(values) > MOST_GROUPS:
        raise errors.TooMany(most=MOST_GROUPS)
    groups = [_clean_group(group, currency) for group in values]
    _check_once(group.name for group in groups)
    return groups


def _clean_group(group: OptionDraft, currency: str) -> OptionDraft:
    name = clean_line(group.name, LONGEST_OPTION_NAME)
    if not (0 <= group.minimum <= group.maximum and 1 <= group.maximum <= MOST_CHOICES):
        raise errors.BadBounds(group=name, minimum=group.minimum, maximum=group.maximum, most=MOST_CHOICES)
    if len(group.choices) > MOST_CHOICES:
        raise errors.TooMany(most=MOST_CHOICES)
    if len(group.choices) < max(group.minimum, 1):
        raise errors.TooFewChoices(group=name, count=len(group.choices), minimum=max(group.minimum, 1))
    choices = tuple(_clean_choice(choice, currency) for choice in group.choices)
    _check_once(choice.name for choice in choices)
    return OptionDraft(name=name, minimum=group.minimum, maximum=group.maximum, choices=choices)


def _clean_choice(choice: ChoiceDraft, currency: str) -> ChoiceDraft:
    return ChoiceDraft(
        name=clean_line(choice.name, LONGEST_OPTION_NAME),
        price_delta=clean_amount(choice.price_delta, currency, least=-LARGEST),
        available=choice.available,
    )


def _check_once(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise errors.NameTwice(name=name)
        seen.add(name)


def _check_text(text: str, most: int) -> None:
    bad = next(_unusable(text), None)
    if bad is not None:
        raise errors.ControlCharacter(character=f"U+{ord(bad):04X}")
    if len(text) > most:
        raise errors.TooLong(most=most)


def _unusable(text: str) -> Iterator[str]:
    # Control characters, and halves of surrogate pairs, which are no text.
    return (letter for letter in text if unicodedata.category(letter) in {"Cc", "Cs"})


def _short(value: object) -> str:
    return str(value)[:40]


CLEANERS: dict[str, Callable[[Any, str], Any]] = {
    "name": lambda value, _: clean_line(value, LONGEST_PRODUCT_NAME),
    "description": lambda value, _: _clean_description(value),
    "category": lambda value, _: clean_category_name(value),
    "price": lambda value, currency: clean_amount(value, currency, least=Decimal(0)),
    "stock": lambda value, _: clean_stock(value),
    "available": lambda value, _: value,
    "tags": lambda value, _: _clean_words(value),
    "allergens": lambda value, _: _clean_words(value),
    "options": _clean_options,
}
