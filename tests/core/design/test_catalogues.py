"""Every sentence of the shared pages has its Spanish. Sentences are found as Django finds them."""

from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.extract import extract
from babel.messages.pofile import read_po
from django.utils.translation.template import templatize

REPOSITORY = Path(__file__).resolve().parents[3]
APPS = ("platform/core", "platform/config", "billing")
KEYWORDS = {"_": None, "gettext": None, "gettext_lazy": None, "ngettext": (1, 2), "gettext_noop": None}


def sentences(path: Path) -> set[str]:
    source = path.read_text()
    if path.suffix == ".html":  # What it makes is read by xgettext as Python, but indented as HTML.
        source = "\n".join(line.strip() for line in templatize(source, origin=str(path)).splitlines())
    found = extract("python", BytesIO(source.encode()), keywords=KEYWORDS)
    return {message if isinstance(message, str) else message[0] for _line, message, _comments, _context in found}


def translated() -> set[str]:
    catalogues = [path for root in ("platform", "tenants", "shop", "billing", "ops") for path in (REPOSITORY / root).rglob("django.po")]
    known: set[str] = set()
    for path in catalogues:
        with path.open("rb") as file:
            for message in read_po(file, locale="es"):
                original = message.id if isinstance(message.id, str) else message.id[0]
                complete = bool(message.string) if isinstance(message.string, str) else all(message.string or [""])
                if complete and not message.fuzzy:
                    known.add(original)
    return known


@pytest.mark.parametrize("app", APPS)
def test_every_sentence_has_its_spanish(app: str) -> None:
    paths = [path for pattern in ("**/*.html", "**/*.py") for path in (REPOSITORY / app).glob(pattern)]
    wanted = {sentence for path in paths for sentence in sentences(path)}
    assert wanted - translated() - {""} == set()
