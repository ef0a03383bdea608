"""Databases and migrations of a test's own."""

import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
from django.conf import settings
from django.db import connection, connections

import shop.migrations
from tenants import routing
from tenants.fleet.public import migrate_public
from tenants.provisioning.template import forget_templates

ADD_NOTE = 'migrations.AddField("product", "note", models.CharField(max_length=20, default="-", db_default="-"))'

MIGRATION = """
from django.db import migrations, models

class Migration(migrations.Migration):
    atomic = {atomic}
    dependencies = [("shop", "{after}")]
    operations = [{operations}]
"""


def leaf_of_the_shop() -> str:
    names = sorted(path.stem for path in Path(shop.migrations.__path__[0]).glob("[0-9]*.py"))
    return names[-1]


@contextmanager
def more_migrations(folder: Path, *operations: str, atomic: bool = True) -> Iterator[str]:
    """The shop's migrations, and after them one for each of `operations`. Yields the package, for MIGRATION_MODULES."""
    package = f"more_migrations_{secrets.token_hex(4)}"
    shutil.copytree(shop.migrations.__path__[0], folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    after = leaf_of_the_shop()
    for number, operation in enumerate(operations, start=9001):
        name = f"{number}_extra"
        text = MIGRATION.format(after=after, operations=operation, atomic=atomic)
        (folder / package / f"{name}.py").write_text(text)
        after = name
    sys.path.insert(0, str(folder))
    before = settings.MIGRATION_MODULES
    settings.MIGRATION_MODULES = {"shop": package}
    forget_templates()
    try:
        yield package
    finally:
        settings.MIGRATION_MODULES = before
        sys.path.remove(str(folder))
        forget_templates()


@contextmanager
def own_database(*, template: str | None = None) -> Iterator[str]:
    """A database beside the tests' own, and `connection` on it in every thread; migrated, or a copy of the template."""
    name = f"comanda_own_{secrets.token_hex(4)}"
    before = settings_of_connections()["NAME"]
    maintain(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
    use(name)
    try:
        if template is None:
            migrate_public()
        yield name
    finally:
        use(str(before))
        maintain(f"DROP DATABASE {name} WITH (FORCE)")


def use(name: str) -> None:
    connections.close_all()
    settings_of_connections()["NAME"] = name
    routing.forget_all()


def settings_of_connections() -> dict[str, object]:
    parts: dict[str, object] = connection.settings_dict
    return parts


def maintain(statement: str) -> None:
    connection.close()
    parts = connection.settings_dict
    names = {"host": parts["HOST"], "port": parts["PORT"] or None, "user": parts["USER"] or None, "password": parts["PASSWORD"] or None}
    with closing(psycopg2.connect(dbname="postgres", **names)) as admin:
        admin.autocommit = True
        admin.cursor().execute(statement)


def scalar(sql: str, *parameters: str | int) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        row = cursor.fetchone()
    return None if row is None else row[0]
