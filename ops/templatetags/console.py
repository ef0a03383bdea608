"""What only the console's templates say: `{% load console %}`."""

from collections.abc import Mapping
from uuid import UUID

from django import template
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import get_language

from ops.console.sentences import told
from ops.console.words import step_words

register = template.Library()


@register.filter
def of(values: Mapping[str, UUID], key: UUID) -> UUID | None:
    """`{% with job_id=proofs|of:backup.id %}`."""
    return values.get(str(key))


@register.simple_tag
def at_work(message: str) -> str:
    """What a job says of its progress, in words where there are some."""
    return str(step_words(message))


@register.simple_tag
def said(text: str, zone: str, at_most: int = 0) -> str:
    """`{% said job.error zone %}`: a sentence that was kept in English, in the active language; marked as English when it stays so.

    With `at_most`, cut to that many characters.
    """
    words, is_ours = told(text, zone)
    words = Truncator(words).chars(at_most) if at_most else words
    return words if is_ours or (get_language() or "").startswith("en") else format_html('<span lang="en">{}</span>', words)
