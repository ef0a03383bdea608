"""Lists of payments by order and by status read what they show, however many others there are. Payments are taken meanwhile."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

INDEXES = (
    models.Index(fields=["cafeteria_uuid", "order_id"], name="payments_payment_order_id"),
    models.Index(fields=["cafeteria_uuid", "status", "-id"], condition=~models.Q(status="paid"), name="payments_payment_status"),
)


def anew(index: models.Index) -> list[migrations.operations.base.Operation]:
    """One that was killed while it was made is there all the same, and of no use: it is made again."""
    drop = migrations.RunSQL(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}", migrations.RunSQL.noop)
    return [drop, AddIndexConcurrently("payment", index)]


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("payments", "0006_reason")]

    operations = [operation for index in INDEXES for operation in anew(index)]
