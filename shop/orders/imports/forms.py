"""A file of past sales, read and checked whole: header `date,time,transaction,item`, one line for each thing sold.

Lines of one date with the same transaction are one ticket. A transaction number may start again on another date.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from shop.orders.imports.errors import BadLine, NamesFileRefused, SalesFileRefused

HEADER = ("date", "time", "transaction", "item")
MOST_BYTES = 64 * 1024 * 1024
LONGEST_TRANSACTION = 40  # characters
LONGEST_ITEM = 200  # characters
EARLIEST = date(2000, 1, 1)
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
TIME = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?")
# Tills write these for a line that was voided or corrected.
NOT_SOLD = frozenset({"none", "adjustment"})


@dataclass(frozen=True, kw_only=True, slots=True)
class SoldLine:
    line: int  # in the file, the header being 1
    item: str  # as the file writes it


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    reference: str  # "2016-10-30/12": the date and the transaction, unique in the file
    at: datetime  # in UTC
    lines: tuple[SoldLine, ...]  # never empty


@dataclass(frozen=True, kw_only=True, slots=True)
class SalesFile:
    tickets: list[Ticket]  # in the file's order
    lines: int  # without the header
    left_out: int  # lines that sold nothing (NOT_SOLD)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    line: int
    day: date
    clock: time
    transaction: str
    item: str


def read_sales(raw: bytes, *, zone: ZoneInfo, now: datetime) -> SalesFile:
    """The file's tickets with their times in the zone. SalesFileRefused names every bad line with its column and how to mend it.

    A time that the zone's clocks skipped (a till that was not set forward) is taken by the offset before the change. One that they
    showed twice is the first, unless the ticket before it in the file is later than that.
    """
    problems: list[BadLine] = []
    rows = list(_rows(_text(raw), problems, today=now.astimezone(zone).date()))
    groups = _grouped(rows, problems)
    tickets = list(_tickets(groups, zone))
    problems += [
        BadLine(line=ticket.lines[0].line, column="time", problem="is in the future: past sales only")
        for ticket in tickets
        if ticket.at > now
    ]
    if not rows and not problems:
        problems.append(BadLine(line=2, column="", problem="the file has no sales under its header"))
    if problems:
        raise SalesFileRefused(sorted(problems, key=lambda bad: bad.line))
    return SalesFile(tickets=tickets, lines=len(rows), left_out=len(rows) - sum(len(ticket.lines) for ticket in tickets))


def _text(raw: bytes) -> str:
    if len(raw) > MOST_BYTES:
        raise SalesFileRefused.because(f"is larger than {MOST_BYTES // 1024 // 1024} MiB: split it, by month for example")
    if raw[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raise SalesFileRefused.because("is UTF-16: save it as CSV with the encoding UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = f"has the byte 0x{raw[error.start]:02x}, which is not UTF-8: save the file as CSV with the encoding UTF-8"
        raise SalesFileRefused([BadLine(line=line, column="", problem=problem)]) from error


def _rows(text: str, problems: list[BadLine], *, today: date) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begin = 1
    try:
        for cells in reader:
            line, begin = begin, reader.line_num + 1
            if line == 1:
                _check_header(cells)
            elif cells:
                row = _row(cells, line, problems, today=today)
                if row is not None:
                    yield row
    except csv.Error as error:
        problems.append(BadLine(line=begin, column="", problem=f"is not proper CSV ({error}): look for a quote that is not closed"))
    if begin == 1:
        raise SalesFileRefused.because(f'is empty: its first line has to be "{",".join(HEADER)}"')


def _check_header(cells: list[str]) -> None:
    found = [cell.strip().casefold() for cell in cells]
    if tuple(found) == HEADER:
        return
    wanted = ",".join(HEADER)
    if len(cells) == 1 and (";" in cells[0] or "\t" in cells[0]):
        problem = f'is not separated by commas: export it as CSV with commas; the first line has to be "{wanted}"'
    else:
        problem = f'is not the header: the first line has to be "{wanted}"'
    raise SalesFileRefused([BadLine(line=1, column="", problem=problem)])


def _row(cells: list[str], line: int, problems: list[BadLine], *, today: date) -> _Row | None:
    if len(cells) != len(HEADER):
        problem = f"has {len(cells)} columns instead of {len(HEADER)}: put cells that hold a comma in quotes"
        problems.append(BadLine(line=line, column="", problem=problem))
        return None
    readers: dict[str, Callable[[str], Any]] = {
        "date": partial(_date, today=today),
        "time": _time,
        "transaction": partial(_word, longest=LONGEST_TRANSACTION),
        "item": partial(_word, longest=LONGEST_ITEM),
    }
    values = {}
    for (column, read), cell in zip(readers.items(), cells, strict=True):
        try:
            values[column] = read(cell.strip())
        except ValueError as error:
            problems.append(BadLine(line=line, column=column, problem=str(error)))
    if len(values) < len(HEADER):
        return None
    return _Row(line=line, day=values["date"], clock=values["time"], transaction=values["transaction"], item=values["item"])


def _date(value: str, *, today: date) -> date:
    try:
        day = date.fromisoformat(value) if DATE.fullmatch(value) else None
    except ValueError:
        day = None
    if day is None:
        raise ValueError(f"{value[:40]!r} is not a date: write it as 2026-03-31")
    if day < EARLIEST:
        raise ValueError(f"{value} is before {EARLIEST}: look at the year")
    if day > today:
        raise ValueError(f"{value} is in the future: past sales only")
    return day


def _time(value: str) -> time:
    try:
        clock = time.fromisoformat(value) if TIME.fullmatch(value) else None
    except ValueError:
        clock = None
    if clock is None:
        raise ValueError(f"{value[:40]!r} is not a time: write it as 17:05 or 17:05:00")
    return clock


def _word(value: str, *, longest: int) -> str:
    if not value:
        raise ValueError("is empty: every line needs one")
    if len(value) > longest:
        raise ValueError(f"has {len(value)} characters: {longest} is the most")
    if not value.isprintable():
        bad = next(letter for letter in value if not letter.isprintable())
        raise ValueError(f"holds the control character U+{ord(bad):04X}: take it out")
    return value


def _grouped(rows: list[_Row], problems: list[BadLine]) -> list[list[_Row]]:
    groups: dict[tuple[date, str], list[_Row]] = {}
    for row in rows:
        group = groups.setdefault((row.day, row.transaction), [])
        group.append(row)
        if row.clock != group[0].clock:
            problem = f"transaction {row.transaction} has the time {group[0].clock} on line {group[0].line}: a ticket has one time"
            problems.append(BadLine(line=row.line, column="time", problem=problem))
    return list(groups.values())


def _tickets(groups: list[list[_Row]], zone: ZoneInfo) -> Iterator[Ticket]:
    previous: datetime | None = None
    for group in groups:
        first = group[0]
        at = previous = _instant(datetime.combine(first.day, first.clock), zone, previous)
        lines = tuple(SoldLine(line=row.line, item=row.item) for row in group if row.item.casefold() not in NOT_SOLD)
        if lines:
            yield Ticket(reference=f"{first.day}/{first.transaction}", at=at, lines=lines)


def _instant(local: datetime, zone: ZoneInfo, previous: datetime | None) -> datetime:
    first = local.replace(tzinfo=zone).astimezone(UTC)
    second = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    # In a skipped hour the second reading is the earlier one.
    if previous is not None and first < previous <= second:
        return second
    return first


def read_names(raw: bytes) -> dict[str, str | None]:
    """What the file calls a thing -> what the menu calls it, or None for what is left out. NamesFileRefused for anything else."""
    try:
        names = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise NamesFileRefused("is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise NamesFileRefused(f"is not JSON ({error})") from error
    if not isinstance(names, dict) or not all(value is None or isinstance(value, str) for value in names.values()):
        raise NamesFileRefused("holds something else than names")
    return names
