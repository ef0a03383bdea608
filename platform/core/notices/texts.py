"""What a message says: what happened, where, since when, where to look and what to do. In English, with nobody's data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings

from core.notices.models import Notice
from core.notices.runbooks import runbook_address, runbook_of

MOST_GROUPS = 12  # in one message; the console has them all
MOST_NAMES = 5  # of cafeterias in one group
RANK = {"critical": 0, "warning": 1, "info": 2}
What = Notice.What
SAID = {What.OPENED.value: " opened", What.WORSE.value: " has become critical", What.RESOLVED.value: " resolved"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """All of one kind in one message."""

    what: str
    kind: str
    severity: str
    names: tuple[str, ...]  # of the cafeterias, each once
    things: int  # alerts or acts
    since: datetime  # of the first
    detail: str  # of the only one, else empty

    def headline(self) -> str:
        many = f" ({self.things:,})" if self.things > 1 else ""
        return f"{self.severity.upper()}: {self.kind}{SAID.get(self.what, '')}{many}{self._where()}"

    def _where(self) -> str:
        if not self.names:
            return ""
        more = len(self.names) - MOST_NAMES
        return f" at {', '.join(self.names[:MOST_NAMES])}{f' and {more:,} more cafeterias' if more > 0 else ''}"

    def moment(self) -> str:
        return f"{'At' if self.what == What.HAPPENED else 'Since'} {self.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC."

    def runbook(self) -> str:
        """An address where RUNBOOKS_URL says so, else the path in the repository."""
        return runbook_address(runbook_of(self.kind))

    def page(self) -> str:
        return f"{settings.PLATFORM_URL}/console/{'restores' if self.kind.startswith('restore') else 'alerts'}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    groups: tuple[Group, ...]  # the worst first

    @property
    def subject(self) -> str:
        more = len(self.groups) - 1
        return f"[Comanda] {self.groups[0].headline()[:140]}{f', and {more} more' if more else ''}"

    def text(self) -> str:
        return "\n\n".join(self._paragraphs(slack=False)) + "\n"

    def slack(self) -> str:
        """In Slack's mark-up, where &, < and > are written as entities."""
        return "\n\n".join(self._paragraphs(slack=True))

    def _paragraphs(self, *, slack: bool) -> Iterable[str]:
        for group in self.groups[:MOST_GROUPS]:
            headline, detail = group.headline(), group.detail
            if slack:
                headline, detail = f"*{_escaped(headline)}*", _escaped(detail)
            lines = [headline, *([detail] if detail else []), group.moment(), f"Console: {group.page()}"]
            yield "\n".join([*lines, *([f"Runbook: {runbook}"] if (runbook := group.runbook()) else [])])
        if len(self.groups) > MOST_GROUPS:
            yield f"And {len(self.groups) - MOST_GROUPS} more kinds: {settings.PLATFORM_URL}/console/alerts"


def message_of(notices: Iterable[Notice], slugs: Mapping[UUID, str]) -> Message:
    """A paragraph for each kind, however many there are. Of an alert only the last word counts: opened and resolved since is resolved."""
    rows = sorted(notices, key=lambda row: row.pk)
    last = {_about(row): row.pk for row in rows if row.what != What.HAPPENED}
    told: dict[tuple[str, str], list[Notice]] = {}
    for row in rows:
        if row.what == What.HAPPENED or last[_about(row)] == row.pk:
            told.setdefault((row.kind, row.what), []).append(row)
    groups = [_group(of_a_kind, slugs) for of_a_kind in told.values()]
    return Message(groups=tuple(sorted(groups, key=lambda group: (RANK.get(group.severity, 2), group.kind, group.what))))


def _group(rows: list[Notice], slugs: Mapping[UUID, str]) -> Group:
    names = {row.cafeteria_uuid: slugs.get(row.cafeteria_uuid, str(row.cafeteria_uuid)) for row in rows if row.cafeteria_uuid}
    is_over = rows[0].what == What.RESOLVED
    return Group(
        what=rows[0].what,
        kind=rows[0].kind,
        severity="info" if is_over else min((row.severity for row in rows), key=lambda severity: RANK.get(severity, 2)),
        names=tuple(names.values()),
        things=len(rows),
        since=min(row.since for row in rows),
        detail=rows[0].detail if len(rows) == 1 else "",
    )


def _about(row: Notice) -> tuple[str, UUID | None, str]:
    return row.kind, row.cafeteria_uuid, row.subject


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
