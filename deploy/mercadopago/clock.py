"""The emulator's own time: the machine's, plus what the control API has added. In milliseconds since 1970."""

import re
import time
from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone

ZONE = timezone(timedelta(hours=-4))  # Mercado Pago writes all its timestamps in this one.
SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
_RELATIVE = re.compile(r"NOW(?:([+-]\d+)(SECOND|MINUTE|HOUR|DAY|MONTH|YEAR)S?)?")
_UNITS = {"SECOND": SECOND, "MINUTE": MINUTE, "HOUR": HOUR, "DAY": DAY}


class Clock:
    def __init__(self, offset: int = 0) -> None:
        self.offset = offset

    def now(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset

    def move_to(self, moment: int) -> None:
        """Forward only."""
        self.offset += max(0, moment - self.now())


def stamp(moment: int) -> str:
    return datetime.fromtimestamp(moment / SECOND, ZONE).isoformat(timespec="milliseconds")


def read_moment(text: str, *, now: int) -> int:
    """An ISO time with its zone, or NOW, NOW-1DAYS and the like. Raises ValueError."""
    if relative := _RELATIVE.fullmatch(text):
        number, unit = int(relative[1] or 0), relative[2] or "DAY"
        months = {"MONTH": 1, "YEAR": 12}.get(unit)
        return add_months(now, number * months) if months else now + number * _UNITS[unit]
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        message = f"{text} has no time zone"
        raise ValueError(message)
    return round(moment.timestamp() * SECOND)


def add_months(moment: int, months: int) -> int:
    """The same day of another month, or its last."""
    day = datetime.fromtimestamp(moment / SECOND, UTC)
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    moved = day.replace(year=year, month=month + 1, day=min(day.day, monthrange(year, month + 1)[1]))
    return round(moved.timestamp() * SECOND)
