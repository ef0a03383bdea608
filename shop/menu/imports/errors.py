from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext, gettext_noop

from core.errors import AppError

SPELLED_OUT = 20
IN_A_CELL = gettext_noop("line {line}, {column}: {problem}")
IN_A_LINE = gettext_noop("line {line}: {problem}")


class FileProblem(AppError):
    """The file cannot be read as a menu."""

    code = "menu_file_refused"
    status = 422


class NoFile(FileProblem):
    """Choose a CSV file of at most {limit} KB."""


class FileTooLarge(FileProblem):
    """The file is larger than {limit} KB, which is the most."""


class FileInUtf16(FileProblem):
    """The file is in UTF-16. Save it as CSV with the encoding UTF-8."""


class NulCharacter(FileProblem):
    """The file holds a NUL character: it is no text in UTF-8. Save it as CSV, UTF-8."""


class NotUtf8(FileProblem):
    """The byte {byte} is not UTF-8. Save the file as CSV with the encoding UTF-8."""


class FileEmpty(FileProblem):
    """The file is empty: its first line has to be "{header}"."""


class WrongHeader(FileProblem):
    """The first line has to be "{header}"."""


class WrongSeparator(FileProblem):
    """The cells are not parted by commas. Export the file with commas; its first line has to be "{header}"."""


class NoProducts(FileProblem):
    """The file has no products under its header."""


class TooManyProducts(FileProblem):
    """The file has {count} products: {most} are the most."""


class NotCsv(FileProblem):
    """This is not proper CSV: a quote is not closed, or not doubled inside its cell, or a cell is far too long."""


class WrongCellCount(FileProblem):
    """It has {count} cells instead of {wanted}: put cells that hold a comma in quotes."""


class SameProduct(FileProblem):
    """The same product is on line {first}."""


class MoreProblems(FileProblem):
    """There are {count} more problems."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BadRow:
    line: int  # in the file, the header being 1; 0 for the file as a whole
    column: str = ""  # empty for the line as a whole
    problem: AppError

    def __str__(self) -> str:
        return self._template().format(line=self.line, column=self.column, problem=self.problem)

    def translated(self) -> str:
        """In the active language. The column is called as in the file."""
        return gettext(self._template()).format(line=self.line, column=self.column, problem=self.problem.translated())

    def _template(self) -> str:
        if not self.line:
            return "{problem}"
        return IN_A_CELL if self.column else IN_A_LINE


class MenuFileRefused(AppError):
    """Nothing was imported. {problems}"""

    code = "menu_file_refused"
    status = 422

    def __init__(self, rows: Sequence[BadRow]) -> None:
        self.rows = tuple(sorted(rows, key=lambda row: row.line))
        super().__init__(problems=self._spelled_out(str))

    def translated(self) -> str:
        return gettext(self.template()).format(problems=self._spelled_out(lambda row: row.translated()))

    def _spelled_out(self, say: Callable[[BadRow], str]) -> str:
        rows = list(self.rows[:SPELLED_OUT])
        if len(self.rows) > SPELLED_OUT:
            rows.append(BadRow(line=0, problem=MoreProblems(count=len(self.rows) - SPELLED_OUT)))
        return "\n".join(map(say, rows))
