"""Servers of a folder on this machine, reached by a socket that nobody else can open: the embedded one, and those of recoveries."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg2

from ops.postgres.programs import EmbeddedServerFailed, program_command, run_as, run_program

SUPERUSER = "postgres"
PORT = "5432"  # Only names the socket file: nothing listens on the network.
SOCKET_PATH_LIMIT = 100  # bytes; the kernel takes 107 on Linux and 103 on macOS, with the end mark.
START_SECONDS = 60
STOP_SECONDS = 30
STARTED: dict[int, subprocess.Popen[bytes]] = {}  # Servers that this process is the parent of, to be reaped when they end.


@dataclass(frozen=True, kw_only=True)
class Server:
    folder: Path  # PostgreSQL's own data folder, PGDATA
    socket_folder: Path
    pid: int  # of the postmaster
    user: str = SUPERUSER
    database: str = "postgres"  # one that is there

    def url(self, database: str) -> str:
        return f"postgresql://{quote(self.user, safe='')}@/{quote(database, safe='')}?host={quote(str(self.socket_folder), safe='/')}"


def found_server(folder: Path, *, user: str = SUPERUSER, database: str = "postgres") -> Server | None:
    """What runs on the PGDATA now, whoever started it, whether it answers or not."""
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
        # A server that has just begun writes down its id first, and its socket a moment later.
        socket_folder = Path(lines[4]) if len(lines) > 4 and lines[4] else suitable_socket_folder(folder)
        server = Server(folder=folder, pid=int(lines[0]), socket_folder=socket_folder, user=user, database=database)
    except (FileNotFoundError, ValueError, IndexError):
        return None
    return server if is_postmaster(server) else None


def start(
    folder: Path,
    *,
    settings: Mapping[str, str],
    log: Path,
    user: str = SUPERUSER,
    database: str = "postgres",
    seconds: float = START_SECONDS,
    waiting: Callable[[], None] = lambda: None,
) -> Server:
    """Start the server of a PGDATA on which none runs, and wait until it answers. Its lines go to the log.

    `waiting` is called meanwhile, and may raise to give up. Raises EmbeddedServerFailed.
    """
    (folder / "postmaster.pid").unlink(missing_ok=True)
    for dead in list(STARTED.values()):
        dead.poll()  # One that was killed keeps its process id, and its socket's lock, until it is asked for.
    socket_folder = suitable_socket_folder(folder)
    options = {**settings, "unix_socket_directories": f'"{socket_folder}"', "port": PORT}
    deadline = time.monotonic() + seconds
    while True:
        process = launch(folder, options, log)
        STARTED[process.pid] = process
        server = Server(folder=folder, pid=process.pid, socket_folder=socket_folder, user=user, database=database)
        if answers(server, seconds=deadline - time.monotonic(), process=process, waiting=waiting):
            return server
        # The backends of a killed server may still be leaving: then its memory is "still in use", for a moment.
        if process.poll() is None or time.monotonic() > deadline or "still in use" not in tail(log):
            raise EmbeddedServerFailed(f"PostgreSQL does not start on {folder}; {log} ends in: {tail(log)}")
        time.sleep(0.2)


def launch(folder: Path, options: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    command = program_command("postgres", "-D", str(folder), *(f"--{name}={value}" for name, value in options.items()))
    with log.open("ab") as output:
        # A session of its own: Ctrl-C in the terminal is for its users, who then leave in order.
        return subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **run_as(),
        )


def stop(server: Server) -> None:
    """Stop it in order: roll back what is open, write everything down; at once when it does not."""
    with suppress(subprocess.CalledProcessError):
        run_program("pg_ctl", "stop", f"--pgdata={server.folder}", "--mode=fast", f"--timeout={STOP_SECONDS}", folder=server.folder)
    if is_postmaster(server):
        with suppress(subprocess.CalledProcessError):
            run_program("pg_ctl", "stop", f"--pgdata={server.folder}", "--mode=immediate", folder=server.folder)
    _reap(server)


def kill(server: Server) -> None:
    """End it at once, without writing anything down: for folders that are erased next."""
    with suppress(psutil.Error):
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children()]
        for process in family:
            process.kill()
        psutil.wait_procs(family, timeout=STOP_SECONDS)
    _reap(server)


def _reap(server: Server) -> None:
    if process := STARTED.pop(server.pid, None):
        process.wait(STOP_SECONDS)
    if server.socket_folder != server.folder:
        shutil.rmtree(server.socket_folder, ignore_errors=True)


def is_postmaster(server: Server) -> bool:
    """After a kill -9 or a reboot the file stays, and its process id may be anybody's."""
    try:
        process = psutil.Process(server.pid)
        return process.name() == "postgres" and Path(process.cwd()) == server.folder.resolve()
    except psutil.Error:
        return False


def answers(
    server: Server, *, seconds: float, process: subprocess.Popen[bytes] | None = None, waiting: Callable[[], None] = lambda: None
) -> bool:
    """Wait until the server takes connections; False when it does not within the time, or has died."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(psycopg2.OperationalError), closing(connect(server, server.database)):
            return True
        if process.poll() is not None if process else not is_postmaster(server):
            return False
        waiting()
        time.sleep(0.05)
    return False


def connect(server: Server, database: str) -> psycopg2.extensions.connection:
    return psycopg2.connect(host=str(server.socket_folder), port=PORT, user=server.user, dbname=database, connect_timeout=10)


def suitable_socket_folder(folder: Path) -> Path:
    """The server's own folder, or a short private one in the temporary folder when the socket's path would be too long."""
    if fits(folder):
        return folder
    name = f"comanda-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    owner = folder.stat().st_uid
    for temporary in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108  The folder in it is checked.
        short = temporary / name
        if not fits(short):
            continue
        with suppress(FileExistsError):
            short.mkdir(mode=0o700)
            os.chown(short, owner, folder.stat().st_gid)
        if short.is_symlink() or short.stat().st_uid != owner or short.stat().st_mode & 0o077:
            raise EmbeddedServerFailed(f"{short} belongs to somebody else. Remove it, or set COMANDA_DATA to a shorter path.")
        return short
    raise EmbeddedServerFailed("The paths of the data folder and of the temporary folder are too long. Set COMANDA_DATA to a shorter one.")


def fits(folder: Path) -> bool:
    return len(os.fsencode(folder / f".s.PGSQL.{PORT}.lock")) <= SOCKET_PATH_LIMIT


def tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return " / ".join(line.strip() for line in lines[-4:])
