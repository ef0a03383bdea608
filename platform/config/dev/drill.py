"""`make drill`: plays "the database is lost" from beginning to end on a data folder of its own, and prints how long each part takes.

A whole copy of Comanda runs with its demo, guests order without a pause, then its PostgreSQL is killed and its files are erased. What the
archive has kept is recovered, the copy starts again, and each order that was answered is asked for.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests
from rich.console import Console
from rich.table import Table

from config.dev.postgres import running_server

MANAGE = Path(__file__).resolve().parents[3] / "manage.py"
SLUG = "la-espiga"
GOAL_LOST_SECONDS = 60.0
GOAL_RECOVERY_SECONDS = 2 * 3600.0
READY_SECONDS = 300.0
ORDER_EVERY = 0.2  # seconds
IN_ALL = "In all, from the first command to the first new order"
# All that the drill takes over from whoever runs it: any setting could lead it to a database, an archive or a storage that is not its own.
TAKEN_OVER = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "TERM", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "PG_PROGRAMS")


class DrillFailed(Exception):
    """A part of the drill did not do what it has to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """An order that a guest was told is taken."""

    id: int
    secret: str
    at: float  # unix seconds


@dataclass(kw_only=True)
class Drill:
    folder: Path
    port: int
    log: Path
    times: list[tuple[str, float]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in TAKEN_OVER if name in os.environ}
        return kept | {"COMANDA_DATA": str(self.folder), "PORT": str(self.port), "COMANDA_ENV": "development", "COMANDA_DEMO": "1"}

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        sys.stderr.write(f"{what} ...\n")
        yield
        self.times.append((what, time.monotonic() - began))

    def manage(self, *arguments: str) -> str:
        """What the command prints. Raises DrillFailed with what it says when it fails."""
        done = subprocess.run(
            (sys.executable, str(MANAGE), *arguments), env=self.environment, capture_output=True, text=True, check=False, timeout=3600
        )
        if done.returncode:
            raise DrillFailed(f"manage.py {arguments[0]} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
        return done.stdout

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The whole of Comanda, serving. Ended in order, if it is still there."""
        with self.log.open("ab") as output:
            command = (sys.executable, "-m", "config.dev")
            process = subprocess.Popen(command, env=self.environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            self.wait(lambda: self.call("localhost", "/health")[0] == 200, what="Comanda to serve", process=process)
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(60)

    def wait(
        self, come: Callable[[], bool], *, what: str, process: subprocess.Popen[bytes] | None = None, seconds: float = READY_SECONDS
    ) -> None:
        deadline = time.monotonic() + seconds
        while not come():
            if (process is not None and process.poll() is not None) or time.monotonic() > deadline:
                raise DrillFailed(f"Waited in vain for {what}. The copy's lines are in {self.log}")
            time.sleep(0.2)

    def call(self, host: str, path: str, body: Any = None) -> tuple[int, Any]:
        """(status, what it answers), (0, None) when nobody does."""
        address, headers = f"http://127.0.0.1:{self.port}{path}", {"Host": f"{host}:{self.port}"}
        try:
            answer = requests.request("GET" if body is None else "POST", address, json=body, headers=headers, timeout=10)
            return answer.status_code, answer.json()
        except requests.RequestException:
            return 0, None

    def order(self, product: int) -> Answered | None:
        body = {"items": [{"product_id": product, "quantity": 1}], "guest": {"name": "Simulacro"}}
        status, answer = self.call(f"{SLUG}.localhost", "/api/v1/orders", body)
        return Answered(id=answer["id"], secret=answer["secret"], at=time.time()) if status == 201 else None

    def is_there(self, order: Answered) -> bool:
        return self.call(f"{SLUG}.localhost", f"/api/v1/orders/{order.id}?secret={order.secret}")[0] == 200

    def product(self) -> int:
        """One that is not counted, has no options and can be had."""
        _, products = self.call(f"{SLUG}.localhost", "/api/v1/products")
        return next(int(found["id"]) for found in products if found["available"] and found["stock"] is None and not found["options"])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="make drill", description="Loses a database that is the drill's own, and recovers it.")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long guests order before the loss")
    seconds = parser.parse_args(arguments).seconds
    folder = Path(tempfile.mkdtemp(prefix="comanda-drill-"))
    folder.chmod(0o755)
    drill = Drill(folder=folder, port=_free_port(), log=folder / "drill.log")
    try:
        lost, answered = play(drill, seconds=seconds)
    except DrillFailed as failed:
        sys.stderr.write(f"The drill has failed: {failed}\nIts folder is kept: {folder}\n")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return tell(drill, lost, answered)


def play(drill: Drill, *, seconds: float) -> tuple[float, int]:
    """(seconds of answered orders that are lost, how many were answered). Raises DrillFailed."""
    with ExitStack() as stack:
        with drill.timed("A copy of Comanda starts with its demo and takes a first base"):
            copy = stack.enter_context(drill.running())
            drill.wait(lambda: bool(list(drill.folder.glob("archive/bases/*/card.json"))), what="a first base", process=copy)
        answered = order_for(drill, seconds)
        with drill.timed("PostgreSQL is killed, its files are erased, the copy has ended"):
            lose_database(drill, copy)
    began = time.monotonic()
    with drill.timed("recover_cluster: base and log from the archive"):
        recovered = drill.manage("recover_cluster", "--into", str(drill.folder / "postgres"))
        sys.stderr.write(recovered)
    with drill.timed("settle_recovery: ids, sign-ins, payments"):
        drill.manage("settle_recovery", "--moment", recovered.split("--moment ")[1].strip())
    with ExitStack() as stack:
        with drill.timed("Comanda starts and takes an order"):
            stack.enter_context(drill.running())
            product = drill.product()
            drill.wait(lambda: drill.order(product) is not None, what="an order to be taken")
        drill.times.append((IN_ALL, time.monotonic() - began))
        lost = seconds_lost(drill, answered)
        with drill.timed("check_money: orders and ledger agree"):
            drill.manage("check_money")
    return lost, len(answered)


def order_for(drill: Drill, seconds: float) -> list[Answered]:
    """Orders of guests, one after the other."""
    product, answered, end = drill.product(), list[Answered](), time.monotonic() + seconds
    while time.monotonic() < end:
        if (order := drill.order(product)) is not None:
            answered.append(order)
        time.sleep(ORDER_EVERY)
    if not answered:
        raise DrillFailed("No order was taken before the loss.")
    return answered


def lose_database(drill: Drill, copy: subprocess.Popen[bytes]) -> None:
    server = running_server(drill.folder)
    if server is None:
        raise DrillFailed("There is no PostgreSQL to lose.")
    copy.kill()  # It would start the server again. Its guardian ends the rest.
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children()]
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=30)
    copy.wait(30)
    drill.wait(lambda: _is_free(drill.port), what="the copy to end")
    shutil.rmtree(drill.folder / "postgres")


def seconds_lost(drill: Drill, answered: Sequence[Answered]) -> float:
    """From the last order that is still there to the last that was answered. Raises DrillFailed for a hole before it."""
    there = [drill.is_there(order) for order in answered]
    if not any(there):
        raise DrillFailed("Not one of the orders is there.")
    newest = max(number for number, found in enumerate(there) if found)
    if not all(there[: newest + 1]):
        raise DrillFailed(f"{there[: newest + 1].count(False)} orders are missing before one that is there.")
    return answered[-1].at - answered[newest].at


def tell(drill: Drill, lost: float, answered: int) -> int:
    table = Table("what", "seconds")
    for what, took in drill.times:
        table.add_row(what, f"{took:.1f}")
    table.add_row(f"Lost of {answered} answered orders, in time", f"{lost:.1f}")
    Console(width=110).print(table)
    whole = dict(drill.times)[IN_ALL]
    return 0 if lost <= GOAL_LOST_SECONDS and whole <= GOAL_RECOVERY_SECONDS else 1


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
