"""The measurements of the web process, in Prometheus' terms. Labels are bounded: never a cafeteria, a path or a person."""

from prometheus_client import Counter, Histogram

# Its `_count` is the number of requests: one measurement for rate, errors and time.
SECONDS = Histogram(
    "comanda_http_request_seconds",
    "Time to answer",
    ["host_kind", "route", "method", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
ORDERS = Counter("comanda_orders_total", "Orders placed", ["channel"])
WEBHOOKS = Counter("comanda_webhooks_total", "Notifications of Mercado Pago", ["outcome"])
SHARED_CACHE_LOOKS = Counter("comanda_shared_cache_looks_total", "Looks into the cache that web processes share", ["outcome"])
REFUSED_REQUESTS = Counter("comanda_requests_refused_total", "Requests refused while the process was busy", ["reason"])
