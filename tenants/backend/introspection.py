"""Django's introspection, narrowed to the schema in use."""

import django.db.backends.postgresql.base  # noqa: F401 - must come before introspection, or the two import each other in a circle
from django.db.backends.postgresql.introspection import DatabaseIntrospection as PostgresIntrospection
from django.db.backends.postgresql.introspection import TableInfo
from django.db.backends.utils import CursorWrapper

# By schema: asking for the visibility of each table of the database costs 0.15 s at 1,000 cafeterias.
TABLES = """
SELECT c.relname,
    CASE WHEN c.relispartition THEN 'p' WHEN c.relkind IN ('m', 'v') THEN 'v' ELSE 't' END,
    obj_description(c.oid, 'pg_class')
FROM pg_catalog.pg_class c
WHERE c.relkind IN ('f', 'm', 'p', 'r', 'v')
    AND c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
"""


class DatabaseIntrospection(PostgresIntrospection):
    def get_table_list(self, cursor: CursorWrapper | None) -> list[TableInfo]:  # type: ignore[override]
        """The tables of the first schema of the path: in a scope the cafeteria's, else those of public."""
        assert cursor is not None
        cursor.execute(TABLES)
        return [TableInfo(*row) for row in cursor.fetchall() if row[0] not in self.ignored_tables]
