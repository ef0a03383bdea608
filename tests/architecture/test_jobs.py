"""Actions name jobs by dotted strings: each must lead to a function that a job can run."""

import ast
import inspect
from collections.abc import Iterator

from django.utils.module_loading import import_string

from tests.architecture.test_sources import sources


def job_strings() -> Iterator[tuple[str, str]]:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            first = node.args[0]
            if name == "enqueue" and isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield str(path), first.value


def test_every_job_string_resolves_to_a_function_that_takes_a_run() -> None:
    strings = list(job_strings())
    assert len(strings) >= 2
    for path, dotted in strings:
        function = import_string(dotted)
        assert next(iter(inspect.signature(function).parameters)) == "run", (path, dotted)
