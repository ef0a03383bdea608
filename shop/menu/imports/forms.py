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
from shop.menu.imports import errors
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
            problems.append(BadRow(line=line, column="name", problem=errors.SameProduct(first=first)))
    if not rows and not problems:
        problems.append(BadRow(line=2, problem=errors.NoProducts()))
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
        raise _refused(errors.FileTooLarge(limit=settings.MENU_CSV_MAX_BYTES // 1024))
    if raw[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raise _refused(errors.FileInUtf16())
    if b"\x00" in raw:
        line = raw.count(b"\n", 0, raw.index(b"\x00")) + 1
        raise _refused(errors.NulCharacter(), line=line)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _refused(errors.NotUtf8(byte=f"0x{raw[error.start]:02x}"), line=line) from error


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
    except csv.Error:
        problems.append(BadRow(line=begin, problem=errors.NotCsv()))
    if begin == 1 and not problems:
        raise _refused(errors.FileEmpty(header=WANTED))
    if count > MOST_PRODUCTS:
        raise _refused(errors.TooManyProducts(count=count, most=MOST_PRODUCTS))


def _check_header(cells: list[str]) -> None:
    if tuple(cell.strip().casefold() for cell in cells) == HEADER:
        return
    is_parted_otherwise = len(cells) == 1 and (";" in cells[0] or "\t" in cells[0])
    kind = errors.WrongSeparator if is_parted_otherwise else errors.WrongHeader
    raise _refused(kind(header=WANTED), line=1)


def _refused(problem: errors.FileProblem, *, line: int = 0) -> MenuFileRefused:
    """For what concerns the whole file."""
    return MenuFileRefused([BadRow(line=line, problem=problem)])


def _product(line: int, cells: list[str], currency: str, problems: list[BadRow]) -> ProductFields | None:
    if len(cells) != len(HEADER):
        problems.append(BadRow(line=line, problem=errors.WrongCellCount(count=len(cells), wanted=len(HEADER))))
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
    problems += [BadRow(line=line, column=problem.field, problem=problem) for problem in found]
    return None
