"""A run: faults on everything, workers killed at random, until every story has ended and everything has settled."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from core.jobs import enqueue
from core.jobs.actions import requeue
from core.jobs.models import Job
from core.jobs.tick import tick
from payments.inbox.actions import wake_inbox
from payments.inbox.models import Notification
from payments.ledger.models import Payment, Refund
from tests.payments.chaos.buyers import Buyers, Purchase, drawn
from tests.payments.chaos.stage import Stage

CHECK, SWEEP = "payments.reconciliation.jobs.check_payments", "payments.reconciliation.jobs.sweep"
SWEEP_ACCOUNT = "payments.reconciliation.jobs.sweep_account"
A_DAY = 86_400
NOTIFICATION_FAULTS: list[dict[str, Any]] = [
    {"kind": "drop", "probability": 0.2},
    {"kind": "duplicate", "probability": 0.2, "copies": 4},
    {"kind": "reorder", "probability": 0.3, "seconds": 2.0},
    {"kind": "delay", "probability": 0.05, "seconds": 2.0 * A_DAY},
    {"kind": "wrong_secret", "probability": 0.02},
    {"kind": "tampered_id", "probability": 0.02},
    {"kind": "wrong_user_id", "probability": 0.01},
]
REQUEST_FAULTS: list[dict[str, Any]] = [
    {"kind": "latency", "probability": 0.05, "seconds": 0.3},
    {"kind": "status_500", "probability": 0.02},
    {"kind": "status_429", "probability": 0.02, "retry_after": 1},
    {"kind": "connection_reset", "probability": 0.02},
    {"kind": "commit_then_timeout", "probability": 0.01, "seconds": 1.0},
    {"kind": "truncated_json", "probability": 0.01},
    {"kind": "html_502", "probability": 0.01},
]
# With a pace in a hurry: what has died is noticed sooner, too.
QUICK = {
    "JOB_LEASE_SECONDS": "4",
    "JOB_HEARTBEAT_SECONDS": "1",
    "JOB_REWAKE_SECONDS": "3",
    "JOB_RETRY_SECONDS": "1",
    "JOB_BEAT_SECONDS": "2",
    "JOB_STALL_SECONDS": "20",
    "JOB_STOP_SECONDS": "2",
}
HURRY = (
    """UPDATE public.payments_payment SET next_check_at = now() WHERE next_check_at > now() AND (checks = 0 OR check_failures > 0)
        AND created_at < now() - make_interval(secs => %s)""",
    """UPDATE public.payments_payment p SET next_check_at = now() FROM
        (SELECT DISTINCT ON (order_key) order_key, what, at FROM public.chaos_note WHERE what <> 'step' ORDER BY order_key, at DESC) newest
        WHERE newest.order_key = p.order_key AND newest.what = 'claim' AND newest.at < now() - make_interval(secs => %s)
        AND p.next_check_at > now() AND p.check_failures = 0""",
    """UPDATE public.payments_notification SET claimed_until = now() WHERE state = 'new'
        AND claimed_until < now() + interval '90 seconds' - make_interval(secs => %s)""",
    """UPDATE public.payments_notification SET try_after = now() WHERE state = 'new' AND claimed_until IS NULL AND attempts > 0
        AND try_after > now() + make_interval(secs => %s)""",
)
UNEXPECTED = {"wrong_secret", "tampered_id"}  # must never be answered with success


class Stuck(Exception):
    """It did not settle in its time."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """`hurry`: seconds that stand for the two minutes of an unseen payment, and for what a killed worker holds; None: the product's own."""

    seconds: float  # for all of it
    kill_every: tuple[float, float]
    buyers: int
    most_kills: int = 1_000_000
    hurry: float | None = None


