"""Actions name jobs by dotted strings: each must lead to a function that a job can run."""

import ast
import inspect
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils.module_loading import import_string

from core.jobs.errors import InvalidJob
from core.jobs.functions import check_arguments, resolve_job
from core.jobs.models import Queue
from core.jobs.periodic import PeriodicJob, periodic_jobs
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


def test_every_periodic_job_is_one_that_needs_no_arguments() -> None:
    jobs = periodic_jobs()
    assert [job.kind for job in jobs] == list(settings.PERIODIC_JOBS)
    for job in jobs:
        check_runs_without_arguments(job)


@pytest.mark.parametrize("name", ["gone", "note"])
def test_a_periodic_job_that_is_not_there_or_needs_arguments_is_found(name: str) -> None:
    job = PeriodicJob(kind=f"tests.core.jobs.sample.jobs.{name}", every=timedelta(hours=1), at=timedelta(0), queue=Queue.SHORT)
    with pytest.raises(InvalidJob):
        check_runs_without_arguments(job)


def check_runs_without_arguments(job: PeriodicJob) -> None:
    check_arguments(resolve_job(job.kind), {})
