"""Every sentence that a page may show has its Spanish: those of templates, of Python and of errors."""

import ast
import importlib
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from babel.messages.extract import extract
from babel.messages.pofile import read_po
from django.utils.translation.template import templatize

from config.dev.catalogues import catalogues
from core.errors import AppError
from core.identity.errors import WeakPassword
from shop.menu.errors import InvalidProduct
from tests.architecture.test_sources import PARTS, REPOSITORY, sources

type Sentence = tuple[str | None, str]  # context, message

SPEAKS = {name + lazy for name in ("gettext", "ngettext", "pgettext", "npgettext") for lazy in ("", "_lazy")} | {"gettext_noop"}
# How templates are rewritten for extraction.
KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop")),
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}
# Their sentences are made of others, which are translated.
SPEAK_THROUGH_OTHERS = (WeakPassword, InvalidProduct)
# What only an operator reads, at a terminal or as a job's outcome.
NO_PAGES = ("config.demo", "shop.orders.imports", "tenants.provisioning", "tenants.fleet")
ON_TERMINALS = {"UnsuitableMigration", "TemplateDiffers", "FleetBusy"}  # of commands, which speak English
# Those that translate what they are given: an error's sentence, a place in a file, why an archive cannot be had, what was kept in English.
SPEAK_FOR_OTHERS = {"platform/core/errors.py", "shop/menu/imports/errors.py", "ops/archive/errors.py", "ops/console/sentences.py"}


def in_templates() -> Iterator[tuple[str, Sentence]]:
    for part in PARTS:
        for path in (REPOSITORY / part).rglob("templates/**/*.*"):
            # What templatize makes is Python to xgettext, but indented as HTML.
            source = "\n".join(line.strip() for line in templatize(path.read_text(), origin=str(path)).splitlines())
            for line, message, _comments, context in extract("python", BytesIO(source.encode()), keywords=KEYWORDS):
                yield f"{path.relative_to(REPOSITORY)}:{line}", (context, message if isinstance(message, str) else message[0])


def in_python() -> Iterator[tuple[str, Any]]:
    """None for what is no literal: nobody could find its translation."""
    for path in sources():
        tree = ast.parse(path.read_text())
        names = dict(_names(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                has_context = "pgettext" in names[node.func.id]
                literals = [part.value if isinstance(part, ast.Constant) else None for part in node.args]
                context, message = literals[:2] if has_context else (None, literals[0])
                yield f"{path.relative_to(REPOSITORY)}:{node.lineno}", (context, message) if isinstance(message, str) else None


def _names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What a module calls Django's functions -> the function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation":
            yield from ((alias.asname or alias.name, alias.name) for alias in node.names if alias.name in SPEAKS)


def errors() -> Iterator[type[AppError]]:
    for path in sources():
        if re.search(r"^class .*\(", path.read_text(), re.MULTILINE) and "errors" in path.read_text():
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            importlib.import_module(".".join(parts[1:] if parts[0] == "platform" else parts).removesuffix(".__init__"))
    yield from _kinds(AppError)


def _kinds(kind: type[AppError]) -> Iterator[type[AppError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)


def spanish() -> Iterator[tuple[Path, Sentence, tuple[str, ...]]]:
    """Each sentence that is translated whole, and its translations, one for each plural."""
    for path in catalogues(REPOSITORY):
        with path.open("rb") as file:
            for message in read_po(file, locale="es"):
                forms = (message.string,) if isinstance(message.string, str) else tuple(message.string or ())
                if message.id and all(forms) and not message.fuzzy:
                    yield path, (message.context, message.id if isinstance(message.id, str) else message.id[0]), forms


@pytest.fixture(scope="module")
def known() -> set[Sentence]:
    return {sentence for _path, sentence, _forms in spanish()}


def test_every_sentence_of_the_templates_has_its_spanish(known: set[Sentence]) -> None:
    found = dict(in_templates())
    assert len(found) > 100
    assert {place: sentence for place, sentence in found.items() if sentence not in known} == {}


def test_every_sentence_of_the_code_has_its_spanish(known: set[Sentence]) -> None:
    found = list(in_python())
    assert len(found) > 100
    assert {place: sentence for place, sentence in found if sentence is not None and sentence not in known} == {}


def test_what_the_code_translates_is_written_where_it_is_translated() -> None:
    assert {place.split(":")[0] for place, sentence in in_python() if sentence is None} == SPEAK_FOR_OTHERS


def test_every_error_that_a_page_may_show_has_its_spanish(known: set[Sentence]) -> None:
    ours = {kind for kind in errors() if not kind.__module__.startswith(("tests.", *NO_PAGES)) and kind.__name__ not in ON_TERMINALS}
    assert len(ours) > 50
    missing = {f"{kind.__module__}.{kind.__name__}": kind.template() for kind in ours if (None, kind.template()) not in known}
    assert missing.keys() == {f"{kind.__module__}.{kind.__name__}" for kind in SPEAK_THROUGH_OTHERS}


def test_the_spanish_of_an_error_names_what_the_english_does() -> None:
    """A placeholder that is not given would be an error while telling of an error. Babel compares those of percent signs."""
    placeholders = re.compile(r"\{\w*\}")
    wrong = {
        sentence[1]: forms
        for _path, sentence, forms in spanish()
        if any(set(placeholders.findall(form)) - set(placeholders.findall(sentence[1])) - {"{count}"} for form in forms)
        or set(placeholders.findall(sentence[1])) - set(placeholders.findall(forms[-1]))
    }
    assert wrong == {}


def test_a_sentence_has_one_spanish() -> None:
    """Catalogues are merged: of two translations of one sentence, the order of the apps would choose."""
    chosen: dict[Sentence, tuple[str, ...]] = {}
    differ = {sentence[1] for _path, sentence, forms in spanish() if chosen.setdefault(sentence, forms) != forms}
    assert differ == set()
