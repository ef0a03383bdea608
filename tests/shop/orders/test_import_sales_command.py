"""`manage.py import_sales`, and the same as a job."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from core.jobs.models import Job
from core.jobs.runner import run_job
from shop.orders.models import Order
from tenants.actions import close_cafeteria, suspend_cafeteria
from tenants.scope import tenant_scope
from tests.world import Place, World

SALES = "date,time,transaction,item\n2016-10-30,10:05,1,Coffee\n2016-10-30,10:05,1,NONE\n2016-10-31,10:05,1,Coffee\n"


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    file = tmp_path / "sales.csv"
    file.write_text(SALES)
    return file


@pytest.fixture
def place(committed_world: World, tmp_path: Path) -> Iterator[Place]:
    """A cafeteria whose jobs a worker can see, and a place for its stored files."""
    with override_settings(MEDIA_ROOT=tmp_path / "media"):
        yield committed_world.a
    Job.objects.filter(cafeteria_uuid=committed_world.a.ref.uuid).delete()


def names_file(folder: Path, place: Place) -> Path:
    file = folder / "names.json"
    file.write_text(json.dumps({"Coffee": f"Café {place.canary}"}))
    return file


def run(*arguments: Any, **options: Any) -> str:
    out = io.StringIO()
    call_command("import_sales", *arguments, stdout=out, **options)
    return out.getvalue()


def test_it_says_what_it_did(world: World, sales: Path, tmp_path: Path) -> None:
    names = names_file(tmp_path, world.a)
    name = world.a.ref.name
    assert run("luna", sales, names=names) == (
        f"{name}: 2 tickets of 2 days imported, 2000.00 ARS at today's prices.\n1 lines that sold nothing were left out.\n"
    )
    assert run("luna", sales) == (
        f"{name}: 0 tickets of 0 days imported, 0.00 ARS at today's prices.\n2 tickets were there already.\n"
        "1 lines that sold nothing were left out.\n"
    )


def test_a_refused_file_is_an_error_with_every_line(world: World, sales: Path) -> None:
    sales.write_text(SALES + "x,y,1,Coffee\n")
    with pytest.raises(CommandError) as error:
        run("luna", sales)
    assert str(error.value).splitlines() == [
        "Nothing was imported. Line 5, date: 'x' is not a date: write it as 2026-03-31.",
        "Line 5, time: 'y' is not a time: write it as 17:05 or 17:05:00.",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody", "{sales}"), 'There is no cafeteria "nobody".'),
        (("luna", "/nowhere/sales.csv"), "/nowhere/sales.csv cannot be read: No such file or directory."),
        (("luna", "/"), "/ cannot be read: Is a directory."),
        (("luna", "{sales}", "--names", "{sales}"), "The file of names is not JSON"),
    ],
)
def test_what_cannot_be_used_is_said(world: World, sales: Path, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError) as error:
        run(*(argument.format(sales=sales) for argument in arguments))
    assert str(error.value).startswith(said)


def test_a_suspended_cafeteria_can_have_its_past_and_a_closed_one_cannot(world: World, sales: Path, tmp_path: Path) -> None:
    names = names_file(tmp_path, world.a)
    suspend_cafeteria(cafeteria_id=world.a.ref.id)
    assert "2 tickets of 2 days imported" in run("luna", sales, names=names)
    close_cafeteria(cafeteria_id=world.a.ref.id)
    with pytest.raises(CommandError, match="There is no cafeteria here"):
        run("luna", sales, names=names)


def test_a_worker_imports_the_stored_file_and_again_nothing_twice(place: Place, sales: Path, tmp_path: Path) -> None:
    said = run(place.ref.slug, sales, names=names_file(tmp_path, place), background=True)
    job = Job.objects.get(cafeteria_uuid=place.ref.uuid)
    assert (said, job.kind, job.queue) == (f"A worker imports it: job {job.pk}.\n", "shop.orders.jobs.import_sales", "long")
    run_job(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.progress, job.message) == ("succeeded", 1.0, "2 of 2 tickets imported")
    assert job.result == {"imported": 2, "known": 0, "left_out": 1, "days": 2, "revenue": "2000.00"}
    Job.objects.filter(pk=job.pk).update(state="queued", claim=None)
    run_job(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.result["known"]) == ("succeeded", 2)
    with tenant_scope(place.ref):
        assert Order.objects.count() == 2


def test_a_job_with_a_bad_file_fails_at_once_and_says_why(place: Place, sales: Path) -> None:
    run(place.ref.slug, sales, background=True)
    job = Job.objects.get(cafeteria_uuid=place.ref.uuid)
    run_job(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.attempts) == ("failed", 1)
    assert job.error.startswith('SalesFileRefused: Nothing was imported. Line 2, item: "Coffee" is not on the menu')
