"""Whether this process can serve, for load balancers and people; and its measurements, for Prometheus."""

import hmac
import os
from ipaddress import ip_address
from pathlib import Path

import structlog
from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from ops.measuring.answer import measured

log = structlog.get_logger("comanda.health")
DRAINING = Path(os.environ["RUN_FOLDER"]) / "draining" if "RUN_FOLDER" in os.environ else None


@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """200 "healthy", or 503 "unhealthy" when the database cannot be reached."""
    reachable = database_reachable()
    body = {
        "status": "healthy" if reachable else "unhealthy",
        "database": "reachable" if reachable else "unreachable",
        "release": settings.RELEASE,
    }
    response = JsonResponse(body, status=200 if reachable else 503)
    response["Cache-Control"] = "no-store"
    return response


@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers at all: it asks nothing of anybody."""
    return JsonResponse({"status": "alive"})


@require_safe
def accepting(request: HttpRequest) -> JsonResponse:
    """For the proxy, each second: 503 once this server is about to stop (config.web), so that new requests go to another one."""
    leaving = DRAINING is not None and DRAINING.exists()
    response = JsonResponse({"status": "draining" if leaving else "accepting"}, status=503 if leaving else 200)
    response["Cache-Control"] = "no-store"
    return response


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For whoever has METRICS_TOKEN as a bearer; without one set, for this machine only."""
    if not _may_read_metrics(request):
        return HttpResponse("Not found\n", status=404, content_type="text/plain")
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        web = generate_latest(registry)
    else:
        web = generate_latest(REGISTRY)
    return HttpResponse(web + measured(), content_type=CONTENT_TYPE_LATEST)


def database_reachable() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        log.warning("database_unreachable", error=type(error).__name__)
        connection.close()  # The next question gets a new connection.
        return False
    return True


def _may_read_metrics(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        given = request.META.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(), settings.METRICS_TOKEN.encode())
    if "HTTP_X_FORWARDED_FOR" in request.META:
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


for view in (health, live, accepting, metrics):
    view.access = "anyone"  # type: ignore[attr-defined]

urlpatterns = [path("health", health), path("health/live", live), path("health/ready", health), path("metrics", metrics)]
urlpatterns += [path("health/accepting", accepting)]
