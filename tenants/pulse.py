"""The counters of a cafeteria that every change bumps in its own transaction: ETags and polling compare them instead of the data.

The row is a lock that all changes of a cafeteria share until they commit: bump last in an action.
"""

from typing import NamedTuple

from django.db import connection

from core.prepared import Statement
from tenants.errors import CafeteriaFenced, CafeteriaNotFound, CafeteriaSuspended, StaleTenant
from tenants.refs import TenantRef
from tenants.scope import current_tenant

READ = Statement(
    "read_pulse",
    """SELECT p.menu, p.orders, c.revision, c.generation, c.status,
    coalesce(c.fenced_until > now(), false)
    FROM public.tenants_pulse p JOIN public.tenants_cafeteria c ON c.id = p.cafeteria_id WHERE p.cafeteria_id = %(id)s""",
    id="bigint",
)
BUMP_MENU = "UPDATE public.tenants_pulse SET menu = menu + 1 WHERE cafeteria_id = %s"
BUMP_ORDERS = "UPDATE public.tenants_pulse SET orders = orders + 1 WHERE cafeteria_id = %s"
BUMP_BOTH = "UPDATE public.tenants_pulse SET menu = menu + 1, orders = orders + 1 WHERE cafeteria_id = %s"


class PulseReading(NamedTuple):
    """Comparable only within one generation: a restore may give old data under old numbers."""

    menu: int
    orders: int


def read_pulse(ref: TenantRef) -> PulseReading:
    """The counters as committed, in one query that also proves `ref` current. Needs no scope.

    Raises StaleTenant when the cafeteria has changed since `ref` was made, CafeteriaSuspended, CafeteriaNotFound (closed),
    CafeteriaFenced.
    """
    with connection.cursor() as cursor:
        READ.run(cursor, {"id": ref.id})
        row = cursor.fetchone()
    if row is None or (row[2], row[3]) != (ref.revision, ref.generation):
        raise StaleTenant(ref.schema_name)
    if row[5]:
        raise CafeteriaFenced
    if row[4] == "suspended":
        raise CafeteriaSuspended
    if row[4] == "closed":
        raise CafeteriaNotFound
    return PulseReading(row[0], row[1])


def bump_menu() -> None:
    """The menu of the scope's cafeteria has changed, a product's stock included."""
    _bump(BUMP_MENU)


def bump_orders() -> None:
    """An order of the scope's cafeteria has changed."""
    _bump(BUMP_ORDERS)


def bump_menu_and_orders() -> None:
    """Both, as when an order takes stock: one statement, one lock."""
    _bump(BUMP_BOTH)


def _bump(sql: str) -> None:
    tenant = current_tenant()
    with connection.cursor() as cursor:
        cursor.execute(sql, (tenant.id,))
        if cursor.rowcount != 1:
            # A change that nobody would notice: every reader would keep its old page.
            raise LookupError(f"{tenant.schema_name} has no row in tenants_pulse.")
