"""The database, as it sees itself."""

from collections.abc import Iterator
from typing import Any

from django.db import connection
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

PRESENT = """SELECT
    (SELECT json_object_agg(state, n) FROM (SELECT CASE WHEN state IN ('active', 'idle', 'idle in transaction') THEN state ELSE 'other' END
        AS state, count(*) AS n FROM pg_stat_activity WHERE datname = current_database() GROUP BY 1) s),
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
    (SELECT count(*) FROM pg_locks WHERE NOT granted),
    (SELECT coalesce(max(extract(epoch FROM now() - xact_start)), 0) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()),
    (SELECT json_object_agg(slot_type || CASE WHEN active THEN '' ELSE ' inactive' END, held) FROM (
        SELECT slot_type, active, max(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_lsn() END, restart_lsn)) AS held FROM pg_replication_slots GROUP BY 1, 2) s),
    (SELECT failed_count FROM pg_stat_archiver),
    (SELECT deadlocks FROM pg_stat_database WHERE datname = current_database())"""
NOBODY = {"active": 0, "idle": 0, "idle in transaction": 0, "other": 0}  # A series that comes and goes cannot be told from a gap.
# Of all schemas: tens of thousands of tables at 1,000 cafeterias, so it is kept for long.
SIZES = """SELECT pg_database_size(current_database()),
    (SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'),
    (SELECT count(*) FROM pg_class WHERE relkind = 'r'),
    (SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database())"""
ROWS = """SELECT CASE WHEN schemaname IN ('public', 'pg_catalog') THEN schemaname WHEN schemaname ~ '^t_[0-9]+' THEN 'cafeterias'
        ELSE 'other' END, sum(n_live_tup), sum(n_dead_tup) FROM pg_stat_all_tables WHERE schemaname <> 'pg_toast' GROUP BY 1"""


class DatabaseCollector(Collector):
    """Connections, locks, transactions, slots: one query, cheap."""

    def collect(self) -> Iterator[Metric]:
        [(states, most, waiting, longest, slots, failed, deadlocks)] = rows(PRESENT)
        yield labelled("comanda_database_connections", "Connections to this database, by what they do.", "state", NOBODY | (states or {}))
        yield gauge("comanda_database_connections_limit", "Connections that the server takes.", most)
        yield gauge("comanda_database_locks_waiting", "Locks that somebody waits for.", waiting)
        yield gauge("comanda_database_longest_transaction_seconds", "Age of the oldest open transaction.", longest)
        held = "WAL that is kept for a replication slot, the most of its kind."
        yield labelled("comanda_replication_slot_held_bytes", held, "slot", {name: value or 0 for name, value in (slots or {}).items()})
        yield gauge("comanda_wal_archive_failures", "Times that archiving a segment failed, since the server's statistics began.", failed)
        yield gauge("comanda_database_deadlocks", "Deadlocks since the server's statistics began.", deadlocks or 0)


class SizeCollector(Collector):
    """Sizes and bloat: reads the whole catalogue."""

    def collect(self) -> Iterator[Metric]:
        [(size, catalogue, tables, age)] = rows(SIZES)
        yield gauge("comanda_database_bytes", "Size of the database.", size)
        yield gauge("comanda_database_catalogue_bytes", "Size of its catalogue, which grows with the cafeterias.", catalogue)
        yield gauge("comanda_database_tables", "Tables of all schemas.", tables)
        yield gauge("comanda_database_transaction_age", "Transactions since the oldest row that is not frozen.", age)
        live = GaugeMetricFamily("comanda_database_rows", "Rows, by where and whether they are dead.", labels=["where", "what"])
        for where, alive, dead in rows(ROWS):
            live.add_metric([where, "live"], float(alive))
            live.add_metric([where, "dead"], float(dead))
        yield live


def rows(sql: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())


def gauge(name: str, text: str, value: Any) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def labelled(name: str, text: str, label: str, values: dict[str, Any]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], float(value))
    return family
