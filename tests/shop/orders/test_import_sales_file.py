from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from shop.orders.imports.errors import NamesFileRefused, SalesFileRefused
from shop.orders.imports.forms import SalesFile, read_names, read_sales

BUENOS_AIRES = ZoneInfo("America/Argentina/Buenos_Aires")
SANTIAGO = ZoneInfo("America/Santiago")
NOW = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
HEADER = "date,time,transaction,item\n"


def read(text: str | bytes, zone: ZoneInfo = BUENOS_AIRES) -> SalesFile:
    return read_sales(text if isinstance(text, bytes) else text.encode(), zone=zone, now=NOW)


def problems(text: str | bytes, zone: ZoneInfo = BUENOS_AIRES) -> list[str]:
    with pytest.raises(SalesFileRefused) as refused:
        read(text, zone)
    return [str(bad) for bad in refused.value.bad_lines]


def test_lines_of_a_date_with_the_same_transaction_are_one_ticket() -> None:
    file = read(HEADER + "2016-10-30,10:05:34,2,Pan\n2016-10-31,10:05:34,2,Pan\n2016-10-30,10:05:34,2,Té\n")
    assert [(t.reference, t.at.isoformat(), [(s.line, s.item) for s in t.lines]) for t in file.tickets] == [
        ("2016-10-30/2", "2016-10-30T13:05:34+00:00", [(2, "Pan"), (4, "Té")]),
        ("2016-10-31/2", "2016-10-31T13:05:34+00:00", [(3, "Pan")]),
    ]


def test_what_a_till_writes_for_nothing_sold_is_left_out() -> None:
    file = read(HEADER + "2016-10-30,10:05,2,NONE\n2016-10-30,10:06,3,Adjustment\n2016-10-30,10:06,3,Pan\n")
    assert ([t.reference for t in file.tickets], file.lines, file.left_out) == (["2016-10-30/3"], 3, 2)


def test_a_file_as_a_spreadsheet_writes_it_is_read() -> None:
    file = read(b"\xef\xbb\xbf" + b'Date, Time,transaction,item\r\n2016-10-30,10:05,2,"Pan, negro"\r\n\r\n')
    assert [line.item for line in file.tickets[0].lines] == ["Pan, negro"]


def test_a_line_after_a_cell_of_two_lines_is_counted_as_an_editor_counts() -> None:
    text = HEADER + '2016-10-30,10:05,2,"Pan\nnegro"\n2016-10-30,ten,3,Pan\n'
    assert problems(text) == [
        "Line 2, item: holds the control character U+000A: take it out.",
        "Line 4, time: 'ten' is not a time: write it as 17:05 or 17:05:00.",
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("30/10/2016,10:05,2,Pan", "Line 2, date: '30/10/2016' is not a date: write it as 2026-03-31."),
        ("2016-02-30,10:05,2,Pan", "Line 2, date: '2016-02-30' is not a date: write it as 2026-03-31."),
        ("2016-W01-1,10:05,2,Pan", "Line 2, date: '2016-W01-1' is not a date: write it as 2026-03-31."),
        ("٢٠١٦-10-30,10:05,2,Pan", "Line 2, date: '٢٠١٦-10-30' is not a date: write it as 2026-03-31."),
        ("1016-10-30,10:05,2,Pan", "Line 2, date: 1016-10-30 is before 2000-01-01: look at the year."),
        ("2026-04-01,10:05,2,Pan", "Line 2, date: 2026-04-01 is in the future: past sales only."),
        ("2026-03-31,09:05,2,Pan", "Line 2, time: is in the future: past sales only."),
        ("2016-10-30,24:05,2,Pan", "Line 2, time: '24:05' is not a time: write it as 17:05 or 17:05:00."),
        ("2016-10-30,10:05,,Pan", "Line 2, transaction: is empty: every line needs one."),
        ("2016-10-30,10:05,2, ", "Line 2, item: is empty: every line needs one."),
        ("2016-10-30,10:05,2,Pan\0", "Line 2, item: holds the control character U+0000: take it out."),
        ("2016-10-30,10:05,2," + "x" * 201, "Line 2, item: has 201 characters: 200 is the most."),
        ("2016-10-30,10:05,2,Pan,negro", "Line 2: has 5 columns instead of 4: put cells that hold a comma in quotes."),
        ('2016-10-30,10:05,2,"Pan', "Line 2: is not proper CSV (unexpected end of data): look for a quote that is not closed."),
    ],
)
def test_a_bad_line_is_named_with_its_column_and_what_to_do(line: str, said: str) -> None:
    assert problems(HEADER + line + "\n") == [said]


