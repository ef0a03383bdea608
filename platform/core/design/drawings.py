"""Which drawing stands where a product has no photograph: guessed from its category's name, in Spanish, Portuguese or English."""

import unicodedata

# The first drawing with a word that begins a word of the name wins, so the special ones stand before the general ones.
WORDS = {
    "sandwich": "sandwich sanguch sanduiche tostado tostada panini wrap toast burger hamburguesa salad salado ensalada lunch almuerzo",
    "breakfast": "desayuno breakfast brunch merienda huevo egg",
    "tea": "te tea infusion cha mate herbal",
    "drink": "jugo juice suco licuado smoothie limonada lemonade bebida drink frio cold iced agua water gaseosa soda refresco cerveza vino",
    "coffee": "cafe cafeteria coffee espresso expreso capuchino cappuccino latte cortado moca chocolate hot caliente",
    "cake": "torta cake tarta tart pie bolo pastel postre dessert budin cheesecake brownie",
    "sweet": "dulce sweet galleta cookie alfajor muffin scone dona donut biscoito caramel",
    "bread": "pan bread pao panaderia bakery factura medialuna croissant bolleria masa pastry pasteleria viennoiserie baguette",
}
DRAWINGS = (*WORDS, "other")


def drawing_for(name: str) -> str:
    """One of DRAWINGS. Never fails: an unknown name gets `other`."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.lower()) if not unicodedata.combining(c))
    words = plain.replace("/", " ").replace("-", " ").split()
    for drawing, beginnings in WORDS.items():
        if any(_matches(word, beginning) for word in words for beginning in beginnings.split()):
            return drawing
    return "other"


def _matches(word: str, beginning: str) -> bool:
    """Short ones only whole (`te` is not `terraza`), plurals included."""
    return word in (beginning, f"{beginning}s", f"{beginning}es") or (len(beginning) > 4 and word.startswith(beginning))
