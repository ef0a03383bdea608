"""What a recovered database needs before it serves: its last seconds are lost, and nothing may be given twice because of that."""

from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import connection
from django.db.models import F
from django.utils import timezone

from core.audit.actions import record
from core.errors import AppError
from core.jobs import enqueue
from ops.backups.offsite.adopting import adopt_offsite
from payments.ledger.models import Payment
from tenants.models import Cafeteria

log = structlog.get_logger()
IDS_SKIPPED = 10_000  # more than were given in the time that is lost
NUMBERS_SKIPPED = 50  # of the day's orders
SEQUENCES = r"""SELECT setval(format('%%I.%%I', schemaname, sequencename)::regclass, coalesce(last_value, 0) + %s)
    FROM pg_sequences WHERE schemaname = %s"""
SCHEMAS = r"SELECT nspname FROM pg_namespace WHERE nspname = 'public' OR nspname ~ '^t_[0-9]+$' ORDER BY nspname"
COUNTERS = "UPDATE {schema}.shop_daycounter SET newest = newest + %s WHERE day >= %s"


@dataclass(kw_only=True)
class Settled:
    schemas: int = 0
    payments: int = 0  # about which Mercado Pago is asked now
    adopted: int = 0  # backups off-site that the database had lost


def settle_recovery(*, moment: datetime, by: str = "command line") -> Settled:
    """Make a database that was recovered to that moment fit to serve.

    Ids and order numbers go on well after those that were given in the lost time: a link or a token of then means nothing, never
    something else. Whoever was signed in signs in again. Mercado Pago is asked about every open payment and about all that has changed
    since; off-site backups are listed again. A second time does the same again, without harm. Not inside a scope.
    """
    settled = Settled()
    with connection.cursor() as cursor:
        cursor.execute(SCHEMAS)
        schemas = [name for (name,) in cursor.fetchall()]
        for schema in schemas:  # One after the other: all at once would hold a lock for each of their sequences.
            cursor.execute(SEQUENCES, [IDS_SKIPPED, schema])
            if schema != "public":
                cursor.execute(COUNTERS.format(schema=f'"{schema}"'), [NUMBERS_SKIPPED, moment.date()])
            settled.schemas += 1
    Cafeteria.objects.update(generation=F("generation") + 1, revision=F("revision") + 1, fenced_until=None)
    settled.payments = Payment.objects.filter(closed_at=None, next_check_at__isnull=False).update(next_check_at=timezone.now())
    enqueue("payments.reconciliation.jobs.sweep", queue="long")
    try:
        settled.adopted = adopt_offsite().adopted
    except AppError as error:  # Without S3 there is nothing to adopt; one that is gone is asked again with backups_adopt.
        log.warning("backups_not_adopted", error=str(error))
    record("recovery.settled", label=by, moment=moment.isoformat(), schemas=settled.schemas, payments=settled.payments)
    return settled
