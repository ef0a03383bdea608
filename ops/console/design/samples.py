"""What the console's parts are shown with in development: nothing of it is in the database."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.http import QueryDict

from core.alerts.models import Alert
from core.jobs.models import Job, JobState
from core.jobs.queries import QueueStats
from ops.backups.models import Backup
from ops.console.restores.forms import RestoreForm
from ops.console.restores.queries import Diff, Movement, RestoreLine, RowLine, TableLine
from ops.console.targets import Moments, Target
from ops.console.words import job_words, table_words, trouble_of
from ops.console.work.queries import About, AlertLine, JobLine
from ops.restores.models import Restore
from payments.ledger.models import LedgerEntry
from tenants.models import Cafeteria

NOW = datetime(2026, 11, 24, 17, 5, 9, tzinfo=UTC)
ID = UUID("01a20f48-d527-73ab-b7b6-0356098e2d18")
SHOP = Cafeteria(pk=1, uuid=ID, name="La Espiga", slug="la-espiga", timezone="America/Argentina/Buenos_Aires", currency="ARS")
ABOUT = About(slug=SHOP.slug, cafeteria_id=1, zone=SHOP.timezone)
FULL = "OSError: [Errno 28] No space left on device: '/var/lib/comanda/backups'"
REFUSED = "The bundle cannot be used: the rows of shop_order are not those of its manifest."
LOCATIONS = [("hourly", NOW, "", None), ("weekly", None, REFUSED, NOW), ("safety", None, "", NOW)]  # kind, proven, error, off-site


def console_samples() -> dict[str, Any]:
    form = RestoreForm(QueryDict("parts=database&typed=la-espina"), expected=SHOP.slug)
    form.fields["typed"].widget.attrs.pop("autofocus")
    backups = [_backup(*each, number=number) for number, each in enumerate(LOCATIONS, start=1)]
    return {
        "shop": SHOP,
        "key": "0" * 32,
        "weights": [("good", "check"), ("warn", "warning"), ("bad", "warning")],
        "statuses": Cafeteria.Status.values,
        "backups": backups,
        "proofs": {str(backups[2].pk): ID},
        "jobs": [_job_line(state) for state in JobState.values],
        "waiting": Job(state=JobState.QUEUED),
        "running": Job(state=JobState.RUNNING, progress=0.42, message="shop_order"),
        "stopping": Job(state=JobState.RUNNING, progress=0.8, message="exchange", cancel_requested=True),
        "restores": [_restore(phase) for phase in ("waiting", "done", "failed", "undone")],
        "alerts": [_alert("backups.proof_failed", "critical", f"The backup of sol of 2026-11-24 17:05 UTC failed its proof: {REFUSED}"),
                   _alert("payments.dispute", "warning", "")],
        "queues": _queues(),
        "diff": _diff(),
        "report": {"paid": "5000.00", "refunded": "1200.00", "settled": 3, "problems": [], "key_id": "age1qyqszqgpqyqszqgp",
                   "recreated": [{"number": 118, "day": date(2026, 11, 24), "total": "3500.00", "paid": "3500.00"}]},
        "target": Target(backup=backups[0]),
        "moment_target": Target(at=NOW),
        "moments": Moments(available=True, earliest=NOW - timedelta(days=7), latest=NOW),
        "page": Paginator(range(75), 25).get_page(2),
        "form": form,
        "undo_days": 7,
    }  # fmt: skip


def _backup(kind: str, proven_at: datetime | None, error: str, offsite_at: datetime | None, *, number: int) -> Backup:
    return Backup(
        pk=UUID(int=number), kind=kind, taken_at=NOW, size=330_400, rows=16_709, proven_at=proven_at, error=error, offsite_at=offsite_at,
        file="" if kind == "safety" else "a",
    )  # fmt: skip


def _job_line(state: str) -> JobLine:
    kind = "ops.backups.jobs.backup"
    job = Job(pk=ID, kind=kind, state=state, created_at=NOW, attempts=2, error=FULL if state in {"failed", "queued"} else "")
    return JobLine(job=job, words=job_words(kind), about=ABOUT, is_late=state == JobState.QUEUED)


def _restore(phase: str) -> RestoreLine:
    away = 0.04 if phase in {"done", "undone"} else None
    restore = Restore(pk=ID, phase=phase, moment=NOW, started_at=NOW, requested_by="ops@comanda.example", away_seconds=away)
    return RestoreLine(restore=restore, about=ABOUT, moment=NOW, is_pictures=phase == "waiting")


def _alert(kind: str, severity: str, detail: str) -> AlertLine:
    alert = Alert(pk=1, kind=kind, severity=severity, detail=detail, count=3, first_at=NOW, last_at=NOW)
    return AlertLine(alert=alert, trouble=trouble_of(kind), runbook="docs/runbooks/backups-and-proofs.md", about=ABOUT)


def _queues() -> list[QueueStats]:
    none: dict[str, Any] = {"oldest_expired_age": 0, "unanswered_age": None, "restarts": 0}
    return [
        QueueStats(queue="short", queued=0, running=1, oldest_due_age=0, beat_age=7, stalled_since=None, **none),
        QueueStats(queue="long", queued=12, running=0, oldest_due_age=840, beat_age=900, stalled_since=NOW, **{**none, "restarts": 2}),
    ]


def _diff() -> Diff:
    counts = [("shop_order", 218, 214, 4, 0, 1), ("shop_product", 94, 95, 0, 1, 1)]
    names = ("now", "then", "lost", "back", "changed")
    entry = LedgerEntry(kind="payment", amount=Decimal(3500), currency="ARS", at=NOW)
    return Diff(
        tables=[TableLine(words=table_words(table), **dict(zip(names, numbers, strict=True))) for table, *numbers in counts],
        orders=[
            RowLine(
                change="lost", name="Pedido 118", facts=["24 nov 2026", "$ 3.500", "listo"], differences=[], note="Sus $ 3.500 quedan."
            ),
            RowLine(change="changed", name="Pedido 97", facts=[], differences=[("Estado", "listo", "nuevo")]),
        ],
        more_orders=2,
        products=[RowLine(change="back", name="Torta de naranja", facts=["$ 4.800"], differences=[])],
        more_products=0,
        movements=[Movement(entry=entry, words="Pago", method="Mercado Pago", order="Pedido 118")],
        more_movements=0,
    )
