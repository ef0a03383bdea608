"""django-tenants' PostgreSQL backend without its session-level SET: tenants.scope sets the path, inside a transaction."""

from typing import Any

from django_tenants.postgresql_backend.base import DatabaseWrapper as TenantsDatabaseWrapper


class DatabaseWrapper(TenantsDatabaseWrapper):
    def _handle_search_path(self, cursor: Any = None) -> None:
        """Nothing. A SET of the session would outlive the transaction and, behind a pooler, meet another tenant."""
