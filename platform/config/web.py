"""The web server as a program of its own: `python -m config.web`. It leaves without dropping a request.

Told to stop, it first says so at /health/accepting, which the proxy asks each second, and goes on serving for DRAIN_SECONDS: new requests
come to the others meanwhile. Only then granian is stopped, which ends what it is at.
"""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from config import env

REPOSITORY = Path(__file__).resolve().parents[2]
DRAINING = "draining"  # a file in RUN_FOLDER: every process of the server sees it
STOP_SECONDS = 25  # for what granian is at; docker's stop_grace_period is longer


def web_command(port: int, *, address: str = "127.0.0.1") -> tuple[str, ...]:
    options = {
        "interface": "wsgi",
        "http": "1",
        "host": address,
        "port": port,
        "workers": env.integer("WEB_WORKERS", 2, least=1),
        "blocking-threads": env.integer("WEB_THREADS", 1, least=1),
        "backlog": 2048,
        "backpressure": 1024,  # Connections a worker holds; an idle kept-alive one counts.
        "respawn-interval": 1,
        "workers-kill-timeout": 10,
        "log-level": "warning",
        "working-dir": REPOSITORY,
    }
    flags = ("--no-ws", "--respawn-failed-workers")
    return (sys.executable, "-m", "granian", *(f"--{name}={value}" for name, value in options.items()), *flags, "config.wsgi:application")


def main() -> int:
    try:
        port, drain = env.integer("PORT", 8000, least=1), env.integer("DRAIN_SECONDS", 4)
        folder = env.path("RUN_FOLDER", env.path("COMANDA_DATA", REPOSITORY / ".data") / "run")
    except ImproperlyConfigured as error:
        sys.stderr.write(f"Comanda cannot start: {error}\n")
        return 1
    measurements = folder / "measurements"  # what /metrics adds up over the processes; empty at each start
    measurements.mkdir(parents=True, exist_ok=True)
    for old in (*measurements.glob("*.db"), folder / DRAINING):
        old.unlink(missing_ok=True)
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    environment = {**os.environ, "RUN_FOLDER": str(folder), "PROMETHEUS_MULTIPROC_DIR": str(measurements)}
    command = web_command(port, address=env.text("LISTEN_ADDRESS", "127.0.0.1"))
    with subprocess.Popen(command, env=environment, start_new_session=True) as server:
        return serve(server, told, drain=drain, mark=folder / DRAINING)


def serve(server: subprocess.Popen[bytes], told: threading.Event, *, drain: float, mark: Path) -> int:
    """Until told to stop, and then in order: 0. The server's own status when it ends by itself."""
    while server.poll() is None:
        if told.wait(0.2):
            break
    else:
        return server.returncode or 1
    mark.touch()
    try:
        server.wait(drain)
    except subprocess.TimeoutExpired:
        server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
