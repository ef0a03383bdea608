"""The one module that switches tenants (wall 1, wall 2).

A scope is a transaction whose search_path is set with SET LOCAL semantics: it ends with the transaction, whatever happens, also behind
a transaction pooler. Outside a scope the path is public, where no tenant table exists, so that a forgotten scope fails by itself.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

from django.db import connection, transaction

from core.prepared import Statement
from core.request_context import name_for_database
from tenants import routing
from tenants.backend.base import DatabaseWrapper
from tenants.errors import CafeteriaFenced, CafeteriaNotFound, CafeteriaSuspended, CrossedTenantScope, NoTenantScope, StaleTenant
from tenants.refs import REF_COLUMNS, TenantRef, ref_from_row

ENTER = Statement(
    "enter_scope",
    f"""SELECT set_config('search_path', %(path)s, true), set_config('application_name', %(who)s, true),
        {REF_COLUMNS}, coalesce(fenced_until > now(), false)
        FROM public.tenants_cafeteria WHERE id = %(id)s""",  # noqa: S608
    path="text",
    who="text",
    id="bigint",
)
LEAVE = "SELECT set_config('search_path', 'public', true)"


def current_tenant() -> TenantRef:
    """The cafeteria whose scope this thread is in; NoTenantScope outside of one."""
    tenant = _wrapper().tenant
    if isinstance(tenant, TenantRef):
        return tenant
    raise NoTenantScope("No cafeteria's scope is open. Wrap the work in tenant_scope(ref).")


def current_tenant_or_none() -> TenantRef | None:
    tenant = _wrapper().tenant
    return tenant if isinstance(tenant, TenantRef) else None


@contextmanager
def tenant_scope(
    ref: TenantRef, *, also_suspended: bool = False, also_closed: bool = False, also_fenced: bool = False
) -> Iterator[TenantRef]:
    """Opens a transaction in which the cafeteria's tables can be queried, and yields a fresh reference to it.

    Inside its own scope it is a savepoint. Raises CrossedTenantScope inside another cafeteria's scope, StaleTenant when the cafeteria has
    changed or was restored since `ref` was made; CafeteriaSuspended, CafeteriaNotFound (closed) and CafeteriaFenced (a restore is
    exchanging its schema) unless asked for.
    Never call outside services in it: the transaction would wait for them.
    """
    outer = current_tenant_or_none()
    if outer is not None:
        if (outer.id, outer.generation) != (ref.id, ref.generation):
            raise CrossedTenantScope(f"{ref.schema_name} was asked for inside the scope of {outer.schema_name}.")
        with transaction.atomic():
            yield outer
        return
    nested = connection.in_atomic_block
    try:
        with transaction.atomic():
            fresh, fenced = _enter(ref)
            if fenced and not also_fenced:
                raise CafeteriaFenced
            _check_status(fresh, also_suspended=also_suspended, also_closed=also_closed)
            _wrapper().set_tenant(fresh)
            try:
                yield fresh
            finally:
                # Before the commit, so that on_commit hooks run outside.
                _wrapper().set_schema_to_public()
    finally:
        if nested:
            _leave_early()
        else:
            _wrapper().rest_if_well_travelled()


@contextmanager
def unchecked_scope(ref: TenantRef) -> Iterator[TenantRef]:
    """A scope for a schema that is just being made or migrated: no check of the row. For tenants.provisioning and tenants.fleet."""
    if current_tenant_or_none() is not None:
        raise CrossedTenantScope("A schema cannot be made or migrated inside a cafeteria's scope.")
    nested = connection.in_atomic_block
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('search_path', %s, true)", [_path(ref)])
            _wrapper().set_tenant(ref)
            try:
                yield ref
            finally:
                _wrapper().set_schema_to_public()
    finally:
        if nested:
            _leave_early()
        else:
            _wrapper().rest_if_well_travelled()


@contextmanager
def request_scope(request: Any) -> Iterator[TenantRef]:
    """The scope of `request.tenant`. A stale reference is looked up again, once; `request.tenant` is fresh inside."""
    with ExitStack() as stack:
        try:
            fresh = stack.enter_context(tenant_scope(request.tenant))
        except StaleTenant:
            routing.forget(request.tenant.id)
            found = routing.resolve(request.comanda_host)
            if found is None:
                raise CafeteriaNotFound from None
            fresh = stack.enter_context(tenant_scope(found))
        request.tenant = fresh
        yield fresh


def _enter(ref: TenantRef) -> tuple[TenantRef, bool]:
    """(the reference as of now, whether the cafeteria is fenced)."""
    with connection.cursor() as cursor:
        ENTER.run(cursor, {"path": _path(ref), "who": name_for_database(), "id": ref.id})
        row = cursor.fetchone()
    if row is None:
        raise StaleTenant(ref.schema_name)
    fresh = ref_from_row(row[2:-1])
    if (fresh.generation, fresh.revision) != (ref.generation, ref.revision):
        raise StaleTenant(ref.schema_name)
    return fresh, row[-1]


def _check_status(ref: TenantRef, *, also_suspended: bool, also_closed: bool) -> None:
    if ref.status == "suspended" and not also_suspended:
        raise CafeteriaSuspended
    if ref.status == "closed" and not also_closed:
        raise CafeteriaNotFound


def _leave_early() -> None:
    """A scope inside a wider transaction: its SET LOCAL would last until that one's end."""
    if connection.in_atomic_block and not connection.needs_rollback and connection.connection is not None:
        with connection.cursor() as cursor:
            cursor.execute(LEAVE)


def _path(ref: TenantRef) -> str:
    # Our own opaque names (wall 5), quoted all the same.
    return f'"{ref.schema_name}", public'


def _wrapper() -> DatabaseWrapper:
    return cast("DatabaseWrapper", connection)
