"""The shapes of the menu: what a change is made of, and what people are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypedDict


@dataclass(frozen=True, kw_only=True, slots=True)
class ChoiceDraft:
    name: str
    price_delta: Decimal = Decimal(0)  # may be negative
    available: bool | None = None  # None: as it is, and available when it is new


@dataclass(frozen=True, kw_only=True, slots=True)
class OptionDraft:
    """A group of choices: a customer takes from `minimum` to `maximum` of them."""

    name: str
    minimum: int
    maximum: int
    choices: tuple[ChoiceDraft, ...]


class ProductDetails(TypedDict, total=False):
    description: str
    stock: int | None  # None: not counted
    available: bool
    tags: Sequence[str]
    allergens: Sequence[str]
    options: Sequence[OptionDraft]  # as a whole


class ProductFields(ProductDetails, total=False):
    """What can be said of a product. A change has only what it changes; a new product has these three at least."""

    name: str
    category: str  # by name; made when there is none of it
    price: Decimal


class ChoiceData(TypedDict):
    id: int
    name: str
    price_delta: str
    available: bool


class OptionData(TypedDict):
    id: int
    name: str
    min: int
    max: int
    choices: list[ChoiceData]


class ProductData(TypedDict):
    """A product as the API answers it; money as text with the currency's decimals."""

    id: int
    name: str
    description: str
    category: str
    price: str
    stock: int | None
    available: bool  # the sold-out switch alone: look at the stock as well
    options: list[OptionData]
    tags: list[str]
    allergens: list[str]
    image: str | None  # the path of the small picture


class CategoryData(TypedDict):
    id: int
    name: str
    products: list[ProductData]  # never empty
