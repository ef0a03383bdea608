"""A cafeteria opens whole or not at all."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg2
import pytest
from django.db import DatabaseError, InterfaceError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from shop.people.models import Person
from tenants import actions
from tenants.actions import open_cafeteria
from tenants.errors import CrossedTenantScope, InvalidDetails, InvalidSlug, SlugReserved, SlugTaken, TemplateDiffers
from tenants.models import Cafeteria, Pulse, SchemaTemplate
from tenants.provisioning import template as templates
from tenants.provisioning.catalogue import describe_schema
from tenants.provisioning.heads import current_head
from tenants.provisioning.recording import migrate_scope_to_leaves
from tenants.provisioning.schema import create_schema, drop_schema, scratch_ref
from tenants.provisioning.template import build_template, current_template, verify_template
from tenants.queries import ref_for
from tenants.scope import tenant_scope, unchecked_scope
from tests.processes import REPOSITORY, database_url, wait_for
from tests.world import World, unique_slugs


def test_it_has_everything_when_it_answers(db: None) -> None:
    cafeteria = open_cafeteria(
        owner_id=7,
        name="Café Ñandú",
        description="Rico",
        address="Florida 1",
        timezone="America/Montevideo",
        currency="UYU",
        owner_person={"email": "ana@example.com", "full_name": "Ana"},
    )
    cafeteria.refresh_from_db()
    assert (cafeteria.slug, cafeteria.status, cafeteria.schema_name) == ("cafe-nandu", "open", f"t_{cafeteria.pk}")
    assert (cafeteria.schema_head, cafeteria.revision, cafeteria.generation) == (current_head(), 1, 1)
    assert Pulse.objects.filter(cafeteria=cafeteria).values_list("menu", "orders").get() == (1, 1)
    with tenant_scope(ref_for(cafeteria)):
        owner = Person.objects.get()
        assert (owner.email, owner.role, owner.platform_user_id) == ("ana@example.com", "owner", 7)


def test_its_schema_equals_a_migrated_one(db: None) -> None:
    cafeteria = open_cafeteria(owner_id=1, name="Igual")
    with unchecked_scope(ref_for(cafeteria)):
        made = describe_schema(cafeteria.schema_name)
        with connection.cursor() as cursor:
            cursor.execute("SELECT app, name FROM django_migrations ORDER BY id")
            recorded = cursor.fetchall()
        assert migrate_scope_to_leaves() == []
    create_schema("t_by_migrations")
    with unchecked_scope(scratch_ref("t_by_migrations")):
        assert recorded == migrate_scope_to_leaves()
        assert made == describe_schema("t_by_migrations")


def test_the_template_names_no_schema_and_leaves_nothing_behind(db: None) -> None:
    def schemas() -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT nspname FROM pg_namespace ORDER BY 1")
            return [name for (name,) in cursor.fetchall()]

    before = schemas()
    template = build_template()
    assert template == current_template()
    assert schemas() == before
    for statement in template.statements:
        assert "t_scratch" not in statement
        assert "public." not in statement
        assert ";" not in statement


def test_a_template_that_makes_something_else_is_found(db: None) -> None:
    template = current_template()
    without_last = templates.Template(head=template.head, statements=template.statements[:-1], migrations=template.migrations)
    with pytest.raises(TemplateDiffers, match="is missing"):
        verify_template(without_last)
    otherwise = tuple(text.replace("character varying(120)", "character varying(121)") for text in template.statements)
    with pytest.raises(TemplateDiffers, match=r"column .* is \[.*121"):
        verify_template(templates.Template(head=template.head, statements=otherwise, migrations=template.migrations))


def test_the_template_is_built_once_and_kept_for_all_processes(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = current_template()
    templates.forget_templates()
    monkeypatch.setattr(templates, "build_template", lambda: pytest.fail("built again"))
    assert current_template() == expected
    assert SchemaTemplate.objects.count() == 1


class TestSlugs:
    def test_a_derived_one_gets_a_suffix_when_it_is_taken_or_reserved(self, db: None) -> None:
        names = ["Luna Nueva", "Luna  nueva!", "LUNA NUEVA", "Admin", "☕☕"]
        slugs = [open_cafeteria(owner_id=1, name=name).slug for name in names]
        assert slugs == ["luna-nueva", "luna-nueva-2", "luna-nueva-3", "admin-2", "cafeteria"]

    def test_a_given_one_is_taken_as_it_is(self, db: None) -> None:
        assert open_cafeteria(owner_id=1, name="Luna", slug="otra-luna").slug == "otra-luna"
        with pytest.raises(SlugTaken, match='"otra-luna" is taken'):
            open_cafeteria(owner_id=1, name="Luna", slug="otra-luna")
        assert Cafeteria.objects.filter(slug="otra-luna").count() == 1

    def test_one_of_a_closed_cafeteria_stays_taken(self, db: None) -> None:
        cafeteria = open_cafeteria(owner_id=1, name="Luna", slug="cerrada")
        actions.close_cafeteria(cafeteria_id=cafeteria.pk)
        with pytest.raises(SlugTaken):
            open_cafeteria(owner_id=1, name="Luna", slug="cerrada")

    @pytest.mark.parametrize("slug", ["www", "api", "admin"])
    def test_a_reserved_one(self, db: None, slug: str) -> None:
        with pytest.raises(SlugReserved):
            open_cafeteria(owner_id=1, name="Luna", slug=slug)

    @pytest.mark.parametrize("slug", ["", "a", "-luna", "luna-", "Luna", "lu na", "café", "a.b", "x" * 64, "xn--caf-dma", "a\x00b", "t_1"])
    def test_one_that_is_no_address(self, db: None, slug: str) -> None:
        with pytest.raises(InvalidSlug):
            open_cafeteria(owner_id=1, name="Luna", slug=slug)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "   "),
        ("name", "x" * 121),
        ("name", "a\x00b"),
        ("address", "x" * 201),
        ("description", "\x00"),
        ("timezone", "Mars/Olympus"),
        ("timezone", "../../etc/passwd"),
        ("timezone", "localtime"),
        ("currency", "ZZZ"),
        ("currency", "ars"),
        ("language", "fr"),
    ],
)
def test_details_that_no_cafeteria_can_have(db: None, field: str, value: str) -> None:
    before = Cafeteria.objects.count()
    details: dict[str, Any] = {"owner_id": 1, "name": "Luna", field: value}
    with pytest.raises(InvalidDetails):
        open_cafeteria(**details)
    assert Cafeteria.objects.count() == before


def test_not_inside_the_scope_of_another(world: World) -> None:
    with tenant_scope(world.a.ref), pytest.raises(CrossedTenantScope):
        open_cafeteria(owner_id=1, name="Dentro")


class TestTogether:
    """Twenty at once, each on a connection of its own, committed."""

    @pytest.fixture(autouse=True)
    def _committed(self, django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
        with django_db_blocker.unblock():
            before = set(Cafeteria.objects.values_list("pk", flat=True))
            yield
            for cafeteria in Cafeteria.objects.exclude(pk__in=before):
                drop_schema(cafeteria.schema_name)
                Cafeteria.objects.filter(pk=cafeteria.pk).delete()

    def open_at_once(self, **details: Any) -> list[Cafeteria | Exception]:
        outcomes: list[Cafeteria | Exception] = []
        together = threading.Barrier(20)

        def run() -> None:
            together.wait(30)
            try:
                outcomes.append(open_cafeteria(owner_id=1, **details))
            except Exception as error:  # noqa: BLE001 - the test looks at it
                outcomes.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=run) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        return outcomes

    def test_twenty_of_one_name_all_succeed(self) -> None:
        slug, _ = unique_slugs()
        outcomes = self.open_at_once(name=slug)
        assert {getattr(outcome, "slug", outcome) for outcome in outcomes} == {slug, *(f"{slug}-{number}" for number in range(2, 21))}
        for outcome in outcomes:
            assert isinstance(outcome, Cafeteria)
            with tenant_scope(ref_for(outcome)):
                assert Person.objects.count() == 0

    def test_twenty_of_one_slug_one_wins(self) -> None:
        slug, _ = unique_slugs()
        outcomes = self.open_at_once(name="Luna", slug=slug)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Cafeteria"] + ["SlugTaken"] * 19
        assert Cafeteria.objects.filter(slug=slug).count() == 1

    def test_twenty_on_a_new_database_build_the_template_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        built: list[int] = []
        build = templates.build_template

        def counted() -> templates.Template:
            built.append(1)
            return build()

        SchemaTemplate.objects.all().delete()
        templates.forget_templates()
        monkeypatch.setattr(templates, "build_template", counted)
        outcomes = self.open_at_once(name=unique_slugs()[0])
        assert all(isinstance(outcome, Cafeteria) for outcome in outcomes), outcomes
        assert built == [1]

    @pytest.mark.parametrize("number", [0, 1, 2, 3, 5, 20, -3, -1])
    def test_a_backend_killed_at_any_statement_leaves_nothing(self, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """The statement before which it dies, counted from either end."""
        slug, _ = unique_slugs()
        current_template()
        total = count_statements(slug)
        killer = Killer(number if number >= 0 else total + number)
        with connection.execute_wrapper(killer), pytest.raises((DatabaseError, InterfaceError)):
            open_cafeteria(owner_id=1, name=slug, slug=slug)
        assert killer.killed
        assert not Cafeteria.objects.filter(slug=slug).exists()
        assert orphans() == []
        assert open_cafeteria(owner_id=1, name=slug, slug=slug).slug == slug

    def test_a_process_killed_in_the_middle_leaves_nothing(self) -> None:
        slug, _ = unique_slugs()
        process = subprocess.Popen(
            (sys.executable, "-c", STOPS_HALFWAY, slug),
            cwd=REPOSITORY,
            env={**os.environ, "DATABASE_URL": database_url()},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "halfway\n"
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)
        wait_for(lambda: not busy_backends(), seconds=20)
        assert not Cafeteria.objects.filter(slug=slug).exists()
        assert orphans() == []
        assert open_cafeteria(owner_id=1, name=slug, slug=slug).slug == slug


STOPS_HALFWAY = """
import sys, time, django
django.setup()
from django.db import connection
from tenants.actions import open_cafeteria

def stop(execute, sql, params, many, context):
    if sql.startswith("CREATE INDEX"):
        print("halfway", flush=True)
        time.sleep(60)
    return execute(sql, params, many, context)

with connection.execute_wrapper(stop):
    open_cafeteria(owner_id=1, name=sys.argv[1], slug=sys.argv[1])
"""


class Killer:
    """Ends the connection's backend before its nth statement."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.killed = False

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if self.left == 0:
            self.killed = True
            wrapper: BaseDatabaseWrapper = context["connection"]
            with suppress(psycopg2.Error), wrapper.connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        self.left -= 1
        return execute(sql, params, many, context)


def count_statements(slug: str) -> int:
    seen: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        open_cafeteria(owner_id=1, name=slug, slug=f"{slug}-count")
    return len(seen)


def orphans() -> list[str]:
    """Schemas of cafeterias that have no row."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT nspname FROM pg_namespace WHERE nspname LIKE 't\\_%%'
            AND nspname NOT IN (SELECT schema_name FROM public.tenants_cafeteria)"""
        )
        return [name for (name,) in cursor.fetchall()]


def busy_backends() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%%' AND pid <> pg_backend_pid()"
        )
        return [pid for (pid,) in cursor.fetchall()]
