"""A sentence for the next page, kept in the signed session: what Django's messages framework would do, without its storage."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from django.http import HttpRequest

Kind = Literal["good", "info", "bad"]
SESSION_KEY = "flashes"
AT_MOST = 5  # The session is a cookie.


@dataclass(frozen=True, kw_only=True)
class Flash:
    text: str
    kind: Kind


def flash(request: HttpRequest, text: str, kind: Kind = "good") -> None:
    """Show the text once, on the next page or part that this person sees. Does nothing for a request without a session."""
    session = _session(request)
    if session is not None:
        session[SESSION_KEY] = [*session.get(SESSION_KEY, []), [str(text), kind]][-AT_MOST:]


def take_flashes(request: HttpRequest) -> list[Flash]:
    """What is to be shown now; it will not be shown again. Leaves an empty session untouched, so that it sets no cookie."""
    session = _session(request)
    if session is None or SESSION_KEY not in session:
        return []
    kinds = get_args(Kind)
    return [Flash(text=text, kind=kind if kind in kinds else "info") for text, kind in session.pop(SESSION_KEY)]


def _session(request: HttpRequest) -> Any:
    return getattr(request, "session", None)
