"""Advisory locks, held to the end of the transaction: they hold behind a transaction pooler, and the death of their holder frees them."""

from django.db import connection

# The first key of each lock; the second is a cafeteria's id, or 0. Nobody else in this database uses these.
CAFETERIA = 7_202_001  # its schema is being migrated, restored or dropped
FLEET = 7_202_002
TEMPLATE = 7_202_003

TEMPLATE_LOCK = (TEMPLATE, 0)
FLEET_LOCK = (FLEET, 0)


def cafeteria_lock(cafeteria_id: int) -> tuple[int, int]:
    return (CAFETERIA, cafeteria_id % 2**31)


def wait_for_lock(key: tuple[int, int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", key)


def try_lock(key: tuple[int, int]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", key)
        row = cursor.fetchone()
    return bool(row and row[0])
