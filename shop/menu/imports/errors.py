from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from core.errors import AppError

SPELLED_OUT = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class BadRow:
    line: int  # in the file, the header being 1; 0 for the file as a whole
    column: str  # empty for the line as a whole
    problem: str

    def __str__(self) -> str:
        place = ", ".join(filter(None, [f"line {self.line}" if self.line else "", self.column]))
        return f"{place}: {self.problem}" if place else self.problem


class MenuFileRefused(AppError):
    """Nothing was imported. {problems}"""

    code = "menu_file_refused"
    status = 422

    def __init__(self, rows: Sequence[BadRow]) -> None:
        self.rows = tuple(sorted(rows, key=lambda row: row.line))
        spelled_out = [str(row) for row in self.rows[:SPELLED_OUT]]
        if len(self.rows) > SPELLED_OUT:
            spelled_out.append(f"There are {len(self.rows) - SPELLED_OUT} more problems.")
        super().__init__(problems="\n".join(spelled_out))

    @classmethod
    def because(cls, problem: str, *, line: int = 0) -> Self:
        """For what concerns the whole file."""
        return cls([BadRow(line=line, column="", problem=problem)])
