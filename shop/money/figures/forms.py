"""Which days somebody wants to see, from an address."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, get_args
from urllib.parse import urlencode

type Length = Literal["day", "week", "days30", "month"]
FIRST_DAY = date(2015, 1, 1)
A_DAY = timedelta(days=1)
LENGTHS = {"day": 1, "week": 7, "days30": 30}


@dataclass(frozen=True, kw_only=True)
class Span:
    """Business days, both ends included; never beyond today."""

    length: Length
    first: date
    last: date
    today: date

    @property
    def days(self) -> list[date]:
        return [self.first + number * A_DAY for number in range((self.last - self.first).days + 1)]

    @property
    def query(self) -> str:
        """The same span again, as the end of an address."""
        return self._query(self.last)

    @property
    def earlier(self) -> str:
        """The span before; empty where there is nothing any more."""
        return self._query(self.first - A_DAY) if self.first > FIRST_DAY else ""

    @property
    def later(self) -> str:
        """The span after; empty where that has not begun."""
        if self.last >= self.today:
            return ""
        return self._query(self.last + LENGTHS.get(self.length, 1) * A_DAY)

    def of_length(self, length: Length) -> str:
        """Another length that ends on the same day."""
        return urlencode({"span": length, "day": self.last.isoformat()})

    def _query(self, day: date) -> str:
        return urlencode({"span": self.length, "day": min(day, self.today).isoformat()})


def read_span(query: Mapping[str, str], *, today: date) -> Span:
    """What `span` and `day` ask for; today where they make no sense."""
    asked = query.get("span", "")
    length: Length = next((known for known in get_args(Length.__value__) if known == asked), "day")
    day = today
    with suppress(ValueError):
        day = date.fromisoformat(query.get("day", ""))
    day = max(FIRST_DAY, min(day, today))
    if length == "month":
        first, next_month = day.replace(day=1), (day.replace(day=28) + timedelta(days=4)).replace(day=1)
        return Span(length=length, first=first, last=min(next_month - A_DAY, today), today=today)
    return Span(length=length, first=max(FIRST_DAY, day - (LENGTHS[length] - 1) * A_DAY), last=day, today=today)
