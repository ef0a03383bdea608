"""What a recovered database needs before it serves: its last seconds are lost, and nothing may be given twice because of that."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import connection
from django.db.models import F
from django.utils import timezone

from core.audit.actions import record
from core.business_day import business_date
from core.errors import AppError
from core.jobs import enqueue
from ops.backups.offsite.adopting import adopt_offsite
from payments.ledger.models import Payment
from tenants.models import Cafeteria
from tenants.queries import ref_for

log = structlog.get_logger()
# More than were given in the time that is lost.
IDS_SKIPPED, IDS_A_SECOND = 10_000, 200
NUMBERS_SKIPPED, NUMBERS_A_MINUTE = 50, 2  # of the day's orders
SEQUENCES = r"""SELECT setval(format('%%I.%%I', schemaname, sequencename)::regclass, coalesce(last_value, 0) + %s)
    FROM pg_sequences WHERE schemaname = %s"""
SCHEMAS = r"SELECT nspname FROM pg_namespace WHERE nspname = 'public' OR nspname ~ '^t_[0-9]+$' ORDER BY nspname"
COUNTER = """INSERT INTO {schema}.shop_daycounter AS d (day, newest) VALUES (%s, %s)
    ON CONFLICT (day) DO UPDATE SET newest = d.newest + excluded.newest"""


@dataclass(kw_only=True)
class Settled:
    schemas: int = 0
    payments: int = 0  # about which Mercado Pago is asked now
    adopted: int = 0  # backups off-site that the database had lost


def settle_recovery(*, moment: datetime, by: str = "command line") -> Settled:
    """Make a database that was recovered to that moment fit to serve.

    Ids and order numbers go on well after those that were given between the moment and now: a link or a token of then means nothing,
    never something else. Whoever was signed in at a cafeteria signs in again. Mercado Pago is asked about every open payment and about
    all that has changed since; off-site backups are listed again. A second time does the same again, without harm. Not inside a scope.
    """
    settled, now = Settled(), timezone.now()
    lost = max(now - moment, timedelta(0))
    ids = IDS_SKIPPED + int(lost.total_seconds()) * IDS_A_SECOND
    numbers = NUMBERS_SKIPPED + int(min(lost, timedelta(days=1)).total_seconds() / 60) * NUMBERS_A_MINUTE
    refs = {cafeteria.schema_name: ref_for(cafeteria) for cafeteria in Cafeteria.objects.all()}
    with connection.cursor() as cursor:
        cursor.execute(SCHEMAS)
        schemas = [name for (name,) in cursor.fetchall()]
        for schema in schemas:  # One after the other: all at once would hold a lock for each of their sequences.
            cursor.execute(SEQUENCES, [ids, schema])
            if (ref := refs.get(schema)) is not None:
                day = business_date(now, zone=ref.zone, cutoff=ref.day_cutoff)
                cursor.execute(COUNTER.format(schema=f'"{schema}"'), [day, numbers])
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
