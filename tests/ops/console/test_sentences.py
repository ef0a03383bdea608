"""What was kept in English is read in the language and by the clock of whoever looks."""

import ast
import re
from collections.abc import Iterator

import pytest
from django.template import Context, Template
from django.utils import translation

from ops.archive.errors import OutsideWindow
from ops.console.sentences import KEPT, refusal, told
from ops.restores.errors import CannotUndo
from tests.architecture.test_sources import REPOSITORY

REFUSED = "No se puede usar el respaldo: tiene dos veces la misma foto."
BUENOS_AIRES = "America/Argentina/Buenos_Aires"
# Errors that are given a reason in English, which is kept on rows and shown in the console.
REASONED = {
    "BundleRefused", "RestoreFailed", "CloneFailed", "CannotUndo", "ArchiveDamaged", "RecoveryFailed", "OffsiteDamaged",
    "OffsiteUnavailable", "LocalCopyUnusable",
}  # fmt: skip
OTHERS_WORDS = {"pg_combinebackup: ?"}  # with none of ours


def literals(node: ast.AST | None) -> Iterator[str]:
    """What a string of the source says, with ? for what it does not know yet."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "?" for part in node.values)
    elif isinstance(node, ast.IfExp):
        yield from literals(node.body)
        yield from literals(node.orelse)


def kept_in_english() -> Iterator[tuple[str, str]]:
    for path in (REPOSITORY / "ops").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found: list[ast.expr] = []
            if isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                found += node.args[:1] if name in REASONED or (name == "_" and "archive" in path.parts) else []
                found += node.args[1:2] if name == "_fail" else []
                found += [each.value for each in node.keywords if (name, each.arg) in {("raise_alert", "detail"), ("update", "error")}]
            elif isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == "detail" for target in node.targets):
                found.append(node.value)
            for value in found:
                yield from ((f"{path.relative_to(REPOSITORY)}:{value.lineno}", words) for words in literals(value) if words)


def test_every_sentence_that_is_kept_is_known_again() -> None:
    """A new one belongs into ops.console.sentences.KEPT and into the catalogue, with a name for each thing that it tells."""
    found = list(kept_in_english())
    assert len(found) > 70
    unknown = {place: words for place, words in found if words not in OTHERS_WORDS and not told(words, "UTC")[1]}
    assert unknown == {}


def test_no_sentence_is_known_that_nobody_says() -> None:
    said = {re.sub(r"\?|\{\w+\}", "", words) for _place, words in kept_in_english()}
    assert {kept for kept in KEPT if re.sub(r"\?|\{\w+\}", "", kept) not in said} == {"that is no day and time."}  # the console's own


@pytest.mark.parametrize(
    ("kept", "spanish", "ours"),
    [
        ("It was cancelled.", "Se canceló.", True),
        (
            "BundleRefused: The bundle cannot be used: the rows of shop_order are not those of its manifest.",
            "No se puede usar el respaldo: las filas de shop_order no son las de su manifiesto.",
            True,
        ),
        (
            "The backup of sol of 2026-11-24 10:05 UTC failed its proof: The bundle cannot be used: a picture is twice in it.",
            f"El respaldo de sol del 24 nov 2026, 07:05:00 ({BUENOS_AIRES}) no pasó la prueba: {REFUSED}",
            True,
        ),
        ("OSError: [Errno 28] No space left on device: '/srv/x'", "El disco está lleno: '/srv/x'", True),
        ("OSError: [Errno 28] No space left on device", "El disco está lleno.", True),
        ("KeyError: 'x'", "KeyError: 'x'", False),
        ("at 2026-13-40 10:05 UTC {reason} %s", "at 2026-13-40 10:05 UTC {reason} %s", False),
        ("", "", False),
    ],
    ids=["whole", "of-a-job", "within-another", "full-disk", "full-disk-nowhere", "python's", "no-moment", "empty"],
)
def test_what_was_kept_is_told_in_spanish(kept: str, spanish: str, ours: bool) -> None:
    with translation.override("es"):
        assert told(kept, BUENOS_AIRES) == (spanish, ours)


def test_a_refusal_gives_the_cafeterias_time_and_its_whole_reason() -> None:
    late = OutsideWindow("the log has come only until {until} UTC. Is `manage.py archive` running?", until="2026-11-24 17:05:09")
    with translation.override("en"):
        assert refusal(late, BUENOS_AIRES).endswith(f"only until 24 Nov 2026, 14:05:09 ({BUENOS_AIRES}). Is `manage.py archive` running?")
        assert "until 24 Nov 2026, 17:05:09 (UTC). Is" in refusal(late, "UTC")
    with translation.override("es"):
        assert refusal(CannotUndo("its time is over."), "UTC") == "Esta restauración no se puede deshacer: ya pasó su tiempo."


def test_a_page_marks_what_stays_english() -> None:
    page = Template("{% load console %}{% said first 'UTC' %}|{% said second 'UTC' 12 %}")
    words = Context({"first": "It was cancelled.", "second": "KeyError: <b> and more"})
    with translation.override("es"):
        assert page.render(words) == 'Se canceló.|<span lang="en">KeyError: &lt;…</span>'
    with translation.override("en"):
        assert page.render(words) == "It was cancelled.|KeyError: &lt;…"
