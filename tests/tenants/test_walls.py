"""The walls of the design that concern schemas, each looked for in the source or in the catalogue."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection

from tenants.models import Cafeteria
from tests.world import World

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for part in ("platform", "tenants", "shop", "billing", "ops") for path in (ROOT / part).rglob("*.py"))
SWITCHES = {"set_tenant", "set_schema", "set_schema_to_public", "schema_context", "tenant_context", "schema_rename", "clone_schema"}
MAY_SWITCH = {"tenants/scope.py", "tenants/backend/base.py"}
MAY_SET_THE_PATH = {"tenants/scope.py", "tenants/snapshots.py"}
MAY_SKIP_THE_CHECK = ("tenants/scope.py", "tenants/provisioning/", "tenants/fleet/", "tenants/sides.py")


def switches(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        if name in SWITCHES:
            yield f"line {node.lineno}: {name}"  # type: ignore[attr-defined]
        if isinstance(node, ast.With):
            bare = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Name | ast.Attribute)]
            yield from (f"line {node.lineno}: with {ast.unparse(it)}" for it in bare if "tenant" in ast.unparse(it).lower())
            yield from (f"line {node.lineno}: with {ast.unparse(it)}" for it in bare if "cafeteria" in ast.unparse(it).lower())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_wall_1_one_module_switches_tenants(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    text = path.read_text()
    if name not in MAY_SWITCH:
        assert list(switches(ast.parse(text))) == []
    if name not in MAY_SET_THE_PATH:
        assert "'search_path'" not in text
    if not name.startswith(MAY_SKIP_THE_CHECK):
        assert "unchecked_scope" not in text


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("connection.set_tenant(x)", 1),
        ("with schema_context('a'): pass", 1),
        ("with tenant: pass", 1),
        ("with self.cafeteria: pass", 1),
        ("with tenant_scope(ref): pass", 0),
    ],
)
def test_the_lint_finds_what_it_looks_for(source: str, found: int) -> None:
    assert len(list(switches(ast.parse(source)))) == found


def names(sql: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return [name for (name,) in cursor.fetchall()]


def test_wall_3_no_foreign_key_crosses_schemas(world: World) -> None:
    assert names("SELECT conname FROM pg_constraint WHERE contype = 'f' AND connamespace::regnamespace::text LIKE 't\\_%%'") != []
    crossing = """SELECT conname FROM pg_constraint k JOIN pg_class t ON t.oid = k.confrelid
        WHERE contype = 'f' AND t.relnamespace <> k.connamespace"""
    assert names(crossing) == []


TENANT_TABLES = (
    "SELECT DISTINCT c.relname FROM pg_class c WHERE c.relkind IN ('r', 'v', 'm', 'p') AND c.relnamespace::regnamespace::text {}"
)


def test_wall_4_a_cafeterias_schema_holds_the_shop_and_nothing_else(world: World) -> None:
    tables = set(names(TENANT_TABLES.format("LIKE 't\\_%%'")))
    expected = {model._meta.db_table for app in settings.TENANT_APPS for model in apps.get_app_config(app).get_models()}
    assert tables == expected | {"django_migrations"}
    for prefix in ("django_content", "django_session", "django_q", "auth_", "django_admin", "accounts_", "core_", "tenants_"):
        assert [table for table in tables if table.startswith(prefix)] == []


def test_no_name_of_public_is_shadowed(world: World) -> None:
    """But that of Django's own list of migrations, of which each schema has one."""
    tables = set(names(TENANT_TABLES.format("LIKE 't\\_%%'")))
    public = set(names(TENANT_TABLES.format("= 'public'")))
    assert tables & public == {"django_migrations"}
    assert not [table for table in public if table.startswith("shop_")]


def test_wall_5_schema_names_are_opaque_and_follow_the_id(world: World) -> None:
    assert [cafeteria.slug for cafeteria in Cafeteria.objects.all() if cafeteria.schema_name != f"t_{cafeteria.pk}"] == []


def test_wall_6_identities_are_bigint_and_inline(world: World) -> None:
    columns = """SELECT attrelid::regclass || '.' || attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace::regnamespace::text LIKE 't\\_%%' AND c.relkind = 'r' AND {}"""
    assert names(columns.format("attidentity <> '' AND atttypid <> 'bigint'::regtype")) == []
    assert names(columns.format("atttypid = 'oid'::regtype AND attnum > 0")) == []
    loose = """SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind = 'S' AND c.relnamespace::regnamespace::text LIKE 't\\_%%'
        AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'i')"""
    assert names(loose) == []
    assert names("SELECT proname FROM pg_proc WHERE pronamespace::regnamespace::text LIKE 't\\_%%'") == []
