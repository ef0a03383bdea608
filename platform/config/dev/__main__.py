"""`make run`: the whole of Comanda on this machine, in one terminal."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from config import env
from config.dev import locks, mercadopago
from config.dev.environment import REPOSITORY, data_folder_from_environment, development_environment, port_from_environment
from config.dev.guardian import Guardian, guardian, stop_group
from config.dev.interruption import Interruption, interruption
from config.dev.postgres import kept_running
from config.dev.static import remember_static_files, static_files_changed
from config.dev.supervisor import STOP_SECONDS, Program, say, supervise
from config.web import web_command

ADDRESS = "127.0.0.1"
MANAGE = (sys.executable, str(REPOSITORY / "manage.py"))
READY_SECONDS = 90.0
CLEANING_SECONDS = 20.0


class StepFailed(Exception):
    """A command of the start has failed and has said why itself."""


def main() -> int:
    with interruption() as watch:
        try:
            return run(watch)
        except ImproperlyConfigured as error:
            say(f"Comanda cannot start: {error}", output=sys.stderr)
        except StepFailed as error:
            say(f"Comanda cannot start: {error}", output=sys.stderr)
    return 1


def run(watch: Interruption) -> int:
    port = port_from_environment()
    data_folder = data_folder_from_environment()
    with only_copy(data_folder) as lock, guardian(data_folder, lock=lock) as guard:
        check_port_is_free(port)
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
        say(f"Comanda starts. Its data is in {data_folder}")
        stand_in = mercadopago.chosen_stand_in(data_folder, port=port) if mercadopago.is_wanted() else None
        keeping = nullcontext() if env.text("DATABASE_URL") else kept_running(data_folder)
        with development_environment(("run",)), keeping:
            prepare(data_folder, guard=guard, watch=watch)
            running = supervise(
                programs(port, data_folder, stand_in),
                guardian=guard,
                interruption=watch,
                ready=lambda: answers(port),
                started=lambda: say(welcome(data_folder, stand_in)),
                ready_seconds=READY_SECONDS,
            )
    if running:
        say("Comanda has stopped. Its data is kept.")
        return 0
    say(f"Comanda cannot start: the web process did not answer within {READY_SECONDS:.0f} s. Its lines above say why.", output=sys.stderr)
    return 1


@contextmanager
def only_copy(data_folder: Path) -> Iterator[int]:
    """Hold the data folder for this copy; after a killed one, wait until its guardian has cleaned up."""
    with locks.opened(data_folder / "run.lock") as lock:
        if not locks.try_exclusive(lock):
            with suppress(ValueError, ProcessLookupError):
                os.kill(int(os.pread(lock, 20, 0)), 0)
                raise ImproperlyConfigured(
                    f"another copy runs on the data folder {data_folder}. Stop it, or set COMANDA_DATA to another folder."
                )
            if not locks.wait_until_alone(lock, seconds=CLEANING_SECONDS):
                raise ImproperlyConfigured(f"a killed copy still holds {data_folder}. Try again, or set COMANDA_DATA to another folder.")
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield lock


def check_port_is_free(port: int) -> None:
    """Granian shares a port with whoever else shares it: two copies would answer in turns. So look, without sharing."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            reason = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise ImproperlyConfigured(
                f"port {port} {reason}. Choose another one, for example: PORT={port % 65000 + 10} make run"
            ) from error


def prepare(data_folder: Path, *, guard: Guardian, watch: Interruption) -> None:
    """Bring the database and the static files to this code's state, and load the demo once."""
    step("migrate_fleet", guard=guard, watch=watch)
    if static_files_changed(data_folder):
        # Swagger's page is ours, Redoc's is not: its one large file would take a third of the time.
        step("collectstatic", "--no-input", "--clear", "--verbosity=0", "--ignore=redoc*", guard=guard, watch=watch)
        if not watch.asked:
            remember_static_files(data_folder)
    if env.boolean("COMANDA_DEMO", default=True):
        step("load_demo", guard=guard, watch=watch)


def step(*command: str, guard: Guardian, watch: Interruption) -> None:
    """Run one command of manage.py to its end, unless we are asked to stop. Raises StepFailed."""
    if watch.asked:
        return
    with subprocess.Popen((*MANAGE, *command), stdin=subprocess.DEVNULL, start_new_session=True) as process:
        guard.watch(process.pid)
        wait_for(process, watch=watch)
        guard.forget(process.pid)
    if process.returncode and not watch.asked:
        raise StepFailed(f"`manage.py {command[0]}` failed with status {process.returncode}.")


def wait_for(process: subprocess.Popen[bytes], *, watch: Interruption) -> None:
    while process.poll() is None:
        if watch.asked:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            stop_group(process.pid, signal.SIGKILL)
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)


def empty_folder(folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def programs(port: int, data_folder: Path, stand_in: mercadopago.StandIn | None) -> list[Program]:
    """The web's processes add up what /metrics tells in a folder that is empty at each start."""
    measurements = empty_folder(data_folder / "run" / "measurements")
    found = [
        Program(name="web", command=web_command(port), environment={"PROMETHEUS_MULTIPROC_DIR": str(measurements)}),
        *(
            Program(name=queue, command=(*MANAGE, "worker", queue), environment={"Q_CLUSTER_NAME": queue}, stops=1)
            for queue in ("short", "long")
        ),
        Program(name="watchdog", command=(*MANAGE, "watchdog", "--restart"), stops=1),
        Program(name="archive", command=(*MANAGE, "archive"), stops=1),
    ]
    if stand_in is not None:
        found.append(Program(name="mercadopago", command=stand_in.command(data_folder), stops=1))
    return found


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://{ADDRESS}:{port}/health/live", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def welcome(data_folder: Path, stand_in: mercadopago.StandIn | None) -> str:
    from config.demo import sign_ins  # noqa: PLC0415  It reads the settings, which are complete only now.

    platform = os.environ["PUBLIC_URL"]
    people = sign_ins() if env.boolean("COMANDA_DEMO", default=True) else []
    addresses = dict.fromkeys(address for _, address, _ in people)
    rows = [
        ("Data folder", str(data_folder)),
        ("Platform", platform),
        *(("Cafeteria", address) for address in addresses if address != platform),
        *([("Mercado Pago", f"{stand_in.address}, a stand-in: no money moves")] if stand_in else []),
        ("API", f"{platform}/docs, and /docs on each cafeteria's address"),
    ]
    lines = [f"  {name:<12} {value}" for name, value in rows]
    if people:
        width = max(len(who) for who, _, _ in people)
        lines += ["", "  To sign in:", *(f"  {who:<{width}}  {address}  {secret}" for who, address, secret in people)]
    return "\n".join(["", "Comanda is ready. Ctrl-C stops it.", "", *lines, ""])


if __name__ == "__main__":
    sys.exit(main())
