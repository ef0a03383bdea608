"""Whatever the console may have to name has words for people: every job, kind of alert and act that the product has."""

import ast
import re
from collections.abc import Iterator

import pytest

from ops.console.words import DEEDS, JOBS, TROUBLES, job_words
from tests.architecture.test_sources import REPOSITORY, sources

PLATFORMS_OWN = ("admin.", "deploy.", "recovery.", "second_factor.")  # acts at no cafeteria: no page of the console lists them


def jobs() -> Iterator[str]:
    for path in sources():
        if path.name == "jobs.py":
            module = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removeprefix("platform.")
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.FunctionDef) and node.args.args and node.args.args[0].arg == "run":
                    yield f"{module}.{node.name}"


def named(function: str, argument: str | None) -> Iterator[str]:
    """What the source calls the function with: the first argument, or that keyword; a module's constant for its value."""
    for path in sources():
        tree = ast.parse(path.read_text())
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if (call.func.id if isinstance(call.func, ast.Name) else "") != function:
                continue
            given = call.args[:1] if argument is None else [each.value for each in call.keywords if each.arg == argument]
            for value in (part for each in given for part in ast.walk(each)):
                if isinstance(value, ast.Constant) and isinstance(value.value, str) and re.fullmatch(r"[a-z_]+\.[a-z_]+", value.value):
                    yield value.value
                elif isinstance(value, ast.Name) and value.id in constants:
                    yield constants[value.id]


def test_every_job_has_words() -> None:
    found = set(jobs())
    assert len(found) > 25
    assert found - JOBS.keys() == set()
    assert job_words("some.part.jobs.do_it") == "do it"


def test_every_kind_of_alert_says_what_to_do() -> None:
    found = set(named("raise_alert", "kind"))
    assert len(found) > 20
    assert found - TROUBLES.keys() == set()


def test_every_act_at_a_cafeteria_has_words() -> None:
    found = set(named("record", None))
    assert len(found) > 30
    assert {act for act in found - DEEDS.keys() if not act.startswith(PLATFORMS_OWN)} == set()


@pytest.mark.parametrize("kind", sorted(TROUBLES))
def test_a_remedy_names_no_command_that_production_has_no_shell_for(kind: str) -> None:
    """Whoever is woken sees a page: processes are containers there, started again by themselves."""
    assert not re.search(r"[Ss]tart manage\.py", str(TROUBLES[kind].remedy))
