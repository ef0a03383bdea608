from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext

from core.errors import AppError


@dataclass(frozen=True, kw_only=True, slots=True)
class Obstacle:
    """Something of the server that has to be changed, with what to do: a sentence in English, {placeholders} and what stands for them."""

    words: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    forbids: bool = True  # else it only makes the archive worse

    @property
    def text(self) -> str:
        return self.words.format(**self.facts)

    def translated(self) -> str:
        """In the active language."""
        return gettext(self.words).format(**self.facts)


class OutsideWindow(AppError):
    """The archive cannot go back to that moment: {reason}"""

    code = "outside_window"
    status = 400

    def __init__(self, words: str, **known: Any) -> None:
        """`words` are English, with {placeholders} of what is `known`."""
        self.words, self.known = words, known
        super().__init__(reason=words.format(**known))

    def translated(self) -> str:
        return gettext(self.template()).format(reason=gettext(self.words).format(**self.known))


class ArchiveNotPossible(AppError):
    """PostgreSQL does not let its archive be kept: {reason}"""

    code = "archive_not_possible"
    status = 409

    def __init__(self, reason: str = "", *, obstacles: Sequence[Obstacle] = ()) -> None:
        self.obstacles = obstacles
        super().__init__(reason=reason or " ".join(obstacle.text for obstacle in obstacles))

    def translated(self) -> str:
        if not self.obstacles:
            return super().translated()
        return gettext(self.template()).format(reason=" ".join(obstacle.translated() for obstacle in self.obstacles))


class ArchiveDamaged(AppError):
    """The archive cannot be used: {reason}"""

    code = "archive_damaged"
    status = 409

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)


class RecoveryFailed(AppError):
    """PostgreSQL could not be recovered beside the live one: {reason}"""

    code = "recovery_failed"
    status = 409

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)
