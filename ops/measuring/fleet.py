"""Cafeterias, their migrations, what comes again, and the money. No label is a cafeteria."""

from collections.abc import Iterator

from django.conf import settings
from prometheus_client import Metric
from prometheus_client.registry import Collector

from ops.measuring.database import gauge, labelled, rows
from tenants.provisioning.heads import current_head

CAFETERIAS = """SELECT (SELECT json_object_agg(status, n) FROM (SELECT status, count(*) AS n FROM public.tenants_cafeteria GROUP BY 1) s),
    (SELECT count(*) FROM public.tenants_cafeteria WHERE schema_head NOT IN ('', %s) AND status <> 'closed'),
    (SELECT json_object_agg(state, n) FROM (SELECT state, count(*) AS n FROM public.tenants_migrationstatus GROUP BY 1) s),
    (SELECT count(*) FROM public.tenants_cafeteria WHERE fenced_until > now())"""
# By the index of the idempotency key, whose text sorts by time: the newest that succeeded, however many there were.
PERIODIC = """SELECT k.kind, extract(epoch FROM now() - j.finished_at) FROM unnest(%s::text[]) AS k (kind) CROSS JOIN LATERAL (
    SELECT finished_at FROM public.core_job WHERE kind = k.kind AND cafeteria_uuid IS NULL AND idempotency_key <> ''
    AND state = 'succeeded' ORDER BY idempotency_key DESC LIMIT 1) j"""
FAILED = """SELECT count(*) FROM public.core_job WHERE state = 'failed' AND finished_at > now() - interval '1 hour'"""
MONEY = """SELECT
    (SELECT count(*) FROM public.payments_charge WHERE review <> '' AND verdict = ''),
    (SELECT count(*) FROM public.payments_charge WHERE disputed),
    (SELECT count(*) FROM public.payments_payment WHERE next_check_at IS NOT NULL),
    (SELECT coalesce(max(extract(epoch FROM now() - next_check_at)), 0) FROM public.payments_payment WHERE next_check_at <= now()),
    (SELECT count(*) FROM public.payments_notification WHERE state = 'new'),
    (SELECT coalesce(max(extract(epoch FROM now() - try_after)), 0) FROM public.payments_notification
        WHERE state = 'new' AND try_after <= now()),
    (SELECT json_object_agg(state, n) FROM (SELECT state, count(*) AS n FROM public.payments_notification
        WHERE received_at > now() - interval '1 hour' GROUP BY 1) s)"""
# The newest 5,000 by the key: more than five minutes hold.
MOVED = """SELECT kind || ' ' || method, count(*) FROM (SELECT kind, method, recorded_at FROM public.payments_ledgerentry
    ORDER BY id DESC LIMIT 5000) e WHERE recorded_at > now() - interval '5 minutes' GROUP BY 1"""
REFUNDS = """SELECT state, count(*) FROM public.payments_refund WHERE state IN ('requested', 'in_process') GROUP BY 1"""
DAYS = """SELECT state, count(*) FROM public.payments_daystatement WHERE checked_at > now() - interval '7 days' GROUP BY 1"""


class FleetCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        [(statuses, behind, states, fenced)] = rows(CAFETERIAS, [current_head()])
        yield labelled("comanda_cafeterias", "Cafeterias, by status.", "status", statuses or {})
        yield gauge("comanda_cafeterias_behind", "Cafeterias that are not at this code's migrations.", behind)
        yield gauge("comanda_cafeterias_fenced", "Cafeterias that are away for an exchange of schemas.", fenced)
        yield labelled("comanda_migrations", "Cafeterias in the newest run of migrations, by how far.", "state", states or {})


class RecurrenceCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        ages = dict(rows(PERIODIC, [list(settings.PERIODIC_JOBS)]))
        yield labelled("comanda_periodic_job_age_seconds", "Since a job that comes again last succeeded.", "kind", ages)
        yield gauge("comanda_jobs_failed_last_hour", "Jobs that failed for good within the hour.", rows(FAILED)[0][0])


class MoneyCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        [(reviews, disputes, looked_after, late, unworked, oldest, told)] = rows(MONEY)
        yield gauge("comanda_payments_in_review", "Payments that a person has to decide on.", reviews)
        yield gauge("comanda_payments_disputed", "Payments that their buyers dispute.", disputes)
        yield gauge("comanda_payments_looked_after", "Payments that reconciliation still asks about.", looked_after)
        yield gauge("comanda_reconciliation_late_seconds", "How long the longest waiting check of a payment has been due.", late)
        yield gauge("comanda_webhooks_unworked", "Notifications that are not worked off.", unworked)
        yield gauge("comanda_webhooks_unworked_age_seconds", "How long the oldest of them has been due.", oldest)
        yield labelled("comanda_webhooks_last_hour", "Notifications of the last hour, by what became of them.", "state", told or {})
        yield labelled("comanda_ledger_last_minutes", "Movements of money in the last five minutes.", "movement", dict(rows(MOVED)))
        yield labelled("comanda_refunds_waiting", "Refunds that have not ended.", "state", dict(rows(REFUNDS)))
        yield labelled("comanda_day_statements", "Days set against Mercado Pago's in the last week.", "state", dict(rows(DAYS)))
