"""How jobs meet their cafeteria: the hooks that core.jobs finds through the settings, and the scope for a job's own use."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from core.jobs import JobRun
from tenants.errors import StaleTenant
from tenants.queries import ref_by_uuid
from tenants.refs import TenantRef
from tenants.scope import current_tenant_or_none, tenant_scope


def current_cafeteria_uuid() -> UUID | None:
    """settings.JOB_TENANT: whose job it is that is enqueued here; None outside of every scope."""
    tenant = current_tenant_or_none()
    return None if tenant is None else tenant.uuid


def scope_for_job(cafeteria_uuid: UUID) -> TenantRef:
    """settings.JOB_SCOPE: the cafeteria as it is now, suspended and closed ones too (the scope refuses them). Raises CafeteriaNotFound."""
    return ref_by_uuid(cafeteria_uuid)


@contextmanager
def job_scope(run: JobRun, *, also_suspended: bool = False, also_closed: bool = False) -> Iterator[TenantRef]:
    """A scope of the job's cafeteria, one of as many short ones as the job likes. Raises as tenant_scope does.

    A job outlives changes of the cafeteria's row; after a restore it raises StaleTenant, and starts again with its next attempt.
    """
    fresh = scope_for_job(run.cafeteria.uuid)
    if fresh.generation != run.cafeteria.generation:
        raise StaleTenant(fresh.schema_name)
    with tenant_scope(fresh, also_suspended=also_suspended, also_closed=also_closed) as ref:
        yield ref
