from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.utils import OperationalError
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from pytest_django import Settings

from core.alerts.actions import raise_alert
from core.jobs import enqueue
from core.jobs.models import Job
from ops.backups.models import Backup
from ops.measuring import answer
from ops.measuring.kept import Kept
from tenants.models import Cafeteria, MigrationStatus
from tests.world import World

MANY = 1_000


def scraped(client: Client) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """What /metrics says: name -> labels -> value."""
    text = client.get("/metrics", REMOTE_ADDR="127.0.0.1").content.decode()
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def many_cafeterias(world: World, *, first: int) -> None:
    """MANY more, each with backups, jobs, alerts and a status of migration."""
    head = str(Cafeteria.objects.get(pk=world.a.ref.id).schema_head)
    made = Cafeteria.objects.bulk_create(
        Cafeteria(schema_name=f"t_{first + n}", slug=f"many-{first + n}", name=f"Many {first + n}", owner_id=1, schema_head=head)
        for n in range(MANY)
    )
    now = timezone.now()
    facts: dict[str, Any] = {"taken_at": now, "finished_at": now, "size": 1, "rows": 1, "sha256": "", "head": head, "key_id": ""}
    Backup.objects.bulk_create(
        Backup(cafeteria_uuid=one.uuid, cafeteria_id=one.pk, slug=one.slug, kind="hourly", manifest={}, **facts) for one in made
    )
    MigrationStatus.objects.bulk_create(MigrationStatus(cafeteria_id=one.pk, target=head, state="done") for one in made)
    Job.objects.bulk_create(Job(kind="ops.backups.jobs.backup", queue="long", cafeteria_uuid=one.uuid) for one in made)
    for one in made:
        raise_alert(kind="backups.too_old", cafeteria_uuid=one.uuid, subject=one.slug, severity="critical")


def test_the_series_are_as_many_at_a_thousand_cafeterias_as_at_two(world: World) -> None:
    client = world.platform_client()
    enqueue("ops.backups.jobs.backup", queue="long", kind="manual")
    raise_alert(kind="backups.too_old", severity="critical")
    MigrationStatus.objects.create(cafeteria_id=world.a.ref.id, target="x", state="done")
    now = timezone.now()
    facts: dict[str, Any] = {"taken_at": now, "finished_at": now, "size": 1, "rows": 1, "sha256": "", "head": "", "key_id": ""}
    Backup.objects.create(cafeteria_uuid=world.a.ref.uuid, cafeteria_id=world.a.ref.id, slug="luna", kind="hourly", manifest={}, **facts)
    scraped(client)  # The first one makes the series of being asked.
    few = scraped(client)
    many_cafeterias(world, first=50_000)
    many = scraped(client)
    assert {name: set(series) for name, series in many.items()} == {name: set(series) for name, series in few.items()}
    assert many["comanda_cafeterias"][(("status", "open"),)] == few["comanda_cafeterias"][(("status", "open"),)] + MANY
    assert many["comanda_open_alerts"][(("kind", "backups.too_old"), ("severity", "critical"))] == MANY + 1
    assert sum(len(series) for name, series in many.items() if not name.startswith("comanda_http")) < 400


def test_no_label_is_a_cafeteria_a_path_or_a_person(world: World) -> None:
    page = world.a.client()
    page.get("/")
    page.get(f"/no-such-{world.a.ref.slug}")
    text = page.get("/metrics", REMOTE_ADDR="127.0.0.1").content.decode()
    assert 'host_kind="cafeteria"' in text
    assert world.a.ref.slug not in text
    assert str(world.a.ref.uuid) not in text
    assert "@" not in text


def test_a_scrape_is_a_handful_of_queries_however_many_there_are(world: World, settings: Settings) -> None:
    settings.METRICS_KEPT_SECONDS = 60
    client = world.platform_client()
    scraped(client)
    with CaptureQueriesContext(connection) as queries:
        scraped(client)
    assert len(queries) <= 12, [query["sql"][:80] for query in queries]
    settings.METRICS_KEPT_SECONDS = 0
    for collector in answer.COLLECTORS:
        if isinstance(collector, Kept):
            collector._until = 0.0


def test_the_database_the_fleet_and_the_money_are_measured(world: World) -> None:
    found = scraped(world.platform_client())
    assert found["comanda_database_up"][()] == 1
    assert sum(found["comanda_database_connections"].values()) >= 1
    assert found["comanda_database_connections_limit"][()] > 0
    assert found["comanda_database_bytes"][()] > found["comanda_database_catalogue_bytes"][()] > 1_000_000
    assert (("what", "dead"), ("where", "cafeterias")) in found["comanda_database_rows"]
    assert found["comanda_cafeterias_behind"][()] == 0
    assert found["comanda_payments_in_review"][()] == 0
    assert found["comanda_webhooks_unworked"][()] == 0
    assert 0 < found["comanda_disk_free_bytes"][(("folder", "data"),)] <= found["comanda_disk_bytes"][(("folder", "data"),)]


def test_when_the_database_is_away_the_answer_says_so_and_the_rest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from ()
            raise OperationalError("gone")

    monkeypatch.setattr(answer, "COLLECTORS", (*answer.COLLECTORS[:1], Away()))
    monkeypatch.setattr("ops.measuring.answer.connection.close", lambda: None)
    found = scraped(world.platform_client())
    assert found["comanda_database_up"][()] == 0
    assert "comanda_disk_free_bytes" in found
    assert "comanda_job_queue_depth" not in found


def test_a_failure_is_not_kept(settings: Settings) -> None:
    settings.METRICS_KEPT_SECONDS = 60
    answers: list[float | None] = [None, 1, 2]

    class Flaky(Collector):
        def collect(self) -> Iterator[Metric]:
            value = answers.pop(0)
            if value is None:
                raise OperationalError("gone")
            yield GaugeMetricFamily("x", "", value=value)

    kept = Kept(Flaky())
    with pytest.raises(OperationalError):
        list(kept.collect())
    assert [metric.samples[0].value for metric in (*kept.collect(), *kept.collect())] == [1, 1]
