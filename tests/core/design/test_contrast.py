"""The colours of comanda.css, read from it: every pair that carries words, in both themes and for each cafeteria's colour."""

import re
from pathlib import Path

import pytest

from core.design.brands import BRANDS

STATIC = Path(__file__).resolve().parents[3] / "platform" / "core" / "static" / "core"
CSS = (STATIC / "comanda.css").read_text()
TOKEN = re.compile(r"--([a-z-]+): var\(--light, (#[0-9a-f]{6})\) var\(--dark, (#[0-9a-f]{6})\)")
BRAND = re.compile(r'\[data-brand="([a-z]+)"\] \{(.*?)\}', re.DOTALL)
THEMES = ("light", "dark")
PAPERS = ("paper", "surface", "raised", "sunk")

type Colours = dict[str, tuple[str, str]]


def tokens(css: str) -> Colours:
    return {name: (light, dark) for name, light, dark in TOKEN.findall(css)}


BASE = tokens(CSS[: CSS.index("[data-brand=")])
BRAND_TOKENS = {name: tokens(block) for name, block in BRAND.findall(CSS)}


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


PAIRS = [
    *[("ink", paper, 7.0) for paper in PAPERS],
    *[("muted", paper, 4.5) for paper in PAPERS],
    *[("edge", paper, 3.0) for paper in PAPERS],
    *[(kind, f"{kind}-wash", 4.5) for kind in ("good", "warn", "bad", "info")],
    *[("ink", f"{kind}-wash", 7.0) for kind in ("good", "warn", "bad", "info")],
    *[(kind, paper, 4.5) for kind in ("good", "warn", "bad", "info") for paper in PAPERS],
]
BRAND_PAIRS = [
    ("on-brand", "brand", 4.5),
    ("brand-text", "brand-wash", 4.5),
    ("on-sign", "sign", 4.5),
    ("ink", "brand-wash", 7.0),
    ("muted", "brand-wash", 4.5),
    *[("brand-text", paper, 4.5) for paper in PAPERS],
]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("front", "back", "least"), PAIRS)
def test_words_stand_out_from_what_is_behind_them(front: str, back: str, least: float, theme: str) -> None:
    at = THEMES.index(theme)
    assert contrast(BASE[front][at], BASE[back][at]) >= least


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("brand", BRANDS)
def test_each_cafeterias_colour_is_legible(brand: str, theme: str) -> None:
    at = THEMES.index(theme)
    colours = BASE | BRAND_TOKENS[brand]
    too_weak = [pair for pair in BRAND_PAIRS if contrast(colours[pair[0]][at], colours[pair[1]][at]) < pair[2]]
    assert too_weak == []


def test_the_code_and_the_style_sheet_know_the_same_colours() -> None:
    assert BRAND_TOKENS.keys() == BRANDS.keys()
    assert {name: colours["sign"] for name, colours in BRAND_TOKENS.items()} == {
        brand.code: (brand.bar_light, brand.bar_dark) for brand in BRANDS.values()
    }


@pytest.mark.parametrize(("name", "most"), [("comanda.css", 40_000), ("comanda.js", 10_240), ("sprite.svg", 10_000)])
def test_a_slow_phone_has_little_to_load(name: str, most: int) -> None:
    assert (STATIC / name).stat().st_size <= most


def test_every_token_that_is_used_exists() -> None:
    used = set(re.findall(r"var\(--([a-z0-9-]+)", CSS))
    defined = set(re.findall(r"--([a-z0-9-]+):", CSS))
    assert used - defined == set()


def test_nothing_moves_for_more_than_a_fifth_of_a_second() -> None:
    assert [time for time in re.findall(r"--quick: (\d+)ms", CSS) if int(time) > 200] == []
