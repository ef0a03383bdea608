"""The console's pages: what they say, in both languages, empty and full, at a fixed number of queries."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from core.alerts.actions import raise_alert
from core.alerts.models import Alert
from core.audit.models import AuditEntry
from core.jobs import enqueue
from core.jobs.models import ClusterBeat, Job
from ops.backups.models import Backup, BackupTurn
from ops.console.words import TROUBLES
from ops.restores.models import Restore
from tenants.models import Cafeteria, MigrationStatus
from tests.accounts.test_proof import age
from tests.ops.console.desk import Desk

SECRET = "correct-horse-battery-staple"


def beat() -> None:
    for queue in ("short", "long"):
        ClusterBeat.objects.update_or_create(queue=queue, defaults={"beat_at": timezone.now(), "asked_at": None})


def kept_backup(cafeteria: Any, *, ago: timedelta, proven: bool = False, **more: Any) -> Backup:
    now = timezone.now()
    facts = {"kind": "hourly", "size": 330_400, "rows": 16_705, "sha256": "0" * 64, "head": "h", "key_id": "k", "file": "f", "manifest": {}}
    return Backup.objects.create(
        cafeteria_uuid=cafeteria.uuid, cafeteria_id=cafeteria.pk, slug=cafeteria.slug, taken_at=now - ago, finished_at=now,
        proven_at=now if proven else None, **{**facts, **more},
    )  # fmt: skip


@pytest.fixture
def shop(desk: Desk) -> Cafeteria:
    return Cafeteria.objects.get(pk=desk.place.ref.id)


def pages(desk: Desk, shop: Cafeteria) -> list[str]:
    backup = kept_backup(shop, ago=timedelta(hours=1))
    job = enqueue("ops.restores.jobs.preview", queue="long", cafeteria_uuid=shop.uuid, backup_id=str(backup.pk))
    restore = Restore.objects.create(
        cafeteria_uuid=shop.uuid, cafeteria_id=shop.pk, backup_id=backup.pk, started_at=timezone.now(), parts=["database"]
    )
    done = Restore.objects.create(
        cafeteria_uuid=shop.uuid, cafeteria_id=shop.pk, backup_id=backup.pk, started_at=timezone.now(), exchanged_at=timezone.now(),
        undo_until=timezone.now() + timedelta(days=7), phase="done", kept_schema="t_kept", away_seconds=0.04, parts=["database"],
        moment=backup.taken_at,
    )  # fmt: skip
    return [
        "/console/", "/console/cafeterias", "/console/cafeterias?q=zzz", desk.base, f"{desk.base}/close", f"{desk.base}/backups",
        f"{desk.base}/restore?backup={backup.pk}", f"{desk.base}/clone?backup={backup.pk}", f"/console/previews/{job.pk}",
        "/console/restores", f"/console/restores?cafeteria={shop.pk}", f"/console/restores/{restore.pk}",
        f"/console/restores/{done.pk}", f"/console/restores/{done.pk}/undo",
        "/console/jobs", "/console/jobs?state=failed", "/console/jobs?q=zzz",
        f"/console/jobs/{job.pk}", "/console/alerts", "/console/alerts?state=closed", "/console/migrations",
    ]  # fmt: skip


def test_every_page_is_there_in_both_languages(desk: Desk, shop: Cafeteria) -> None:
    raise_alert(kind="backups.too_old", cafeteria_uuid=shop.uuid, detail="Old.")
    for address in pages(desk, shop):
        english, spanish = desk.read(address), desk.read(address, "es")
        assert '<html lang="en"' in english, address
        assert '<html lang="es"' in spanish, address
        assert ("Cafeterias" in english, "Cafeterías" in spanish, "Migraciones" in spanish) == (True, True, True), address


def test_nothing_needs_a_person(desk: Desk) -> None:
    beat()
    page = desk.read("/console/")
    assert ("Nothing needs a person now." in page, "alive" in page) == (True, True)
    assert "Ahora nada necesita a una persona." in desk.read("/console/", "es")


def test_what_needs_a_person_comes_worst_first(desk: Desk, shop: Cafeteria) -> None:
    beat()
    raise_alert(kind="payments.dispute", cafeteria_uuid=shop.uuid, subject="1")
    raise_alert(kind="backups.proof_failed", cafeteria_uuid=shop.uuid, severity="critical")
    ClusterBeat.objects.filter(pk="long").update(stalled_since=timezone.now())
    Cafeteria.objects.filter(pk=shop.pk).update(created_at=timezone.now() - timedelta(days=3))
    kept_backup(shop, ago=timedelta(hours=5))
    MigrationStatus.objects.create(cafeteria=shop, target="x", state="failed", error="column is there already")
    page = desk.read("/console/")
    titles = re.findall(r"<h3>(.*?)</h3>", page)
    assert titles[-1] == "A buyer disputes a payment"
    assert set(titles[:-1]) == {
        "1 cafeteria is not backed up as it should be",
        "A backup failed its proof",
        "The workers of the queue long give no sign of life",
        "1 cafeteria could not be migrated",
    }
    assert "verdict-bad" in page
    late = desk.read("/console/cafeterias?backups=late")
    assert (shop.name in late, "1 cafeteria<" in late, desk.world.b.ref.name in late) == (True, True, False)
    assert "column is there already" in desk.read("/console/migrations?state=failed")


@pytest.mark.parametrize("path", ["/console/", "/console/cafeterias"])
def test_a_thousand_cafeterias_cost_no_more_queries(desk: Desk, shop: Cafeteria, path: str) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            desk.read(path)
        return len(seen)

    few = queries()
    more = [
        Cafeteria(
            name=f"Número {number}",
            slug=f"numero-{number}",
            schema_name=f"t_9{number:05}",
            owner_id=shop.owner_id,
            schema_head=shop.schema_head,
        )
        for number in range(60)
    ]
    Cafeteria.objects.bulk_create(more)
    for cafeteria in Cafeteria.objects.filter(slug__startswith="numero-"):
        kept_backup(cafeteria, ago=timedelta(hours=1), proven=True)
        raise_alert(kind="backups.too_old", cafeteria_uuid=cafeteria.uuid)
    assert queries() <= few + 1  # the pages are counted


def test_cafeterias_are_found_and_paged(desk: Desk, shop: Cafeteria) -> None:
    Cafeteria.objects.bulk_create(
        Cafeteria(name=f"Zeta {number:02}", slug=f"zeta-{number}", schema_name=f"t_8{number:05}", owner_id=shop.owner_id)
        for number in range(30)
    )
    first, second = desk.read("/console/cafeterias?q=zeta"), desk.read("/console/cafeterias?q=zeta&page=2")
    assert ("Zeta 00" in first, "Zeta 29" in first, "Zeta 29" in second, "Page 1 of 2" in first) == (True, False, True, True)
    assert 'href="?q=zeta&amp;page=2"' in first
    assert shop.name in desk.read(f"/console/cafeterias?q={shop.slug}@owners")
    assert "No cafeteria like that" in desk.read("/console/cafeterias?q=nowhere")
    assert shop.name not in desk.read("/console/cafeterias?status=closed")
    assert "Every cafeteria is backed up as it should be." in desk.read("/console/cafeterias?backups=late")
    assert desk.admin.get("/console/cafeterias?page=999&status=nonsense").status_code == 200


def test_one_cafeteria_tells_all_of_it(desk: Desk, shop: Cafeteria) -> None:
    kept_backup(shop, ago=timedelta(hours=3), proven=True)
    BackupTurn.objects.create(cafeteria_uuid=shop.uuid, due_at=timezone.now() + timedelta(minutes=20), newest_at=timezone.now())
    page = desk.read(desk.base)
    expected = (shop.slug, str(shop.uuid), shop.schema_name, "Newest proven", "nothing has changed since", "Generation", "Suspend the site")
    assert {words: words in page for words in expected} == dict.fromkeys(expected, True)


def test_numbers_are_written_as_the_readers_language_does(desk: Desk, shop: Cafeteria) -> None:
    kept_backup(shop, ago=timedelta(hours=3))
    assert ("16.705 filas" in desk.read(f"{desk.base}/backups", "es"), "16,705 rows" in desk.read(f"{desk.base}/backups")) == (True, True)


def test_its_life_cycle(desk: Desk, shop: Cafeteria) -> None:
    desk.send(f"{desk.base}/suspend")
    assert "The site is suspended" in desk.read(desk.base)
    desk.send(f"{desk.base}/suspend")
    assert "cannot be" in desk.read(desk.base)
    desk.send(f"{desk.base}/resume")
    assert "The site is open again." in desk.read(desk.base)
    assert desk.send(f"{desk.base}/close", typed="no").status_code == 422
    assert Cafeteria.objects.get(pk=shop.pk).status == "open"
    desk.send(f"{desk.base}/close", typed=shop.slug)
    assert Cafeteria.objects.get(pk=shop.pk).status == "closed"
    page = desk.read(desk.base)
    assert ("The cafeteria is closed." in page, "Suspend the site" in page, "Back up now" in page) == (True, False, False)
    who = set(AuditEntry.objects.filter(cafeteria_uuid=shop.uuid, action__startswith="cafeteria.").values_list("action", "actor_id"))
    assert {(f"cafeteria.{deed}", desk.world.admin) for deed in ("suspended", "resumed", "closed")} <= who


def test_a_job_is_shown_without_secrets_and_tried_again(desk: Desk, shop: Cafeteria) -> None:
    arguments: dict[str, Any] = {"token": SECRET, "nested": {"password": SECRET}, "text": f"Bearer {SECRET}", "kind": "manual"}
    job = enqueue("ops.backups.jobs.backup", queue="long", cafeteria_uuid=shop.uuid, **arguments)
    Job.objects.filter(pk=job.pk).update(
        state="failed", attempts=3, error="OSError: No space left", result={"access_token": SECRET}, finished_at=timezone.now()
    )
    page = desk.read(f"/console/jobs/{job.pk}")
    assert (SECRET in page, "No space left" in page, "3 of 3" in page, "manual" in page, shop.slug in page) == (
        False,
        True,
        True,
        True,
        True,
    )
    assert desk.admin.get(f"/console/jobs/{job.pk}/state").status_code == 286
    for words in (shop.slug, "back up", str(job.pk), "jobs.backup"):
        assert f"/console/jobs/{job.pk}" in desk.read(f"/console/jobs?state=failed&q={words}"), words
    desk.send(f"/console/jobs/{job.pk}/retry")
    page = desk.read(f"/console/jobs/{job.pk}")
    assert ("It is tried again." in page, "It waits for a worker" in page) == (True, True)
    desk.send(f"/console/jobs/{job.pk}/retry")
    assert "Only a job that failed or was cancelled" in desk.read(f"/console/jobs/{job.pk}")
    desk.send(f"/console/jobs/{job.pk}/cancel")
    assert "It is cancelled." in desk.read(f"/console/jobs/{job.pk}")
    desk.send(f"/console/jobs/{job.pk}/cancel")
    assert "has ended already" in desk.read(f"/console/jobs/{job.pk}")


MANY_JOBS = """INSERT INTO core_job SELECT (many).* FROM (SELECT jsonb_populate_record(j, jsonb_build_object(
    'id', gen_random_uuid(), 'kind', 'core.notices.jobs.look', 'cafeteria_uuid', NULL, 'state', 'succeeded')) AS many
    FROM core_job j, generate_series(1, 8000) n WHERE j.id = %s) m"""


@pytest.mark.parametrize("found_by", ["nothing", "name", "code", "address", "id"])
def test_a_search_of_jobs_reads_what_it_finds_however_many_there_are(desk: Desk, shop: Cafeteria, found_by: str) -> None:
    job = enqueue("ops.restores.jobs.undo", queue="long", cafeteria_uuid=shop.uuid, restore_id=str(uuid4()), by="x")
    text = {"nothing": "zzz", "name": "undo a rest", "code": "restores.jobs.UNDO", "address": shop.slug, "id": str(job.pk)}[found_by]
    with connection.cursor() as cursor:
        cursor.execute(MANY_JOBS, [job.pk])
        cursor.execute("ANALYZE core_job")
        with CaptureQueriesContext(connection) as queries:
            assert (f"/console/jobs/{job.pk}" in desk.read(f"/console/jobs?q={text}")) == (found_by != "nothing")
        asked = [sent["sql"] for sent in queries if 'FROM "core_job"' in sent["sql"] and "ORDER BY" in sent["sql"]]
        cursor.execute(f"EXPLAIN {asked[0]}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert (len(asked), "core_job_kind" in plan, "Seq Scan" in plan, "core_job_pkey on" in plan) == (1, True, False, False), plan


def test_a_running_job_tells_its_progress(desk: Desk, shop: Cafeteria) -> None:
    job = enqueue("ops.backups.jobs.backup", queue="long", cafeteria_uuid=shop.uuid, kind="manual")
    Job.objects.filter(pk=job.pk).update(state="running", progress=0.42, message="shop_order", started_at=timezone.now())
    part = desk.admin.get(f"/console/jobs/{job.pk}/state")
    assert (part.status_code, 'value="42"' in part.text, ">Pedidos<" in part.text, "<html" in part.text) == (200, True, True, False)
    again = desk.admin.get(f"/console/jobs/{job.pk}/state", headers={"if-none-match": part["ETag"]})
    assert again.status_code == 304
    Job.objects.filter(pk=job.pk).update(progress=0.5)
    assert desk.admin.get(f"/console/jobs/{job.pk}/state", headers={"if-none-match": part["ETag"]}).status_code == 200


def test_late_jobs_and_older_ones(desk: Desk) -> None:
    late = enqueue("ops.restores.jobs.sweep", queue="short", run_after=timezone.now() - timedelta(hours=1))
    page = desk.read("/console/jobs?state=late")
    assert (f"/console/jobs/{late.pk}" in page, "late" in page) == (True, True)
    for _ in range(51):
        enqueue("ops.restores.jobs.sweep", queue="short")
    onward = re.findall(r'href="(\?before=[\w-]+)"', desk.read("/console/jobs"))[0]
    assert f"/console/jobs/{late.pk}" in desk.read(f"/console/jobs{onward}")


def test_alerts_say_what_to_do_and_are_closed_once(desk: Desk, shop: Cafeteria) -> None:
    for kind in TROUBLES:
        raise_alert(kind=kind, cafeteria_uuid=shop.uuid, detail=f"Detail of {kind}.")
    raise_alert(kind="strange.kind", detail="Never seen.")
    page = desk.read("/console/alerts")
    assert all(f"Detail of {kind}." in page for kind in TROUBLES)
    assert ("strange.kind" in page, "docs/runbooks" in page) == (True, True)
    alert = Alert.objects.get(kind="strange.kind")
    for _ in range(2):
        desk.send(f"/console/alerts/{alert.pk}/resolve")
    assert "Never seen." not in desk.read("/console/alerts")
    assert "Never seen." in desk.read("/console/alerts?state=closed")
    assert AuditEntry.objects.filter(action="alert.resolved", actor_id=desk.world.admin).count() == 1


def test_the_fleet_is_migrated_from_here(desk: Desk, shop: Cafeteria) -> None:
    assert "Every cafeteria is at this code" in desk.read("/console/migrations")
    Cafeteria.objects.filter(pk=shop.pk).update(schema_head="older")
    key = re.findall(r'name="key" value="(\w+)"', desk.read("/console/migrations"))[0]
    first, second = (desk.send("/console/migrations/run", key=key)["Location"] for _ in range(2))
    assert first == second
    assert "Migrate the fleet" in desk.read(first)


def test_home_names_who_goes_back_and_says_when_jobs_are_late(desk: Desk, shop: Cafeteria) -> None:
    beat()
    Restore.objects.create(
        cafeteria_uuid=shop.uuid, cafeteria_id=shop.pk, started_at=timezone.now(), parts=["database"], requested_by="Ops"
    )
    job = enqueue("ops.backups.jobs.backup", queue="long", cafeteria_uuid=shop.uuid, kind="manual")
    assert "are late" not in desk.read("/console/")
    Job.objects.filter(pk=job.pk).update(run_after=timezone.now() - timedelta(hours=3))
    page = desk.read("/console/")
    assert re.search(rf"Restores under way.*>{re.escape(shop.name)}<", page, re.DOTALL)
    assert "Jobs of the queue long are late" in page


def test_the_parts_of_the_console_are_shown_in_development(desk: Desk, settings: Settings) -> None:
    for theme in ("light", "dark"):
        page = desk.read(f"/console/design?theme={theme}", "es")
        expected = (f'data-theme="{theme}"', "ops/console.css", "No pasó la prueba", "El disco está lleno", "Deshecha", "Página 2 de 3")
        assert {words: words.lower() in page.lower() for words in expected} == dict.fromkeys(expected, True)
    assert "/console/design" in desk.read("/design")
    settings.DEVELOPMENT = False
    assert desk.admin.get("/console/design").status_code in {302, 404}  # or on to the second factor


def test_a_copy_says_how_long_it_stays_and_is_kept(desk: Desk, shop: Cafeteria) -> None:
    soon = timezone.now() + timedelta(days=2)
    Cafeteria.objects.filter(pk=shop.pk).update(copy_of=desk.world.b.ref.uuid, closes_at=soon)
    assert ("in 2 days" in desk.read(desk.base), ">copy<" in desk.read("/console/cafeterias")) == (True, True)
    desk.send(f"{desk.base}/keep")
    assert "The copy stays for 30 days from now." in desk.read(desk.base)
    assert Cafeteria.objects.filter(pk=shop.pk, closes_at__gt=soon + timedelta(days=27)).exists()
    Cafeteria.objects.filter(pk=shop.pk).update(copy_of=None)
    assert desk.send(f"{desk.base}/keep").status_code == 404


def test_an_undo_is_not_tried_again_without_the_password(desk: Desk, shop: Cafeteria) -> None:
    undo = enqueue("ops.restores.jobs.undo", queue="long", cafeteria_uuid=shop.uuid, restore_id=str(shop.uuid), by="")
    Job.objects.filter(pk=undo.pk).update(state="failed", finished_at=timezone.now())
    age(desk.admin, 15 * 60)
    assert desk.send(f"/console/jobs/{undo.pk}/retry")["Location"].startswith("/password/confirm?next=%2Fconsole%2Fjobs%2F")
    assert Job.objects.get(pk=undo.pk).state == "failed"
