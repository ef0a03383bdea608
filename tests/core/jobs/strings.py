"""Finds the jobs that the source names."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class JobString:
    file: Path
    line: int
    kind: str | None  # None: named by an expression, which no test can resolve
    arguments: frozenset[str]  # those passed by name

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}"


ENQUEUE_OPTIONS = frozenset({"queue", "cafeteria_uuid", "idempotency_key", "run_after", "max_attempts"})


def job_strings(*roots: Path) -> Iterator[JobString]:
    """Every call of `enqueue` below the folders."""
    for file in sorted(file for root in roots for file in root.rglob("*.py")):
        tree = ast.parse(file.read_text(), filename=str(file))
        yield from (_job_string(file, node) for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_enqueue(node.func))


def _is_enqueue(function: ast.expr) -> bool:
    return (isinstance(function, ast.Name) and function.id == "enqueue") or (
        isinstance(function, ast.Attribute) and function.attr == "enqueue"
    )


def _job_string(file: Path, call: ast.Call) -> JobString:
    first = call.args[0] if call.args else None
    kind = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
    names = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
    return JobString(file=file, line=call.lineno, kind=kind, arguments=frozenset(names - ENQUEUE_OPTIONS))
