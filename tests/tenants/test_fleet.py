"""Fleet migrations: all or nothing per cafeteria, and none of them holds up the others."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from tenants.actions import close_cafeteria, open_cafeteria
from tenants.errors import FleetBusy, UnsuitableMigration
from tenants.fleet import recipes
from tenants.fleet.public import fleet_turn
from tenants.fleet.run import Failure, FleetOptions, FleetReport, migrate_fleet_schemas
from tenants.models import Cafeteria, MigrationStatus
from tenants.provisioning.catalogue import describe_schema, differences
from tenants.provisioning.heads import check_migrations, current_head, disk_loader
from tenants.queries import ref_for
from tenants.scope import tenant_scope, unchecked_scope
from tests.processes import REPOSITORY, database_url, wait_for
from tests.tenants.kit import ADD_NOTE, maintain, more_migrations, own_database, scalar

SLUGS = ("uno", "dos", "tres", "cuatro", "cinco", "seis")


@pytest.fixture(scope="module")
def six(django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """A database with six cafeterias, to be copied."""
    with django_db_blocker.unblock(), own_database() as name:
        for slug in SLUGS:
            open_cafeteria(owner_id=1, name=slug, slug=slug)
        connection.close()
        yield name


@pytest.fixture
def fleet(six: str) -> Iterator[None]:
    with own_database(template=six):
        yield


def run(**options: Any) -> FleetReport:
    return migrate_fleet_schemas(FleetOptions(**options))


def has_note(slug: str) -> bool:
    schema = Cafeteria.objects.get(slug=slug).schema_name
    sql = "SELECT count(*) FROM information_schema.columns WHERE table_schema = %s AND table_name = 'shop_product' AND column_name = 'note'"
    return scalar(sql, schema) == 1


def with_note() -> list[str]:
    return [slug for slug in SLUGS if has_note(slug)]


def in_schema(slug: str, sql: str) -> None:
    with tenant_scope(ref_for(Cafeteria.objects.get(slug=slug))), connection.cursor() as cursor:
        cursor.execute(sql)


def states() -> dict[str, str]:
    return dict(MigrationStatus.objects.values_list("cafeteria__slug", "state"))


def test_the_shops_own_migrations_can_run_over_a_fleet() -> None:
    check_migrations(disk_loader())


def test_with_nothing_to_do_the_cafeterias_cost_one_query(fleet: None) -> None:
    run()
    with CaptureQueriesContext(connection) as queries:
        report = run()
    assert (report.total, report.public) == (0, [])
    assert sum("tenants_cafeteria" in query["sql"] for query in queries) == 1
    assert MigrationStatus.objects.count() == 0


def test_a_new_column_reaches_all_and_new_ones_have_it(fleet: None, tmp_path: Path) -> None:
    before = current_head()
    with more_migrations(tmp_path, ADD_NOTE):
        report = run()
        assert (report.total, report.done, report.failures, report.left) == (6, 6, [], 0)
        assert with_note() == list(SLUGS)
        assert states() == dict.fromkeys(SLUGS, "done")
        assert set(Cafeteria.objects.values_list("schema_head", flat=True)) == {current_head()} != {before}
        new = open_cafeteria(owner_id=1, name="Nueva")
        for slug in SLUGS:
            old = Cafeteria.objects.get(slug=slug)
            assert alike(old, new) == []
        assert run().total == 0


def alike(old: Cafeteria, new: Cafeteria) -> list[str]:
    """How the schemas, and what they say of their migrations, differ."""
    found = []
    for cafeteria in (old, new):
        with unchecked_scope(ref_for(cafeteria)), connection.cursor() as cursor:
            described = describe_schema(cafeteria.schema_name)
            cursor.execute("SELECT app || '.' || name FROM django_migrations ORDER BY id")
            found.append(described | {"migrations": str(cursor.fetchall())})
    return differences(*found)


def test_steps_that_look_at_the_schema_are_recorded_right(fleet: None, tmp_path: Path) -> None:
    """Each step must find what the one before has made: names of constraints and indexes are looked up."""
    steps = (
        'migrations.AddField("product", "code", models.CharField(max_length=20, null=True, unique=True, db_index=True))',
        'migrations.AlterField("product", "code", models.CharField(max_length=30, null=True))',
        'migrations.RenameField("product", "code", "barcode")',
        'migrations.AlterField("product", "barcode", models.TextField(null=True, db_index=True))',
        (
            'migrations.CreateModel("Shelf", [("id", models.BigAutoField(primary_key=True)),'
            ' ("product", models.ForeignKey("shop.product", models.CASCADE))])'
        ),
        (
            'migrations.AddConstraint("shelf", models.CheckConstraint(condition=models.Q(id__gt=0), name="shelf_id")),'
            ' migrations.RemoveConstraint("product", "product_stock_not_negative")'
        ),
        "migrations.RunSQL(\"UPDATE shop_product SET barcode = '100%' WHERE name LIKE '%x%'\")",
    )
    with more_migrations(tmp_path, *steps):
        assert run().done == 6
        new = open_cafeteria(owner_id=1, name="Nueva")
        assert [alike(Cafeteria.objects.get(slug=slug), new) for slug in SLUGS] == [[]] * 6


@pytest.mark.parametrize("broken", ["uno", "cuatro", "seis"])
def test_a_broken_one_is_reported_and_the_others_are_done(fleet: None, tmp_path: Path, broken: str) -> None:
    in_schema(broken, "ALTER TABLE shop_product ADD COLUMN note integer")
    with more_migrations(tmp_path, ADD_NOTE):
        report = run()
        assert report.failures == [Failure(slug=broken, error='column "note" of relation "shop_product" already exists')]
        assert (report.done, report.left) == (5, 0)
        assert states() == {**dict.fromkeys(SLUGS, "done"), broken: "failed"}
        in_schema(broken, "ALTER TABLE shop_product DROP COLUMN note")
        assert run().done == 1
        status = MigrationStatus.objects.get(cafeteria__slug=broken)
        assert (status.state, status.attempts, status.error) == ("done", 2, "")
        assert with_note() == list(SLUGS)


def test_a_later_step_that_fails_undoes_the_earlier_ones(fleet: None, tmp_path: Path) -> None:
    in_schema("tres", "CREATE TABLE shop_shelf ()")
    with more_migrations(tmp_path, ADD_NOTE, 'migrations.CreateModel("Shelf", [("id", models.BigAutoField(primary_key=True))])'):
        assert [failure.slug for failure in run().failures] == ["tres"]
    assert with_note() == [slug for slug in SLUGS if slug != "tres"]


def test_too_many_failures_stop_it(fleet: None, tmp_path: Path) -> None:
    for slug in SLUGS:
        in_schema(slug, "ALTER TABLE shop_product ADD COLUMN note integer")
    with more_migrations(tmp_path, ADD_NOTE):
        report = run(fail_after=2)
    assert (len(report.failures), report.done, report.left) == (3, 0, 3)


def test_a_failing_canary_keeps_it_from_all_others(fleet: None, tmp_path: Path) -> None:
    in_schema("cinco", "ALTER TABLE shop_product ADD COLUMN note integer")
    with more_migrations(tmp_path, ADD_NOTE):
        report = run(canary="cinco")
        assert ([failure.slug for failure in report.failures], report.done, report.left) == (["cinco"], 0, 5)
        in_schema("cinco", "ALTER TABLE shop_product DROP COLUMN note")
        assert run(canary="cinco").done == 6


def test_only_one(fleet: None, tmp_path: Path) -> None:
    with more_migrations(tmp_path, ADD_NOTE):
        assert run(only="dos").done == 1
        assert with_note() == ["dos"]
        assert run().done == 5


def test_from_several_heads_to_one(fleet: None, tmp_path: Path) -> None:
    shelf = 'migrations.CreateModel("Shelf", [("id", models.BigAutoField(primary_key=True))])'
    with more_migrations(tmp_path, ADD_NOTE):
        run(only="dos")
        run(only="cinco")
    with more_migrations(tmp_path, ADD_NOTE, shelf):
        report = run(canary="cinco")
        new = open_cafeteria(owner_id=1, name="Nueva")
        assert (report.done, report.failures) == (6, [])
        assert [alike(Cafeteria.objects.get(slug=slug), new) for slug in SLUGS] == [[]] * 6


def test_older_code_leaves_alone_what_newer_code_has_migrated(fleet: None, tmp_path: Path) -> None:
    with more_migrations(tmp_path, ADD_NOTE):
        run()
    report = run()
    assert (sorted(report.ahead), report.done, report.failures) == (sorted(SLUGS), 0, [])
    assert with_note() == list(SLUGS)


def test_a_closed_one_is_migrated_while_its_schema_is_kept(fleet: None, tmp_path: Path) -> None:
    close_cafeteria(cafeteria_id=Cafeteria.objects.get(slug="dos").pk)
    Cafeteria.objects.filter(slug="tres").update(schema_head="")
    with more_migrations(tmp_path, ADD_NOTE):
        assert run().total == 5
    assert with_note() == [slug for slug in SLUGS if slug != "tres"]


class TestLocks:
    def hold(self, slug: str, *, seconds: float, enough: threading.Event | None = None) -> threading.Thread:
        """Somebody who reads the menu for so long, or until it is enough."""
        holding, enough = threading.Event(), enough or threading.Event()

        def read() -> None:
            with tenant_scope(ref_for(Cafeteria.objects.get(slug=slug))), connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM shop_product")
                holding.set()
                enough.wait(seconds)
            connection.close()

        thread = threading.Thread(target=read)
        thread.start()
        assert holding.wait(60)
        return thread

    def test_one_in_use_is_tried_again(self, fleet: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recipes, "LOCK_TIMEOUT", "100ms")
        thread = self.hold("tres", seconds=1.5)
        with more_migrations(tmp_path, ADD_NOTE):
            assert (run().done, with_note()) == (6, list(SLUGS))
        thread.join()

    def test_one_that_stays_in_use_fails_and_the_others_go_on(self, fleet: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recipes, "LOCK_TIMEOUT", "50ms")
        monkeypatch.setattr("tenants.fleet.attempts.ATTEMPTS", 2)
        enough = threading.Event()
        thread = self.hold("tres", seconds=300, enough=enough)
        with more_migrations(tmp_path, ADD_NOTE):
            try:
                report = run()
            finally:
                enough.set()
        assert [(failure.slug, "lock timeout" in failure.error) for failure in report.failures] == [("tres", True)]
        assert report.done == 5
        thread.join()

    def test_a_killed_backend_is_replaced(self, fleet: None, tmp_path: Path) -> None:
        """The statement itself ends its backend, in one cafeteria, the first time."""
        in_schema("tres", "CREATE TABLE trap AS SELECT 1 AS armed")
        trap = (
            "DO $$BEGIN IF to_regclass('trap') IS NOT NULL AND nextval('public.shots') = 1"
            " THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; END$$"
        )
        with connection.cursor() as cursor:
            cursor.execute("CREATE SEQUENCE public.shots")
        with more_migrations(tmp_path, ADD_NOTE, f'migrations.RunSQL("{trap}")'):
            report = run()
        assert (report.done, report.failures) == (6, [])

    def test_two_fleets_at_once_share_nothing_and_miss_nothing(self, fleet: None, tmp_path: Path) -> None:
        reports: list[FleetReport] = []
        with more_migrations(tmp_path, ADD_NOTE):

            def migrate() -> None:
                reports.append(run())
                connection.close()

            threads = [threading.Thread(target=migrate) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(120)
        assert sorted(report.done for report in reports) == [0, 6]
        assert [report.failures for report in reports] == [[], []]
        assert set(MigrationStatus.objects.values_list("attempts", flat=True)) == {1}

    def test_the_second_says_that_it_waits_and_gives_up_in_time(self, fleet: None) -> None:
        waited: list[int] = []
        with fleet_turn(wait=1), pytest.raises(FleetBusy):
            migrate_fleet_schemas(FleetOptions(wait=0.1), on_wait=lambda: waited.append(1))
        assert waited == [1]
        assert run().total == 0


@pytest.mark.parametrize(
    ("operation", "atomic", "reason"),
    [
        ("migrations.RunPython(lambda apps, editor: None)", True, "runs Python"),
        (
            "migrations.SeparateDatabaseAndState(database_operations=[migrations.RunPython(lambda apps, editor: None)])",
            True,
            "runs Python",
        ),
        (ADD_NOTE, False, "not atomic"),
        ("migrations.RunSQL(\"DO $$BEGIN EXECUTE format('CREATE TABLE %I.x ()', current_schema()); END$$\")", True, None),
    ],
)
def test_what_cannot_run_over_a_fleet_is_refused_first(
    fleet: None, tmp_path: Path, operation: str, atomic: bool, reason: str | None
) -> None:
    with more_migrations(tmp_path, operation, atomic=atomic):
        if reason is None:
            assert run().done == 6
            return
        with pytest.raises(UnsuitableMigration, match=reason):
            run()
        with pytest.raises(UnsuitableMigration, match=reason):
            check_migrations(disk_loader())
    assert MigrationStatus.objects.count() == 0


SLOW = """
import sys, time, django
sys.path.insert(0, sys.argv[1])
from django.conf import settings
settings.MIGRATION_MODULES = {"shop": sys.argv[2]}
django.setup()
from tenants.fleet import recipes, run

