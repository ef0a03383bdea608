from django.db import connection
from pytest_django import DjangoDbBlocker

from tenants.fleet.public import migrate_public
from tests.tenants.kit import own_database

INDEXES = ("payments_payment_order_id", "payments_payment_status")


def valid() -> list[str]:
    with connection.cursor() as cursor:
        query = "SELECT relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indisvalid AND relname = ANY(%s) ORDER BY relname"
        cursor.execute(query, [list(INDEXES)])
        return [name for (name,) in cursor.fetchall()]


def test_an_index_that_was_killed_while_it_was_made_is_made_again(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.unblock(), own_database():
        assert valid() == sorted(INDEXES)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [INDEXES[1]])
            cursor.execute("DELETE FROM django_migrations WHERE app = 'payments' AND name = '0007_payments_by_order_and_status'")
        assert valid() == [INDEXES[0]]
        assert migrate_public() == ["payments.0007_payments_by_order_and_status"]
        assert valid() == sorted(INDEXES)
