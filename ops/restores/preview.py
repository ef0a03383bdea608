"""What a restore would change, found by doing it beside and taking it back."""

import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from ops.backups.bundles.data import Manifest
from ops.restores.building import built_side
from tenants.refs import TenantRef
from tenants.snapshots import TableShape, quoted

EXAMPLES = 50
# What a person wants to see of them, row by row.
TOLD = {
    "shop_order": ("id", "business_date", "number", "status", "payment_status", "total", "paid"),
    "shop_product": ("id", "name", "price", "stock", "is_available"),
}

type Step = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class TableChange:
    table: str
    now: int  # rows
    then: int
    lost: int  # rows that are there now and would not be
    back: int  # rows that are not there now and would be
    changed: int  # rows of the same key that would be otherwise


def preview_restore(ref: TenantRef, path: Path, manifest: Manifest, *, step: Step = lambda _: None) -> dict[str, Any]:
    """{"tables": [TableChange], "rows": {table: [{"change", "now", "then"}]}, "moment"}: nothing is changed. Raises BundleRefused."""
    name = f"{ref.schema_name}_p{secrets.token_hex(4)}"
    with transaction.atomic():
        with built_side(name, path, manifest, step=step) as (side, _head):
            shapes = side.contents.tables()
            changes = [_change(ref, name, shape) for shape in shapes if shape.name != "django_migrations"]
            rows = {shape.name: _rows(ref, name, shape) for shape in shapes if shape.name in TOLD}
        transaction.set_rollback(True)
    return {
        "moment": manifest.taken_at,
        "tables": [asdict(change) for change in changes if change.lost or change.back or change.changed],
        "rows": rows,
    }


def _change(ref: TenantRef, side: str, shape: TableShape) -> TableChange:
    live, then = f"{quoted(ref.schema_name)}.{quoted(shape.name)}", f"{quoted(side)}.{quoted(shape.name)}"
    same = " AND ".join(f"n.{quoted(key)} = t.{quoted(key)}" for key in shape.key)
    first = quoted(shape.key[0])
    query = f"""SELECT count(n.{first}), count(t.{first}),
        count(*) FILTER (WHERE t.{first} IS NULL), count(*) FILTER (WHERE n.{first} IS NULL),
        count(*) FILTER (WHERE n.{first} IS NOT NULL AND t.{first} IS NOT NULL AND n::text IS DISTINCT FROM t::text)
        FROM {live} n FULL JOIN {then} t ON {same}"""  # noqa: S608 - names from the catalogue
    now, was, lost, back, changed = _query(query)[0]
    return TableChange(table=shape.name, now=now, then=was, lost=lost, back=back, changed=changed)


def _rows(ref: TenantRef, side: str, shape: TableShape) -> list[dict[str, Any]]:
    """The newest rows that would change, with what is told of each."""
    live, then = f"{quoted(ref.schema_name)}.{quoted(shape.name)}", f"{quoted(side)}.{quoted(shape.name)}"
    told = [column for column in TOLD[shape.name] if column in shape.columns]
    now_told, then_told = (f"json_build_object({', '.join(f'{column!r}, {alias}.{quoted(column)}' for column in told)})" for alias in "nt")
    query = f"""SELECT CASE WHEN t.id IS NULL THEN 'lost' WHEN n.id IS NULL THEN 'back' ELSE 'changed' END,
        CASE WHEN n.id IS NOT NULL THEN {now_told} END, CASE WHEN t.id IS NOT NULL THEN {then_told} END
        FROM {live} n FULL JOIN {then} t ON n.id = t.id WHERE n::text IS DISTINCT FROM t::text
        ORDER BY coalesce(n.id, t.id) DESC LIMIT {EXAMPLES}"""  # noqa: S608 - names from the catalogue
    return [{"change": change, "now": now, "then": then_} for change, now, then_ in _query(query)]


def _query(query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())