follow = recipes.follow_recipe
def slowly(cafeteria, recipe, **options):
    follow(cafeteria, recipe, **options)
    print("done", cafeteria.slug, flush=True)
    time.sleep(60)  # and is killed here
run.follow_recipe = slowly
run.migrate_fleet_schemas(run.FleetOptions(jobs=2))
"""


def test_killed_halfway_the_next_run_goes_on(fleet: None, tmp_path: Path) -> None:
    with more_migrations(tmp_path, ADD_NOTE) as package:
        process = subprocess.Popen(
            (sys.executable, "-c", SLOW, str(tmp_path), package),
            cwd=REPOSITORY,
            env={**os.environ, "DATABASE_URL": database_url()},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline().startswith("done")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)
        done = with_note()
        assert 2 <= len(done) < 6
        heads = dict(Cafeteria.objects.values_list("slug", "schema_head"))
        assert [slug for slug in SLUGS if heads[slug] == current_head()] == done
        assert [slug for slug, state in states().items() if state == "done"] == done or wait_for(lambda: with_note() == done)
        report = run()
        assert report.total == report.done == 6 - len(done)
        assert with_note() == list(SLUGS)


class TestCommand:
    def test_it_says_what_it_did(self, fleet: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("migrate_fleet")
        assert "All cafeterias are at the newest migrations." in capsys.readouterr().out
        with more_migrations(tmp_path, ADD_NOTE):
            call_command("migrate_fleet", "--jobs", "3")
            assert "6 cafeterias migrated." in capsys.readouterr().out
            call_command("fleet_status")
            assert f"     6  {current_head()}\n" in capsys.readouterr().out

    def test_a_failure_is_one_line_and_says_what_to_do(self, fleet: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        in_schema("dos", "ALTER TABLE shop_product ADD COLUMN note integer")
        with more_migrations(tmp_path, ADD_NOTE):
            with pytest.raises(
                CommandError, match=r"1 of 6 cafeterias failed .* 5 are migrated, 0 were not tried.*run migrate_fleet again"
            ):
                call_command("migrate_fleet")
            assert 'dos: column "note" of relation "shop_product" already exists\n' in capsys.readouterr().err
            with pytest.raises(SystemExit):
                call_command("fleet_status")
            assert 'failed  dos (1 attempts): column "note"' in capsys.readouterr().out

    @pytest.mark.parametrize("option", ["only", "canary"])
    def test_a_mistyped_slug_is_said(self, fleet: None, option: str) -> None:
        with pytest.raises(CommandError, match='There is no cafeteria "doz"'):
            call_command("migrate_fleet", **{option: "doz"})

    def test_it_brings_public_along(self, django_db_setup: None, django_db_blocker: Any, capsys: pytest.CaptureFixture[str]) -> None:
        with django_db_blocker.unblock(), own_database() as name:
            maintain(f"DROP DATABASE {name} WITH (FORCE)")
            maintain(f"CREATE DATABASE {name}")
            call_command("migrate_fleet")
            assert "public: tenants.0001_initial" in capsys.readouterr().out
            assert scalar("SELECT to_regclass('public.shop_product')") is None
            assert scalar("SELECT count(*) FROM django_migrations WHERE app = 'shop'") == 0
            call_command("migrate", verbosity=0)

    @pytest.mark.parametrize("command", ["migrate_schemas", "create_tenant", "delete_tenant", "create_missing_schemas", "rename_schema"])
    def test_commands_that_would_write_into_public_are_refused(self, command: str) -> None:
        with pytest.raises(CommandError, match="migrate_fleet"):
            call_command(command)


def test_inside_a_transaction_the_connection_is_left_alone(fleet: None) -> None:
    """As when a job is run by a test: the turn has a connection of its own."""
    with transaction.atomic():
        assert run().total == 0
