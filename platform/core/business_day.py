"""The business day: what "today" means for a cafeteria (wall 10)."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def business_date(moment: datetime, *, zone: ZoneInfo, cutoff: time) -> date:
    """The business day of an aware moment: the local date, and yesterday's until the local cutoff time."""
    local = moment.astimezone(zone)
    return local.date() - timedelta(days=1) if local.time() < cutoff else local.date()


def business_span(day: date, *, zone: ZoneInfo, cutoff: time) -> tuple[datetime, datetime]:
    """The aware moments [start, end) of a business day, in UTC."""
    start, end = (datetime.combine(d, cutoff, tzinfo=zone).astimezone(UTC) for d in (day, day + timedelta(days=1)))
    return start, end
