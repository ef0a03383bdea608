"""Deliveries to a real web process, and workers of the inbox in threads."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
from django.db import connections

from payments.inbox.actions import Worked, work_off
from payments.inbox.models import Notification
from payments.ledger.models import LedgerEntry
from shop.orders.models import OrderEvent
from tenants.scope import tenant_scope
from tests.payments.application import environment_of
from tests.payments.till import Till
from tests.processes import wait_for
from tests.servers import running_web


def work_at_once(workers: int) -> list[Worked]:
    gate = threading.Barrier(workers)

    def work(_number: int) -> Worked:
        try:
            gate.wait(20)
            return work_off()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, range(workers)))


def test_five_deliveries_at_once_are_one_payment(committed_till: Till, tmp_path: Path, settings: Any) -> None:
    till = committed_till
    before = till.stock(till.place.cake)
    order = till.order(product=till.place.cake, waits=True)
    with running_web(tmp_path, workers=2, threads=3, port=0, **environment_of(till.emulator)) as port:
        settings.PUBLIC_PORT = port  # where Mercado Pago is told to notify
        payment = till.checkout(order)
        till.emulator.fault("duplicate", 1, copies=4, match={"topic": "payment"})
        mp_id = till.pay(payment)
        till.emulator.settings(workers=6)
        assert till.emulator.flush() == 6  # created five times, updated once
        sent = till.emulator.entries("delivery", resource=mp_id)
        assert [(entry["status"], entry["outcome"]) for entry in sent] == [(200, "delivered")] * 6
        again = [requests.post(entry["url"], json={}, timeout=10).status_code for entry in sent[:1]]
        assert again == [401]
    assert Notification.objects.filter(cafeteria_uuid=till.uuid, state="new").count() == 6
    worked = work_at_once(3)
    assert (sum(found.done for found in worked), sum(found.later + found.failed for found in worked)) == (6, 0)
    assert till.now(order).payment_status == "paid"
    assert till.entries(order) == [("payment", order.total)]
    assert (before or 0) - (till.stock(till.place.cake) or 0) == 1
    with tenant_scope(till.place.ref):
        assert list(OrderEvent.objects.filter(order_id=order.pk, kind="paid").values_list("kind", flat=True)) == ["paid"]


def test_workers_at_once_each_take_their_own(committed_till: Till) -> None:
    till = committed_till
    orders = [till.order() for _ in range(8)]
    mp_ids = [till.pay(till.checkout(order)) for order in orders]
    for mp_id in mp_ids * 2:
        assert till.notify(mp_id).status_code == 200
    worked = work_at_once(4)
    wait_for(lambda: not Notification.objects.filter(cafeteria_uuid=till.uuid, state="new").exists())
    assert sum(found.done for found in worked) == 16
    assert set(Notification.objects.filter(cafeteria_uuid=till.uuid).values_list("state", "attempts")) == {("done", 1)}
    assert LedgerEntry.objects.filter(cafeteria_uuid=till.uuid).count() == 8
    assert {till.now(order).payment_status for order in orders} == {"paid"}
