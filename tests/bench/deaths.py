"""`python -m tests.bench deaths`: kill -9 of each process in turn while people order and pay; nothing that was accepted may be lost."""

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.bench.copies import Copy, Customer, customer_of, running_copy, until
from tests.bench.load import machine

SLUGS = ("la-espiga", "altamar", "araucaria")
CALM_SECONDS = 8.0
LONGEST_SECONDS = 240.0


def main(_: list[str] | None = None) -> None:
    with tempfile.TemporaryDirectory(prefix="comanda-deaths-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with running_copy(folder) as copy:
            print(f"\nkill -9 of each process in turn: {machine()}\n")
            customers = [customer_of(copy, slug) for slug in SLUGS]
            stop = threading.Event()
            threads = [threading.Thread(target=_keep_ordering, args=(customer, stop)) for customer in customers]
            for thread in threads:
                thread.start()
            try:
                time.sleep(CALM_SECONDS)
                for what in _victims(copy):
                    print(f"  {what:<44} {_kill(copy, customers, what)}", flush=True)
                    time.sleep(CALM_SECONDS)
            finally:  # Else the customers would go on ordering for ever.
                stop.set()
                for thread in threads:
                    thread.join()
            holds = _tally(copy, customers)
    if not holds:
        raise SystemExit("It does not hold.")
    print("Everything holds.")


def _keep_ordering(customer: Customer, stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        customer.order(pay=number % 3 == 0)
        time.sleep(0.1)


def _victims(copy: Copy) -> list[str]:
    found = list(copy.named())
    return [what for name in found for what in ((name, f"{name}: a child") if name in {"web", "postgres"} else (name,))]


def _kill(copy: Copy, customers: list[Customer], what: str) -> str:
    """Kill it, and say how long it was until it was there again and until the next order was answered."""
    name, _, child = what.partition(": ")
    victim = copy.named()[name][1 if child else 0]
    born = victim.create_time()
    before = sum(len(customer.answered) for customer in customers)
    victim.kill()
    ordered = until(lambda: sum(len(customer.answered) for customer in customers) > before, seconds=LONGEST_SECONDS, every=0.01)
    back = until(lambda: _is_back(copy, name, victim, born, child=bool(child)), seconds=LONGEST_SECONDS)
    return f"the next order after {ordered:6.2f} s, the process again after {ordered + back:6.2f} s"


def _is_back(copy: Copy, name: str, victim: psutil.Process, born: float, *, child: bool) -> bool:
    if child:
        return True
    found = copy.named().get(name, [])
    return bool(found) and (found[0].pid, found[0].create_time()) != (victim.pid, born)


def _tally(copy: Copy, customers: list[Customer]) -> bool:
    keys = [(customer, key) for customer in customers for key in customer.answered]
    paid = [(customer, key) for customer in customers for key in customer.paid]
    ids = {(customer.host, customer.answered[key]["id"]) for customer, key in keys}

    def seen_as_paid() -> int:
        return sum((customer.standing(key) or {}).get("payment_status") == "paid" for customer, key in paid)

    took = _waited(lambda: seen_as_paid() == len(paid))
    there = sum(customer.standing(key) is not None for customer, key in keys)
    books = copy.manage("check_money")
    refused: dict[int, int] = {}
    for customer in customers:
        for status, count in customer.refused.items():
            refused[status] = refused.get(status, 0) + count
    rows = [
        ("orders answered, and there in the end", len(keys), there),
        ("each under an id of its own", len(keys), len(ids)),
        ("paid at Mercado Pago, and seen as paid", len(paid), seen_as_paid()),
        ("check_money", 0, books.returncode),
    ]
    print(f"\nsent again {sum(customer.again for customer in customers)} times; answers that were no order: {refused or 'none'}")
    print(f"the last payment was seen {took:.0f} s after the end\n")
    for what, expected, found in rows:
        print(f"  {'holds' if expected == found else 'FAILS':<6} {what:<44} {expected:>8} {found:>8}")
    return all(expected == found for _, expected, found in rows)


def _waited(come: Callable[[], bool]) -> float:
    """As until; the whole time when it does not come."""
    try:
        return until(come, seconds=LONGEST_SECONDS, every=1)
    except TimeoutError:
        return LONGEST_SECONDS
