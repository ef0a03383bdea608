"""django-tenants' PostgreSQL backend without its session-level SET: tenants.scope sets the path, inside a transaction."""

from typing import Any

from django_tenants.postgresql_backend.base import DatabaseWrapper as TenantsDatabaseWrapper

from tenants.backend.introspection import DatabaseIntrospection
from tenants.refs import TenantRef

PUBLIC = "public"
# Schemas that one connection may visit. Its backend keeps the catalogue entries of each (0.15 MB and more) and never lets go.
MOST_VISITED = 150


class DatabaseWrapper(TenantsDatabaseWrapper):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # django-tenants' own sends SET search_path, which outlives the transaction.
        self.introspection = DatabaseIntrospection(self)
        self.visited: set[str] = set()  # schemas, by this connection
        self.prepared: set[str] | None = None  # statements, on this connection (core.prepared); None where it cannot prepare any

    def get_new_connection(self, conn_params: Any) -> Any:
        self.visited = set()
        new = super().get_new_connection(conn_params)
        self.prepared = set() if is_direct(new) else None
        return new

    def rest_if_well_travelled(self) -> None:
        """Close the connection when it has visited its share of schemas; the next query opens a new one. Not inside a transaction."""
        if len(self.visited) > MOST_VISITED and not self.in_atomic_block:
            self.close()

    def set_tenant(self, tenant: Any, include_public: bool = True) -> None:  # noqa: FBT001, FBT002 - its signature
        """Note whose scope the thread is in. For tenants.scope only: by itself it changes nothing in the database.

        RuntimeError for anything but a TenantRef and the public schema, so that `with tenant:` and schema_context fail (wall 1).
        """
        if tenant.schema_name != PUBLIC and not isinstance(tenant, TenantRef):
            raise RuntimeError("Only tenants.scope switches cafeterias: use tenant_scope(ref).")
        self.tenant = tenant
        self.schema_name = tenant.schema_name
        self.include_public_schema = include_public
        if tenant.schema_name != PUBLIC:
            self.visited.add(tenant.schema_name)

    def _handle_search_path(self, cursor: Any = None) -> None:
        """Nothing. A SET of the session would outlive the transaction and, behind a pooler, meet another tenant."""


def is_direct(connection: Any) -> bool:
    """Whether PostgreSQL itself is at the other end. A pooler shows a process of its own, and may change servers between transactions."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        direct: bool = cursor.fetchone()[0] == connection.info.backend_pid
    connection.rollback()
    return direct