def deadlocks() -> int:
    """In this database, ever."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


@dataclass(kw_only=True)
class Run:
    stage: Stage
    pace: Pace
    rng: random.Random
    purchases: list[Purchase]
    say: Callable[[str], None] = lambda _line: None
    began: float = field(default_factory=time.monotonic)
    bought_in: float = 0.0
    took: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)  # what the emulator noted, by kind and fault
    buyers: Buyers = field(init=False)
    deadlocks_before: int = field(default_factory=deadlocks)  # of other tests in the same database
    _log_read: int = 0
    _next: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.buyers = Buyers(purchases=self.purchases, rng=self.rng)

    def perform(self) -> None:
        """Raises Stuck, with what is left, when the time is over."""
        self.stage.workers.keep()
        self._begin_faults()
        threads = self.buyers.start(self.pace.buyers)
        try:
            self._until("the buyers", lambda: not self.buyers.left)
            self.bought_in = time.monotonic() - self.began
            self._until("the money", self._all_is_seen)
            self._sweep()
            self._until("the refunds", self._refunds_are_done)
            self._let_two_days_pass()
            self._until("the inbox", self._inbox_is_empty)
            self._until("the refunds", self._refunds_are_done)
        finally:
            self.buyers.give_up()
            for thread in threads:
                thread.join(30)
        self.took = time.monotonic() - self.began
        self.stage.workers.stop()
        self._read_log()

    def _begin_faults(self) -> None:
        self.stage.emulator.settings(webhooks="auto", workers=4)
        for number, fault in enumerate([*NOTIFICATION_FAULTS, *REQUEST_FAULTS]):
            self.stage.emulator.fault(**{"times": None, "seed": self.rng.randrange(10**6) + number, **fault})

    def _until(self, what: str, over: Callable[[], bool]) -> None:
        while True:
            self._keep_going()
            if over():
                self.say(f"{time.monotonic() - self.began:5.0f} s  {what}: done")
                return
            if time.monotonic() - self.began > self.pace.seconds:
                raise Stuck(f"{what}: {self._left()}; {self.buyers.failures[:3]}; {self._open_jobs()}")
            time.sleep(0.25)

    def _keep_going(self) -> None:
        """What goes on beside the buyers: deaths, restarts, and time, which may be in a hurry."""
        self.stage.workers.keep()
        if self.stage.workers.kills < self.pace.most_kills and self._is_time("kill", self.rng.uniform(*self.pace.kill_every)):
            self.stage.workers.kill(self.rng)
        if self._is_time("log", 5):
            self._read_log()
        if self._is_time("say", 15):
            self.say(f"{time.monotonic() - self.began:5.0f} s  {self._left()}")
        if self.pace.hurry is not None:
            if self._is_time("tick", 1.5):
                tick()
            if self._is_time("hurry", 1.0):
                self._hurry(self.pace.hurry)

    def _is_time(self, what: str, every: float) -> bool:
        now = time.monotonic()
        due = self._next.setdefault(what, now + every)
        if now < due:
            return False
        self._next[what] = now + every
        return True

    def _hurry(self, seconds: float) -> None:
        """What waits for two minutes, a payment's look and a sweep, comes sooner; and what a killed worker had claimed is free sooner."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")  # These are not the looks that the trigger notes.
            for statement in HURRY:
                cursor.execute(statement, [seconds])
        with transaction.atomic():
            postponed = Job.objects.filter(kind=SWEEP_ACCOUNT, state="queued", run_after__gt=timezone.now())
            for job in postponed.select_for_update(skip_locked=True):
                requeue(job)
                job.save()
        waiting = Job.objects.filter(kind=CHECK, state__in=("queued", "running"))
        if not waiting.exists():
            enqueue(CHECK)

    def _all_is_seen(self) -> bool:
        """Reconciliation has looked once at all that is not known to be paid, and the inbox holds nothing that is due."""
        return not _unseen().exists() and not self._due_notifications().exists()

    def _refunds_are_done(self) -> bool:
        return not Refund.objects.filter(state__in=("requested", "in_process")).exists() and self._is_swept()

    def _is_swept(self) -> bool:
        return not self._unfinished(SWEEP) and not self._unfinished(SWEEP_ACCOUNT)

    def _inbox_is_empty(self) -> bool:
        return not Notification.objects.filter(state="new").exists()

    def _due_notifications(self) -> Any:
        return Notification.objects.filter(state="new", try_after__lte=timezone.now())

    def _unfinished(self, kind: str) -> bool:
        return Job.objects.filter(kind=kind, state__in=("queued", "running")).exists()

    def _sweep(self) -> None:
        """The daily one, which finds the disputes that nobody was told of."""
        job = enqueue(SWEEP, queue="long", max_attempts=10)
        self._until("the sweep", lambda: Job.objects.get(pk=job.pk).has_ended and self._is_swept())

    def _let_two_days_pass(self) -> None:
        """At Mercado Pago: what was held back for so long arrives, and what was refused is tried again until it is given up."""
        while True:
            self.stage.emulator.advance(days=2)
            if not self.stage.emulator.control("GET", "/_emu/state")["pending_deliveries"]:
                break
            self._keep_going()
            if time.monotonic() - self.began > self.pace.seconds:
                raise Stuck("the deliveries")
        Notification.objects.filter(state="new").update(try_after=timezone.now(), claimed_until=None)
        wake_inbox()

    def _read_log(self) -> None:
        page = self.stage.emulator.control("GET", f"/_emu/log?since={self._log_read}&limit=20000")
        for entry in page["entries"]:
            kind = entry["kind"]
            self.seen[kind] += 1
            if kind == "delivery":
                self.seen[f"delivery {entry['outcome']}"] += 1
            for fault in entry["faults"]:
                self.seen[f"{kind} {fault}"] += 1
                if fault in UNEXPECTED and entry["outcome"] == "delivered":
                    self.seen["forged and accepted"] += 1
        self._log_read = page["last"]

    def _open_jobs(self) -> list[str]:
        jobs = Job.objects.filter(state__in=("queued", "running")).order_by("id")[:20]
        return [f"{job.kind} {job.state} {job.attempts}/{job.max_attempts} until {job.lease_until} {job.error}" for job in jobs]

    def _left(self) -> str:
        counts = {
            "stories": self.buyers.left,
            "unpaid": Payment.objects.filter(status="pending").count(),
            "unseen": _unseen().count(),
            "due": Payment.objects.filter(next_check_at__lte=timezone.now()).count(),
            "inbox": Notification.objects.filter(state="new").count(),
            "refunds": Refund.objects.filter(state__in=("requested", "in_process")).count(),
            "kills": self.stage.workers.kills,
        }
        return ", ".join(f"{name} {count}" for name, count in counts.items())


def _unseen() -> Any:
    return Payment.objects.filter(checks=0, next_check_at__isnull=False, status__in=("pending", "failed", "review"))


def new_run(stage: Stage, pace: Pace, *, payments: int, rng: random.Random, say: Callable[[str], None] = lambda _line: None) -> Run:
    return Run(stage=stage, pace=pace, rng=rng, purchases=drawn(stage.tills, payments=payments, rng=rng), say=say)
