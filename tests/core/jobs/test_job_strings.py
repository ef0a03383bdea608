import inspect
from pathlib import Path

from core.jobs.functions import resolve_job
from tests.core.jobs.strings import JobString, job_strings
from tests.processes import REPOSITORY

SOURCES = [REPOSITORY / name for name in ("platform", "tenants", "shop", "billing", "ops")]
PERIODIC = (
    REPOSITORY / "platform" / "core" / "jobs" / "periodic.py"
)  # Its names are settings': tests/architecture/test_jobs.py resolves them.


def test_every_job_that_is_enqueued_exists_and_takes_what_it_is_given() -> None:
    jobs = list(job_strings(*SOURCES))
    problems = [f"{job} {problem}" for job in jobs if job.file != PERIODIC and (problem := problem_of(job))]
    assert problems == []
    assert [(job.kind, job.arguments) for job in jobs if job.file == PERIODIC] == [(None, frozenset())]


def test_the_scan_finds_what_it_must(tmp_path: Path) -> None:
    source = 'enqueue("a.jobs.b", queue="long", dough=1)\nname = "x"\nactions.enqueue(name)\nenqueue_all("c")\n'
    (tmp_path / "actions.py").write_text(source)
    found = [(job.line, job.kind, sorted(job.arguments)) for job in job_strings(tmp_path)]
    assert found == [(1, "a.jobs.b", ["dough"]), (3, None, [])]
    assert [problem_of(job) for job in job_strings(tmp_path)] == ["There is no job a.jobs.b: No module named 'a'", "names no string"]


def problem_of(job: JobString) -> str:
    if job.kind is None:
        return "names no string"
    try:
        parameters = inspect.signature(resolve_job(job.kind)).parameters.values()
    except ValueError as error:
        return str(error)
    unknown = job.arguments - {parameter.name for parameter in parameters}
    return f"does not take {sorted(unknown)}" if unknown and all(p.kind != p.VAR_KEYWORD for p in parameters) else ""
