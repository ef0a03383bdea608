"""What each alert of deploy/prometheus/rules/comanda.yml fires at, and what it does not fire at."""

from dataclasses import dataclass

COUNT = "comanda_http_request_seconds_count"
BUCKET = "comanda_http_request_seconds_bucket"


@dataclass(frozen=True, kw_only=True)
class Case:
    alert: str
    ill: dict[str, str]  # series -> values in promtool's notation, a value a minute
    well: dict[str, str]  # with which it stays quiet
    after: str  # by when it fires
    fires: int = 1  # how many of it


def gauge(alert: str, name: str, ill: str, well: str, after: str) -> Case:
    return Case(alert=alert, ill={name: f"{ill}x2000"}, well={name: f"{well}x2000"}, after=after)


CASES = (
    gauge("ComandaDown", 'up{job="comanda"}', "0", "1", "3m"),
    Case(
        alert="ErrorRate",
        ill={f'{COUNT}{{host_kind="cafeteria",status="200"}}': "0+600x30", f'{COUNT}{{host_kind="cafeteria",status="500"}}': "0+30x30"},
        well={f'{COUNT}{{host_kind="cafeteria",status="200"}}': "0+600x30", f'{COUNT}{{host_kind="cafeteria",status="500"}}': "0+6x30"},
        after="12m",
    ),
    Case(
        alert="SlowAnswers",
        ill={
            f'{BUCKET}{{host_kind="cafeteria",le="1"}}': "0+90x60",
            f'{BUCKET}{{host_kind="cafeteria",le="10"}}': "0+100x60",
            f'{BUCKET}{{host_kind="cafeteria",le="+Inf"}}': "0+100x60",
            f'{COUNT}{{host_kind="cafeteria"}}': "0+100x60",
        },
        well={
            f'{BUCKET}{{host_kind="cafeteria",le="1"}}': "0+100x60",
            f'{BUCKET}{{host_kind="cafeteria",le="10"}}': "0+100x60",
            f'{BUCKET}{{host_kind="cafeteria",le="+Inf"}}': "0+100x60",
            f'{COUNT}{{host_kind="cafeteria"}}': "0+100x60",
        },
        after="20m",
    ),
    gauge("WorkerStalled", 'comanda_cluster_stalled{queue="short"}', "1", "0", "2m"),
    gauge("WorkerStalled", 'comanda_cluster_beat_age_seconds{queue="long"}', "400", "200", "2m"),
    gauge("JobsLate", 'comanda_job_queue_age_seconds{queue="short"}', "400", "200", "6m"),
    gauge("JobsLate", 'comanda_job_queue_age_seconds{queue="long"}', "7300", "400", "6m"),
    gauge("JobsFailing", "comanda_jobs_failed_last_hour", "11", "10", "6m"),
    gauge("PeriodicJobMissing", 'comanda_periodic_job_age_seconds{kind="ops.backups.jobs.tick"}', "1000", "100", "6m"),
    gauge("BackupTooOld", "comanda_backup_newest_age_seconds", "10900", "7000", "16m"),
    gauge("BackupTooOld", "comanda_backups_not_ok", "1", "0", "16m"),
    gauge("BackupProofFailed", 'comanda_open_alerts{kind="backups.proof_failed",severity="critical"}', "1", "0", "1m"),
    gauge("BackupProofTooOld", 'comanda_periodic_job_age_seconds{kind="ops.backups.jobs.prove"}', "94000", "90000", "31m"),
    gauge("OffsiteCopiesFailing", 'comanda_open_alerts{kind="backups.offsite_damaged",severity="critical"}', "2", "0", "31m"),
    gauge("ReconciliationFailing", "comanda_reconciliation_late_seconds", "700", "300", "6m"),
    gauge("ReconciliationFailing", 'comanda_open_alerts{kind="payments.reconciliation",severity="warning"}', "1", "0", "6m"),
    gauge("WebhooksUnworked", "comanda_webhooks_unworked_age_seconds", "130", "20", "3m"),
    gauge("MoneyDiffers", 'comanda_open_alerts{kind="payments.books_differ",severity="critical"}', "1", "0", "1m"),
    gauge("PaymentsInReview", "comanda_payments_in_review", "1", "0", "1441m"),
    gauge("DatabaseDown", "comanda_database_up", "0", "1", "2m"),
    Case(
        alert="DatabaseConnectionsNearLimit",
        ill={'comanda_database_connections{state="idle"}': "88x30", "comanda_database_connections_limit": "97x30"},
        well={'comanda_database_connections{state="idle"}': "60x30", "comanda_database_connections_limit": "97x30"},
        after="6m",
    ),
    gauge("DatabaseLocksWait", "comanda_database_locks_waiting", "6", "5", "3m"),
    gauge("DatabaseLocksWait", "comanda_database_longest_transaction_seconds", "1900", "1000", "3m"),
    gauge("ReplicationSlotHoldsWal", 'comanda_replication_slot_held_bytes{slot="physical inactive"}', "11000000000", "900", "6m"),
    Case(
        alert="WalArchiveFailing",
        ill={"comanda_wal_archive_failures": "0+1x60"},
        well={"comanda_wal_archive_failures": "7x60"},
        after="45m",
    ),
    gauge("TransactionIdsRunningOut", "comanda_database_transaction_age", "1100000000", "200000000", "61m"),
    gauge("MigrationsFailed", 'comanda_migrations{state="failed"}', "1", "0", "6m"),
    gauge("CafeteriasBehind", "comanda_cafeterias_behind", "1", "0", "121m"),
    gauge("CertificateEnding", 'comanda_certificate_end_seconds{hosts="platform"}', "1000000", "1300000", "1m"),
    gauge("CertificateAtItsEnd", 'comanda_certificate_end_seconds{hosts="own"}', "200000", "300000", "1m"),
    gauge("CertificateUnknown", 'comanda_certificates_bad{hosts="platform"}', "1", "0", "11m"),
    gauge("CertificateUnknown", 'comanda_periodic_job_age_seconds{kind="ops.certificates.jobs.check"}', "90000", "80000", "11m"),
    Case(
        alert="DiskFilling",
        ill={'comanda_disk_free_bytes{folder="data"}': "30000-10x500", 'comanda_disk_bytes{folder="data"}': "100000x500"},
        well={'comanda_disk_free_bytes{folder="data"}': "30000-1x500", 'comanda_disk_bytes{folder="data"}': "100000x500"},
        after="6h30m",
    ),
    Case(
        alert="DiskNearlyFull",
        ill={'comanda_disk_free_bytes{folder="backups"}': "9x30", 'comanda_disk_bytes{folder="backups"}': "100x30"},
        well={'comanda_disk_free_bytes{folder="backups"}': "11x30", 'comanda_disk_bytes{folder="backups"}': "100x30"},
        after="6m",
    ),
    gauge("NoticesUndelivered", 'comanda_notices_waiting_seconds{channel="slack"}', "1000", "60", "6m"),
    gauge("SharedCacheAway", 'comanda_shared_cache_looks_total{outcome="failed"}', "0+1", "3+0", "25m"),
    gauge("AlertsUndelivered", 'alertmanager_notifications_failed_total{integration="slack"}', "0+1", "3+0", "8m"),
)
