"""The menu as a file: CSV (RFC 4180) in UTF-8 with a fixed header. Read and checked whole; what is written can be read again."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from django.conf import settings

from core.money import as_text
from shop.menu.data import ProductFields
from shop.menu.errors import FieldProblem, InvalidProduct
from shop.menu.forms import MOST_PRODUCTS, check_combinations, clean_product, read_amount, read_stock
from shop.menu.imports.errors import BadRow, MenuFileRefused
from shop.menu.imports.options import read_options, write_options

HEADER = ("category", "name", "description", "price", "stock", "tags", "allergens", "options")
WANTED = ",".join(HEADER)
READERS = {
    "price": read_amount,
    "stock": read_stock,
    "tags": lambda cell: [cell],
    "allergens": lambda cell: [cell],
    "options": read_options,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class MenuRow:
    line: int  # where it begins in the file
    product: ProductFields  # clean


def read_menu(raw: bytes, *, currency: str) -> list[MenuRow]:
    """The file's products, checked. MenuFileRefused names every bad cell by line and column."""
    problems: list[BadRow] = []
    rows: list[MenuRow] = []
    seen: dict[tuple[str, str], int] = {}
    for line, cells in _lines(_text(raw), problems):
        product = _product(line, cells, currency, problems)
        if product is None:
            continue
        first = seen.setdefault((product["category"], product["name"]), line)
        if first == line:
            rows.append(MenuRow(line=line, product=product))
        else:
            problems.append(BadRow(line=line, column="name", problem=f"The same product is on line {first}."))
    if not rows and not problems:
        problems.append(BadRow(line=2, column="", problem="The file has no products under its header."))
    if problems:
        raise MenuFileRefused(problems)
    return rows


def write_menu(products: Iterable[ProductFields], *, currency: str) -> str:
    """The file of these products, in the given order."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(HEADER)
    for product in products:
        stock = product.get("stock")
        writer.writerow(
            [
                product["category"],
                product["name"],
                product.get("description", ""),
                as_text(product["price"], currency),
                "" if stock is None else stock,
                ", ".join(product.get("tags", ())),
                ", ".join(product.get("allergens", ())),
                write_options(product.get("options", ()), currency=currency),
            ]
        )
    return file.getvalue()


def _text(raw: bytes) -> str:
    if len(raw) > settings.MENU_CSV_MAX_BYTES:
        raise MenuFileRefused.because(f"The file is larger than {settings.MENU_CSV_MAX_BYTES // 1024} KiB, which is the most.")
    if raw[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raise MenuFileRefused.because("The file is in UTF-16. Save it as CSV with the encoding UTF-8.")
    if b"\x00" in raw:
        line = raw.count(b"\n", 0, raw.index(b"\x00")) + 1
        raise MenuFileRefused.because("The file holds a NUL character: it is no text in UTF-8. Save it as CSV, UTF-8.", line=line)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = f"The byte 0x{raw[error.start]:02x} is not UTF-8. Save the file as CSV with the encoding UTF-8."
        raise MenuFileRefused.because(problem, line=line) from error


def _lines(text: str, problems: list[BadRow]) -> Iterator[tuple[int, list[str]]]:
    """The rows under the header with the line where each begins; empty ones are passed over."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begin, count = 1, 0
    try:
        for cells in reader:
            line, begin = begin, reader.line_num + 1
            if line == 1:
                _check_header(cells)
            elif any(cell.strip() for cell in cells):
                count += 1
                yield line, cells
    except csv.Error as error:
        problems.append(BadRow(line=begin, column="", problem=f"This is not proper CSV ({error}): look for a quote that is not closed."))
    if begin == 1 and not problems:
        raise MenuFileRefused.because(f'The file is empty: its first line has to be "{WANTED}".')
    if count > MOST_PRODUCTS:
        raise MenuFileRefused.because(f"The file has {count} products: {MOST_PRODUCTS} are the most.")


def _check_header(cells: list[str]) -> None:
    if tuple(cell.strip().casefold() for cell in cells) == HEADER:
        return
    if len(cells) == 1 and (";" in cells[0] or "\t" in cells[0]):
        problem = f'The cells are not parted by commas. Export the file with commas; its first line has to be "{WANTED}".'
    else:
        problem = f'The first line has to be "{WANTED}".'
    raise MenuFileRefused.because(problem, line=1)


def _product(line: int, cells: list[str], currency: str, problems: list[BadRow]) -> ProductFields | None:
    if len(cells) != len(HEADER):
        problem = f"It has {len(cells)} cells instead of {len(HEADER)}: put cells that hold a comma in quotes."
        problems.append(BadRow(line=line, column="", problem=problem))
        return None
    fields: dict[str, Any] = {}
    found: list[FieldProblem] = []
    for column, cell in zip(HEADER, cells, strict=True):
        try:
            fields[column] = READERS.get(column, str)(cell.strip())
        except FieldProblem as problem:
            problem.field = column
            found.append(problem)
    try:
        clean = clean_product(cast("ProductFields", fields), currency=currency)
        if not found:
            check_combinations(clean["price"], clean["options"], currency=currency)
            return clean
    except InvalidProduct as invalid:
        found += invalid.problems
    found.sort(key=lambda problem: HEADER.index(problem.field))
    problems += [BadRow(line=line, column=problem.field, problem=str(problem)) for problem in found]
    return None
