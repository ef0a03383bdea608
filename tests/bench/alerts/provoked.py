"""What is made to happen, and Prometheus beside it."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from functools import partial
from io import StringIO
from pathlib import Path
from uuid import uuid4

from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from config.dev.postgres import running_server, start_server
from core.jobs import enqueue
from ops.backups.models import Backup, BackupTurn
from ops.postgres.servers import kill
from payments.ledger.models import Payment
from tests.bench.load import free_port, machine, wait_for_port
from tests.ops.certificates.test_certificates import certificate, serving
from tests.processes import REPOSITORY, manage
from tests.servers import running_web
from tests.world import World, build_world

RULES = REPOSITORY / "deploy" / "prometheus" / "rules" / "comanda.yml"
PATIENCE = 90  # seconds for one alert
SMALL = 16 * 1024 * 1024


def run(folder: Path, tls: int) -> bool:
    call_command("migrate_fleet", verbosity=0, stdout=StringIO())
    world = build_world("luna", "sol")
    certificate(folder, days=2).rename(folder / "certificate.pem")
    print(f"\nAlerts: {machine()}\n")
    with ExitStack() as stack:
        stack.enter_context(small_disk(folder / "small-disk"))
        stack.enter_context(serving(folder / "certificate.pem", port=tls))
        (folder / "measurements").mkdir()
        web = stack.enter_context(running_web(folder, PROMETHEUS_MULTIPROC_DIR=str(folder / "measurements")))
        stack.enter_context(manage("worker", "long", data_folder=folder))
        short = stack.enter_context(manage("worker", "short", data_folder=folder))
        stack.enter_context(manage("watchdog", "--pause", "1", data_folder=folder))
        asked = stack.enter_context(prometheus(folder, web))
        return provoke_all(folder, world, web, short, asked)


def provoke_all(folder: Path, world: World, web: int, short: subprocess.Popen[bytes], asked: int) -> bool:
    steps: tuple[tuple[str, str, Callable[[], None]], ...] = (
        ("certificate near its end", "CertificateAtItsEnd", _look_at_certificates),
        ("backup damaged on the disk", "BackupProofFailed", lambda: _damage_a_backup(world)),
        ("backup too old", "BackupTooOld", lambda: _age_backups(world)),
        ("disk filled", "DiskNearlyFull", lambda: _fill(folder / "small-disk")),
        ("worker stopped", "WorkerStalled", lambda: _stop_group(short)),
        ("payments not looked after", "ReconciliationFailing", lambda: _leave_a_payment(world)),
        ("database killed", "DatabaseDown", lambda: _kill_database(folder)),
        ("and people still ask", "ErrorRate", lambda: None),
    )
    well = True
    for said, alert, provoke in steps:
        before = alert in firing(asked)
        began = time.monotonic()
        provoke()
        took = waited(asked, alert, began, partial(ask_for_pages, web, world) if alert == "ErrorRate" else None)
        well = well and took is not None and not before
        print(f"  {said:<28} {alert:<24} {'fired before' if before else f'{took:5.1f} s' if took is not None else 'NEVER'}")
    return well and _comes_back(folder, asked)


def _comes_back(folder: Path, asked: int) -> bool:
    began = time.monotonic()
    start_server(folder, settings={})
    while "DatabaseDown" in firing(asked) and time.monotonic() < began + PATIENCE:
        time.sleep(0.5)
    ended = "DatabaseDown" not in firing(asked)
    said = f"over after {time.monotonic() - began:.1f} s" if ended else "STILL FIRING"
    print(f"  {'database started again':<28} {'DatabaseDown':<24} {said}")
    return ended


def waited(asked: int, alert: str, began: float, meanwhile: Callable[[], None] | None) -> float | None:
    while time.monotonic() < began + PATIENCE:
        if alert in firing(asked):
            return time.monotonic() - began
        if meanwhile is not None:
            meanwhile()
        time.sleep(0.3)
    return None


def firing(asked: int) -> set[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{asked}/api/v1/alerts", timeout=5) as answer:
        alerts = json.load(answer)["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


def ask_for_pages(web: int, world: World) -> None:
    for _ in range(5):
        request = urllib.request.Request(f"http://127.0.0.1:{web}/", headers={"Host": world.a.host})
        with suppress(urllib.error.HTTPError, OSError):
            urllib.request.urlopen(request, timeout=5).close()


@contextmanager
def prometheus(folder: Path, web: int) -> Iterator[int]:
    """The rules in seconds: what they wait for and look back over, nothing else."""
    rules = re.sub(r"for: \S+", "for: 1s", RULES.read_text())
    rules = re.sub(r"\[(5m|15m|6h)\]", "[15s]", rules)
    (folder / "rules.yml").write_text(rules)
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s", "external_labels": {"runbooks": "docs/runbooks"}},
        "rule_files": [str(folder / "rules.yml")],
        "scrape_configs": [{"job_name": "comanda", "static_configs": [{"targets": [f"127.0.0.1:{web}"]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(settings))  # JSON is YAML.
    port = free_port()
    command = (
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    process = subprocess.Popen(command)
    try:
        wait_for_port(port)
        yield port
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of 16 MiB for the backups."""
    folder.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(folder)), check=True)
    try:
        yield
    finally:
        subprocess.run(("umount", "--lazy", str(folder)), check=False)


def _look_at_certificates() -> None:
    enqueue("ops.certificates.jobs.check", queue="long")


def _damage_a_backup(world: World) -> None:
    call_command("backup", world.a.ref.slug, verbosity=0, stdout=StringIO())
    backup = Backup.objects.order_by("-taken_at").first()
    assert backup is not None
    file = Path(os.environ["BACKUP_FOLDER"]) / backup.file
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    with suppress(CommandError, SystemExit):
        call_command("prove_backups", world.a.ref.slug, verbosity=0, stdout=StringIO())


def _age_backups(world: World) -> None:
    """Nobody can wait for hours: the rows say that hours have passed."""
    past = timezone.now() - timedelta(hours=4)
    BackupTurn.objects.update(newest_at=past, due_at=timezone.now() + timedelta(hours=1))
    Backup.objects.update(taken_at=past)


def _fill(disk: Path) -> None:
    (disk / "filler").write_bytes(b"x" * int(SMALL * 0.95))


def _stop_group(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGSTOP)


def _leave_a_payment(world: World) -> None:
    """One whose check has been due for eleven minutes: the worker that would look is stopped."""
    now = timezone.now()
    Payment.objects.create(
        cafeteria_uuid=world.a.ref.uuid,
        order_key="x" * 32,
        order_id=1,
        order_number=1,
        business_date=now.date(),
        method="mercadopago",
        amount="10.00",
        currency="ARS",
        created_at=now,
        updated_at=now,
        reference=str(uuid4()),
        next_check_at=now - timedelta(minutes=11),
    )


def _kill_database(folder: Path) -> None:
    server = running_server(folder)
    assert server is not None
    connections.close_all()
    kill(server)
