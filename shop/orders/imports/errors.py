from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from core.errors import AppError


@dataclass(frozen=True, kw_only=True, slots=True)
class BadLine:
    line: int  # 0 for the file as a whole
    column: str  # empty for the line as a whole
    problem: str  # with what to do

    def __str__(self) -> str:
        if not self.line:
            return f"The file {self.problem}."
        place = f"Line {self.line}, {self.column}" if self.column else f"Line {self.line}"
        return f"{place}: {self.problem}."


class SalesFileRefused(AppError):
    """Nothing was imported. {problems}"""

    code = "sales_file_refused"
    status = 422

    def __init__(self, bad_lines: Sequence[BadLine]) -> None:
        self.bad_lines = tuple(bad_lines)
        super().__init__(problems="\n".join(str(bad) for bad in bad_lines))

    @classmethod
    def because(cls, problem: str) -> Self:
        """For what concerns no line but the whole file; the problem follows "The file"."""
        return cls([BadLine(line=0, column="", problem=problem)])


class NamesFileRefused(AppError):
    """The file of names {problem}. Write JSON like {example}: what the sales say, what the menu says, null to leave it out."""

    code = "names_file_refused"
    status = 422

    def __init__(self, problem: str) -> None:
        super().__init__(problem=problem, example='{"Latte": "Café con leche", "Voided": null}')
