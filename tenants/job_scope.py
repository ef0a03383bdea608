"""How jobs meet their cafeteria: the hooks that core.jobs finds through the settings, and the scope for a job's own use."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import connection

from core.jobs import JobRun
from tenants.errors import CafeteriaNotFound, StaleTenant
from tenants.refs import REF_COLUMNS, TenantRef, ref_from_row
from tenants.scope import current_tenant_or_none, tenant_scope

BY_UUID = f"SELECT {REF_COLUMNS} FROM public.tenants_cafeteria WHERE uuid = %s"  # noqa: S608


def current_cafeteria_uuid() -> UUID | None:
    """settings.JOB_TENANT: whose job it is that is enqueued here; None outside of every scope."""
    tenant = current_tenant_or_none()
    return None if tenant is None else tenant.uuid


def scope_for_job(cafeteria_uuid: UUID) -> TenantRef:
    """settings.JOB_SCOPE: the cafeteria as it is now, suspended and closed ones too (the scope refuses them). Raises CafeteriaNotFound."""
    with connection.cursor() as cursor:
        cursor.execute(BY_UUID, [cafeteria_uuid])
        row = cursor.fetchone()
    if row is None:
        raise CafeteriaNotFound
    return ref_from_row(row)


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
