"""The same ids through web, jobs, SQL and Sentry: what somebody did can be followed, and nobody's data goes along."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
import structlog
from django.db import connection
from django.http import HttpRequest
from pytest_django import DjangoDbBlocker

from core.jobs import enqueue
from core.jobs.models import Job, JobState
from core.request_context import current_request, name_for_database
from tenants.scope import tenant_scope
from tests.payments.test_secrets import Sentry
from tests.processes import UNMEASURED, committed_queue, manage, wait_for
from tests.servers import running_web
from tests.world import World

REQUEST = "followed-0123456789"
BREAKS = "tests.core.jobs.sample.jobs.leak_secrets"


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    server = Sentry()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with closing(server.socket):
        yield server
        server.shutdown()


def events(sentry: Sentry) -> list[dict[str, Any]]:
    """The events among what it was sent: the line of an envelope after the one that says so."""
    found = []
    for envelope in sentry.events:
        lines = envelope.splitlines()
        found += [json.loads(lines[number + 1]) for number, line in enumerate(lines[:-1]) if line.startswith('{"type":"event"')]
    return found


def lines_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def test_an_error_of_the_web_and_of_a_job_can_be_followed(
    committed_world: World, sentry: Sentry, tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    place = committed_world.a
    settings: dict[str, Any] = {"SENTRY_DSN": sentry.dsn, "COMANDA_RELEASE": "2026-11-24", "LOG_FORMAT": "json", "LOG_REQUESTS": "1"}
    with django_db_blocker.unblock(), committed_queue():
        with tenant_scope(place.ref), connection.cursor() as cursor:
            cursor.execute("ALTER TABLE shop_product RENAME TO shop_product_away")
        with running_web(tmp_path, workers=1, **settings) as port:
            headers = {"Host": place.host, "X-Request-ID": REQUEST, "Authorization": f"Bearer {place.token('owner')}"}
            address = f"http://127.0.0.1:{port}/api/v1/products?q=ana@people.test"
            assert requests.get(address, headers=headers, cookies={"comanda": "a-cookie"}, timeout=30).status_code == 500
            of_web = wait_for(lambda: events(sentry))[0]
        with structlog.contextvars.bound_contextvars(request_id=REQUEST):
            job = enqueue(BREAKS, cafeteria_uuid=place.ref.uuid, max_attempts=1)
        with manage("worker", "short", data_folder=tmp_path, **UNMEASURED, **settings):
            wait_for(lambda: Job.objects.filter(pk=job.pk, state=JobState.FAILED).exists())
            [of_job] = wait_for(lambda: [event for event in events(sentry) if "job_id" in event["tags"]])
    both = {"cafeteria": str(place.ref.uuid), "request_id": REQUEST}
    assert {name: of_web["tags"].get(name) for name in ("cafeteria", "request_id", "job_id")} == {**both, "job_id": None}
    assert {name: of_job["tags"].get(name) for name in ("cafeteria", "request_id", "job_id")} == {**both, "job_id": str(job.pk)}
    assert {of_web["release"], of_job["release"]} == {"2026-11-24"}
    [answered] = [line for line in lines_of(tmp_path / "web.log") if line.get("request_id") == REQUEST and line["event"] == "answered"]
    assert (answered["status"], answered["cafeteria"], answered["job_id"]) == (500, str(place.ref.uuid), None)
    started = [line for line in lines_of(tmp_path / "worker-short.log") if line["event"] == "job_started" and line["job_id"] == str(job.pk)]
    assert [(line["request_id"], line["cafeteria"]) for line in started] == [(REQUEST, str(place.ref.uuid))]
    told = "\n".join(sentry.envelopes)
    assert [secret for secret in (place.token("owner"), "a-cookie", "ana@people.test", place.canary) if secret in told] == []


def asked_as() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('application_name')")
        return str(cursor.fetchone()[0])


def test_the_database_knows_who_asks_for_as_long_as_the_scope(world: World) -> None:
    request = HttpRequest()
    request.request_id = "0123456789abcdef0123456789abcdef"  # type: ignore[attr-defined]
    token = current_request.set(request)
    try:
        with tenant_scope(world.a.ref):
            assert asked_as() == "comanda request 0123456789abcdef0123456789abcdef"
    finally:
        current_request.reset(token)
    with structlog.contextvars.bound_contextvars(job_id="0190aaaa-0000-7000-8000-000000000001"), tenant_scope(world.a.ref):
        assert asked_as() == "comanda job 0190aaaa-0000-7000-8000-000000000001"
    with tenant_scope(world.a.ref):
        assert asked_as() == "comanda"


def test_a_long_id_is_cut_as_postgresql_would() -> None:
    request = HttpRequest()
    request.request_id = "a" * 64  # type: ignore[attr-defined]
    token = current_request.set(request)
    try:
        assert len(name_for_database()) == 63
    finally:
        current_request.reset(token)


def test_a_job_bears_the_id_of_the_request_in_whose_course_it_was_added(world: World) -> None:
    with structlog.contextvars.bound_contextvars(request_id=REQUEST):
        assert enqueue(BREAKS).request_id == REQUEST
    assert enqueue(BREAKS).request_id == ""
