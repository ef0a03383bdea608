"""What the content security policy would refuse, and what a screen reader would miss: looked for in every template of the repository."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
ROOTS = ("platform", "tenants", "shop", "billing", "ops")
TEMPLATES = sorted(path for root in ROOTS for path in (REPOSITORY / root).glob("**/templates/**/*.html"))
FORBIDDEN = {
    "an inline style": re.compile(r"<[^>]*\sstyle\s*=", re.IGNORECASE),
    "a style element": re.compile(r"<style\b", re.IGNORECASE),
    "an inline handler": re.compile(r"<[^>]*\son[a-z]+\s*=\s*[\"']", re.IGNORECASE),
    "an htmx handler": re.compile(r"\shx-on[:=-]", re.IGNORECASE),
    "a script without a nonce": re.compile(r"<script\b(?![^>]*nonce=)", re.IGNORECASE),
    "a foreign host": re.compile(r"<(script|link|img|iframe)\b[^>]*(src|href)=[\"'](https?:)?//", re.IGNORECASE),
    "an address in a script": re.compile(r"javascript:", re.IGNORECASE),
}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_the_template_needs_nothing_that_the_policy_refuses(path: Path) -> None:
    source = path.read_text()
    assert [what for what, pattern in FORBIDDEN.items() if pattern.search(source)] == []


def test_every_class_of_a_component_is_drawn() -> None:
    css = (REPOSITORY / "platform/core/static/core/comanda.css").read_text()
    sources = [path.read_text() for path in TEMPLATES if "/core/templates/" in str(path)]
    plain = [re.sub(r"{%.*?%}", " ", re.sub(r"[\w-]*{{.*?}}", " ", source)) for source in sources]
    classes = {name for source in plain for names in re.findall(r'class="([^"]*)"', source) for name in names.split()}
    assert {name for name in classes if not re.search(rf"\.{re.escape(name)}(?![a-z0-9-])", css)} == set()