def test_every_bad_line_is_named_in_the_order_of_the_file() -> None:
    text = HEADER + "2016-10-30,10:05,2,Pan\n2016-10-30,10:06,2,Té\nx,y,3,Pan\n"
    assert problems(text) == [
        "Line 3, time: transaction 2 has the time 10:05:00 on line 2: a ticket has one time.",
        "Line 4, date: 'x' is not a date: write it as 2026-03-31.",
        "Line 4, time: 'y' is not a time: write it as 17:05 or 17:05:00.",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", 'The file is empty: its first line has to be "date,time,transaction,item".'),
        (HEADER.encode(), "Line 2: the file has no sales under its header."),
        (b"2016-10-30,10:05,2,Pan\n", 'Line 1: is not the header: the first line has to be "date,time,transaction,item".'),
        (
            b"date;time;transaction;item\n",
            'Line 1: is not separated by commas: export it as CSV with commas; the first line has to be "date,time,transaction,item".',
        ),
        (
            HEADER.encode() + "2016-10-30,10:05,2,Té\n".encode("latin-1"),
            "Line 2: has the byte 0xe9, which is not UTF-8: save the file as CSV with the encoding UTF-8.",
        ),
        (HEADER.encode("utf-16"), "The file is UTF-16: save it as CSV with the encoding UTF-8."),
    ],
)
def test_a_file_of_another_kind_is_refused_with_what_to_do(content: bytes, said: str) -> None:
    assert problems(content) == [said]


def test_a_time_that_the_clocks_skipped_is_read_as_by_a_till_not_set_forward() -> None:
    # In Chile the clocks went from 2016-08-14 00:00 (-04:00) to 01:00 (-03:00).
    file = read(HEADER + "2016-08-13,23:50,1,Pan\n2016-08-14,00:30,2,Pan\n2016-08-14,02:00,3,Pan\n", SANTIAGO)
    assert [t.at.isoformat()[:16] for t in file.tickets] == ["2016-08-14T03:50", "2016-08-14T04:30", "2016-08-14T05:00"]


def test_a_time_shown_twice_follows_the_ticket_before_it() -> None:
    # In Chile the clocks went from 2016-05-15 00:00 (-03:00) back to 23:00 (-04:00) of the 14th.
    file = read(HEADER + "2016-05-14,23:10,1,Pan\n2016-05-14,23:50,2,Pan\n2016-05-14,23:20,3,Pan\n2016-05-14,23:40,4,Pan\n", SANTIAGO)
    assert [t.at.isoformat()[:16] for t in file.tickets] == [
        "2016-05-15T02:10",
        "2016-05-15T02:50",
        "2016-05-15T03:20",
        "2016-05-15T03:40",
    ]


def test_names_are_read() -> None:
    assert read_names('{"Bread": "Pan", "Void": null}'.encode("utf-8-sig")) == {"Bread": "Pan", "Void": None}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"Bread": 1}', b"\xff", b"[" * 100_000])
def test_a_file_of_names_of_another_kind_is_refused(content: bytes) -> None:
    with pytest.raises(NamesFileRefused):
        read_names(content)


def test_a_file_that_is_too_large_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shop.orders.imports.forms.MOST_BYTES", 0)
    assert problems(b"x") == ["The file is larger than 0 MiB: split it, by month for example."]
