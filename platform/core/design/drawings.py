"""Which drawing stands where a product has no photograph: guessed from its or its category's name, in Spanish, Portuguese or English."""

import unicodedata
from collections.abc import Mapping

THINGS = {
    "sandwich": "sandwich sanguch sanduiche tostado tostada panini wrap toast burger hamburguesa salad ensalada lunch almuerzo",
    "breakfast": "desayuno breakfast brunch merienda huevo egg",
    "tea": "te tea infusion cha mate herbal",
    "drink": "jugo juice suco licuado smoothie limonada lemonade bebida drink agua water gaseosa soda refresco cerveza vino",
    "coffee": "cafe cafeteria coffee espresso expreso capuchino cappuccino latte cortado moca chocolate",
    "cake": "torta cake tarta tart pie bolo pastel postre dessert budin cheesecake brownie",
    "sweet": "galleta cookie alfajor muffin scone dona donut biscoito caramel",
    "bread": "pan bread pao panaderia bakery factura medialuna croissant bolleria masa pastry pasteleria viennoiserie baguette",
}
# What a thing is like tells only where no thing is named: a cold sandwich is no drink.
QUALITIES = {
    "sandwich": "salado savoury savory",
    "drink": "frio cold iced",
    "coffee": "hot caliente",
    "sweet": "dulce sweet",
}
DRAWINGS = (*THINGS, "other")


def drawing_for(name: str) -> str:
    """One of DRAWINGS, after the first thing that the name names. Never fails: an unknown name gets `other`."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.lower()) if not unicodedata.combining(c))
    words = plain.replace("/", " ").replace("-", " ").split()
    return _first(words, THINGS) or _first(words, QUALITIES) or "other"


def _first(words: list[str], beginnings: Mapping[str, str]) -> str | None:
    for word in words:
        for drawing, known in beginnings.items():
            if any(_matches(word, beginning) for beginning in known.split()):
                return drawing
    return None


def _matches(word: str, beginning: str) -> bool:
    """Short ones only whole (`te` is not `terraza`), plurals included."""
    return word in (beginning, f"{beginning}s", f"{beginning}es") or (len(beginning) > 4 and word.startswith(beginning))
