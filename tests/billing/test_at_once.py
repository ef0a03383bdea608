"""Many at once, and a process that dies between Mercado Pago's answer and our row. Committed."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from billing import actions
from billing.looking import look
from billing.models import Invoice, Preapproval, Subscription
from billing.plans import plan_by_code
from core.alerts.models import Alert
from core.audit.models import AuditEntry
from core.jobs.models import Job
from payments.gateway.subscriptions import Subscriptions
from tenants.models import Cafeteria
from tests.billing.desk import BACK, PAYER, Desk, open_desk
from tests.emulator.process import REPOSITORY, Emulator
from tests.payments.application import environment_of
from tests.processes import database_url
from tests.world import World

AT_ONCE = 8


@pytest.fixture
def busy(committed_world: World, emulator: Emulator, settings: Any) -> Iterator[Desk]:
    settings.BILLING_ENFORCED = True
    desk = open_desk(committed_world, emulator)
    yield desk
    uuids = [committed_world.a.ref.uuid, committed_world.b.ref.uuid]
    for model in (Subscription, AuditEntry, Alert):
        model.objects.filter(cafeteria_uuid__in=uuids).delete()
    Job.objects.filter(kind__startswith="billing.").delete()


def all_at_once(act: Callable[[], Any]) -> list[Any]:
    barrier = threading.Barrier(AT_ONCE)

    def run(_number: int) -> Any:
        barrier.wait(10)
        try:
            return act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(run, range(AT_ONCE)))


def subscribe(desk: Desk) -> Preapproval:
    plan, cafeteria = plan_by_code("house"), Cafeteria.objects.get(pk=desk.place.ref.id)
    return actions.subscribe(cafeteria=cafeteria, plan=plan, payer_email=PAYER, back_url=BACK, person=desk.owner)


def test_many_taps_at_once_make_one_preapproval(busy: Desk) -> None:
    rows = all_at_once(lambda: subscribe(busy))
    assert len({row.init_point for row in rows}) == 1
    assert Preapproval.objects.filter(subscription=busy.subscription).count() == 1
    assert [found.mp_id for found in Subscriptions().preapprovals_of(rows[0].reference)] == [rows[0].mp_id]


def test_a_first_look_at_the_page_by_many_begins_one_trial(busy: Desk) -> None:
    Subscription.objects.filter(cafeteria_uuid=busy.uuid).delete()
    cafeteria = busy.cafeteria
    found = all_at_once(lambda: actions.subscription_of_cafeteria(cafeteria).pk)
    assert len(set(found)) == 1


def test_many_looks_at_once_suspend_and_resume_once(busy: Desk) -> None:
    row = busy.subscribed()
    busy.end_trial()
    busy.charge(row, "rejected")
    busy.pass_time(days=10)
    busy.hour()
    busy.end_grace()
    with busy.at():
        all_at_once(lambda: look(busy.subscription))
    assert (busy.status, busy.site()) == ("suspended", 503)
    busy.charge(row)
    with busy.at():
        all_at_once(lambda: look(busy.subscription))
    assert (busy.status, busy.site()) == ("active", 200)
    acts = busy.audited()
    assert (acts.count("cafeteria.suspended"), acts.count("cafeteria.resumed"), acts.count("subscription.paid")) == (1, 1, 1)
    assert Invoice.objects.filter(preapproval=row).count() == 2


DIES = """
import os, signal
from payments.gateway import subscriptions
ask = subscriptions.Subscriptions.create_preapproval
def answered_and_dead(self, request, *, key):
    ask(self, request, key=key)
    os.kill(os.getpid(), signal.SIGKILL)
subscriptions.Subscriptions.create_preapproval = answered_and_dead
"""
SUBSCRIBES = f"""
import django; django.setup()
import sys, uuid
from core.identity.callers import Caller
from billing import actions
from billing.plans import plan_by_code
from tenants.models import Cafeteria
person = Caller(kind="user", id=1, email="o@owners.test", full_name="O", role="owner", session_id=uuid.uuid4(), token_version=1)
cafeteria = Cafeteria.objects.get(pk=int(sys.argv[1]))
row = actions.subscribe(cafeteria=cafeteria, plan=plan_by_code("house"), payer_email={PAYER!r}, back_url={BACK!r}, person=person)
print(row.mp_id)
"""


def in_a_process(desk: Desk, program: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **environment_of(desk.emulator), "DATABASE_URL": database_url()}
    command = (sys.executable, "-c", program, str(desk.place.ref.id))
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_killed_between_the_answer_and_the_row_the_next_one_gets_the_same(busy: Desk) -> None:
    killed = in_a_process(busy, SUBSCRIBES.replace("from billing import actions", f"{DIES}\nfrom billing import actions"))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    row = Preapproval.objects.get(subscription=busy.subscription)
    assert (row.status, row.mp_id) == ("new", None)
    again = in_a_process(busy, SUBSCRIBES)
    assert again.returncode == 0, again.stderr
    row.refresh_from_db()
    assert (row.status, row.mp_id) == ("pending", again.stdout.splitlines()[-1])
    assert [found.mp_id for found in Subscriptions().preapprovals_of(row.reference)] == [row.mp_id]
