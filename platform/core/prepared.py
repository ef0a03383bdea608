"""The statements of the hot paths, planned once a connection: planning costs two to four times what running them does.

PostgreSQL plans one again by itself when the search path has changed since, so that it always means the scope's tables; the next
execution in the same scope is cheap again. Behind a transaction pooler the connection says that it cannot prepare, and they run plainly.
"""

import re
from collections.abc import Mapping
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper

PLACEHOLDER = re.compile(r"%\((\w+)\)s")


class Statement:
    """`sql` with %(name)s placeholders, and the PostgreSQL type of each name. `name` is unique in the project."""

    def __init__(self, name: str, sql: str, **types: str) -> None:
        used = set(PLACEHOLDER.findall(sql))
        numbers = {parameter: f"${number}" for number, parameter in enumerate((key for key in types if key in used), start=1)}
        if missing := used - set(types):
            raise TypeError(f"The types of {', '.join(sorted(missing))} are missing in the statement {name}.")
        self.name = name
        self.sql = sql
        body = PLACEHOLDER.sub(lambda found: numbers[found[1]], sql).replace("%%", "%")
        declared = f"({', '.join(types[parameter] for parameter in numbers)})" if numbers else ""
        self._prepare = f'PREPARE "{name}" {declared} AS {body}'
        arguments = f"({', '.join(f'%({parameter})s' for parameter in numbers)})" if numbers else ""
        self._execute = f'EXECUTE "{name}" {arguments}'

    def run(self, cursor: CursorWrapper, facts: Mapping[str, Any]) -> None:
        """Executes it on the default connection's cursor. Facts that it does not name are ignored."""
        prepared: set[str] | None = getattr(connection, "prepared", None)
        if prepared is None:
            cursor.execute(self.sql, facts)
            return
        if self.name not in prepared:
            # Not a query of the caller's: past Django's log and counts. A rollback does not take it back.
            with connection.wrap_database_errors, connection.connection.cursor() as raw:
                raw.execute(self._prepare)
            prepared.add(self.name)
        cursor.execute(self._execute, facts)
