r"""The little language of options in a file: `Size[1-1]: Small=0 | Large=250; Milk[0-1]: Oat=150`.

A backslash takes from the next character its meaning, for names that have one of `;|=[]\` in them.
"""

import re
from collections.abc import Iterable, Iterator

from core.money import as_text
from shop.menu.data import ChoiceDraft, OptionDraft
from shop.menu.errors import UnreadableOptions
from shop.menu.forms import read_amount

EXAMPLE = "Size[1-1]: Small=0 | Large=250; Milk[0-1]: Oat=150"
SPECIAL = re.compile(r"[;|=\[\]\\]")
GROUP = re.compile(r"(?P<name>(?:\\.|[^\\\[\]])+)\[\s*(?P<least>[0-9]{1,4})\s*-\s*(?P<most>[0-9]{1,4})\s*\]\s*:(?P<choices>.*)", re.DOTALL)
CHOICE = re.compile(r"(?P<name>(?:\\.|[^\\=])+)=(?P<delta>[^=]+)", re.DOTALL)


def read_options(text: str) -> list[OptionDraft]:
    """UnreadableOptions names the part that does not fit, NotAnAmount the price."""
    return [_read_group(part.strip()) for part in _parts(text, ";") if part.strip()]


def write_options(options: Iterable[OptionDraft], *, currency: str) -> str:
    """The text that reads as these options. Whether a choice is available is not in it."""
    return "; ".join(
        f"{_escape(group.name)}[{group.minimum}-{group.maximum}]: "
        + " | ".join(f"{_escape(choice.name)}={as_text(choice.price_delta, currency)}" for choice in group.choices)
        for group in options
    )


def _read_group(text: str) -> OptionDraft:
    match = GROUP.fullmatch(text)
    if match is None:
        raise _unreadable(text)
    choices = tuple(_read_choice(part.strip()) for part in _parts(match["choices"], "|"))
    return OptionDraft(name=_unescape(match["name"]), minimum=int(match["least"]), maximum=int(match["most"]), choices=choices)


def _read_choice(text: str) -> ChoiceDraft:
    match = CHOICE.fullmatch(text)
    if match is None:
        raise _unreadable(text)
    return ChoiceDraft(name=_unescape(match["name"]), price_delta=read_amount(match["delta"].strip()))


def _parts(text: str, separator: str) -> Iterator[str]:
    """The text cut at each separator that no backslash stands before."""
    part: list[str] = []
    letters = iter(text)
    for letter in letters:
        if letter == separator:
            yield "".join(part)
            part.clear()
        else:
            part += (letter, next(letters, "")) if letter == "\\" else letter
    yield "".join(part)


def _escape(name: str) -> str:
    return SPECIAL.sub(lambda match: "\\" + match[0], name)


def _unescape(name: str) -> str:
    return re.sub(r"\\(.?)", r"\1", name, flags=re.DOTALL)


def _unreadable(part: str) -> UnreadableOptions:
    return UnreadableOptions(part=part[:60], example=EXAMPLE)
