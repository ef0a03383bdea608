"""The embedded PostgreSQL of a data folder: one server, shared by all processes that use the folder, stopped by the last of them.

Every user holds a shared lock on a file of the folder, which the kernel lets go however the process ends. Whoever comes starts the
server when it does not run; whoever leaves and could take the lock alone stops it. So two commands at once, a killed command and a
restart need no bookkeeping. After a kill -9 of the last user the server lives on until the folder's next user leaves.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg2
from psycopg2 import errors, sql

from config.dev import locks
from config.dev.binaries import (
    MAJOR_VERSION,
    EmbeddedServerFailed,
    give_to_system_user,
    open_path_to,
    program_command,
    run_as,
    run_program,
    system_user,
)

SUPERUSER = "postgres"
PORT = "5432"  # Only names the socket file: nothing listens on the network.
SOCKET_PATH_LIMIT = 100  # bytes; the kernel takes 107 on Linux and 103 on macOS, with the end mark.
START_SECONDS = 60
STOP_SECONDS = 30
LOG_LIMIT_BYTES = 10 * 1024 * 1024
STARTED: dict[int, subprocess.Popen[bytes]] = {}  # Servers that this process is the parent of, to be reaped when they end.

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "max_locks_per_transaction": "1024",  # DROP SCHEMA locks every object of a cafeteria.
    "shared_buffers": "256MB",
    "wal_level": "replica",
    "summarize_wal": "on",  # Incremental base backups need it.
    "max_wal_size": "2GB",
    "fsync": "on",
    "client_connection_check_interval": "2s",  # A killed worker's query ends too.
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d ",
    "jit": "off",
}


@dataclass(frozen=True, kw_only=True)
class EmbeddedServer:
    folder: Path  # PostgreSQL's own data folder, PGDATA
    socket_folder: Path
    pid: int  # of the postmaster

    def url(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}@/{quote(database, safe='')}?host={quote(str(self.socket_folder), safe='/')}"


@contextmanager
def embedded_database(data_folder: Path, database: str = "comanda", *, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a database of the folder's server, created when missing.

    Starts the server, or shares the one that runs, and stops it at the end unless somebody else uses it. Raises
    EmbeddedServerFailed. `settings` are PostgreSQL's, and hold only when this call starts the server.
    """
    with embedded_server(data_folder, settings=settings) as server:
        create_database(server, database)
        yield server.url(database)


@contextmanager
def embedded_server(data_folder: Path, *, settings: Mapping[str, str] | None = None) -> Iterator[EmbeddedServer]:
    """The server of the data folder, as in embedded_database."""
    data_folder = prepared(data_folder)
    with locks.opened(data_folder / "postgres.users.lock") as users:
        with starting_or_stopping(data_folder):
            locks.share(users)
            server = running_server(data_folder) or start_server(data_folder, settings={**SETTINGS, **(settings or {})})
        try:
            yield server
        finally:
            stop_if_last(data_folder, users)


def stop_if_unused(data_folder: Path) -> None:
    """Stop the server that a killed process may have left on the folder."""
    if (data_folder / "postgres").exists():
        with locks.opened(data_folder / "postgres.users.lock") as users:
            stop_if_last(data_folder, users)


def stop_if_last(data_folder: Path, users: int) -> None:
    with starting_or_stopping(data_folder):
        if locks.try_exclusive(users):
            stop_server(data_folder)


def prepared(data_folder: Path) -> Path:
    try:
        data_folder.mkdir(parents=True, exist_ok=True)
        data_folder = data_folder.resolve()
        if system_user() is not None:
            open_path_to(data_folder / "postgres")
    except OSError as error:
        raise EmbeddedServerFailed(
            f"The data folder {data_folder} cannot be used ({error.strerror}). Set COMANDA_DATA to a folder of yours."
        ) from error
    return data_folder


def starting_or_stopping(data_folder: Path) -> AbstractContextManager[None]:
    return locks.exclusive(data_folder / "postgres.start.lock")


def running_server(data_folder: Path) -> EmbeddedServer | None:
    """The server that runs on the data folder now, whoever started it."""
    folder = data_folder / "postgres"
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
        server = EmbeddedServer(folder=folder, pid=int(lines[0]), socket_folder=Path(lines[4]))
    except (FileNotFoundError, ValueError, IndexError):
        return None
    if not is_postmaster(server) or not answers(server, seconds=START_SECONDS):
        return None
    return server


def is_postmaster(server: EmbeddedServer) -> bool:
    """After a kill -9 or a reboot the file stays, and its process id may be anybody's."""
    try:
        process = psutil.Process(server.pid)
        return process.name() == "postgres" and Path(process.cwd()) == server.folder.resolve()
    except psutil.Error:
        return False


def start_server(data_folder: Path, *, settings: Mapping[str, str]) -> EmbeddedServer:
    """Start the folder's server, its files made when there are none. Only for the holder of the start lock."""
    folder = data_folder / "postgres"
    initialise(folder)
    (folder / "postmaster.pid").unlink(missing_ok=True)  # Nothing alive is behind it: running_server looked.
    socket_folder = suitable_socket_folder(folder)
    log = data_folder / "postgres.log"
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    options = {**settings, "unix_socket_directories": f'"{socket_folder}"', "port": PORT}
    deadline = time.monotonic() + START_SECONDS
    while True:
        process = launch(folder, options, log)
        server = EmbeddedServer(folder=folder, pid=process.pid, socket_folder=socket_folder)
        if answers(server, seconds=deadline - time.monotonic(), process=process):
            STARTED[process.pid] = process
            return server
        # The backends of a killed server may still be leaving: then its memory is "still in use", for a moment.
        if process.poll() is None or time.monotonic() > deadline or "still in use" not in tail(log):
            raise EmbeddedServerFailed(f"The embedded PostgreSQL does not start; {log} ends in: {tail(log)}")
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


def initialise(folder: Path) -> None:
    """Make the server's files beside and move them into place, so that a kill halfway leaves no half server."""
    version = folder / "PG_VERSION"
    if version.exists():
        if version.read_text().strip() != MAJOR_VERSION:
            raise EmbeddedServerFailed(
                f"{folder} is of PostgreSQL {version.read_text().strip()}, not {MAJOR_VERSION}. Choose another COMANDA_DATA."
            )
        return
    beside = folder.with_name("postgres.new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o700)
    give_to_system_user(beside)
    # The built-in locale sorts alike on every machine; the package has no ICU.
    options = ("--auth=trust", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", f"--username={SUPERUSER}")
    try:
        run_program("initdb", f"--pgdata={beside}", *options, folder=beside, timeout=120)
        beside.rename(folder)
    except (subprocess.SubprocessError, OSError) as error:
        reason = getattr(error, "stderr", None) or error
        raise EmbeddedServerFailed(f"The embedded PostgreSQL cannot make its files in {folder.parent}: {reason}") from error


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


def answers(server: EmbeddedServer, *, seconds: float, process: subprocess.Popen[bytes] | None = None) -> bool:
    """Wait until the server takes connections; False when it does not within the time, or has died."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(psycopg2.OperationalError), closing(connect(server, "postgres")):
            return True
        if process.poll() is not None if process else not is_postmaster(server):
            return False
        time.sleep(0.05)
    return False


def connect(server: EmbeddedServer, database: str) -> psycopg2.extensions.connection:
    return psycopg2.connect(host=str(server.socket_folder), port=PORT, user=SUPERUSER, dbname=database, connect_timeout=10)


def create_database(server: EmbeddedServer, database: str) -> None:
    with closing(connect(server, "postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
            if cursor.fetchone() is None:
                with suppress(errors.DuplicateDatabase, errors.UniqueViolation):  # Another process was quicker.
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))


def stop_server(data_folder: Path) -> None:
    """Stop the folder's server: roll back what is open, write everything down. Only for the holder of the start lock."""
    server = running_server(data_folder)
    if server is None:
        return
    with suppress(subprocess.CalledProcessError):
        run_program("pg_ctl", "stop", f"--pgdata={server.folder}", "--mode=fast", f"--timeout={STOP_SECONDS}", folder=server.folder)
    if is_postmaster(server):
        with suppress(subprocess.CalledProcessError):
            run_program("pg_ctl", "stop", f"--pgdata={server.folder}", "--mode=immediate", folder=server.folder)
    if process := STARTED.pop(server.pid, None):
        process.wait(STOP_SECONDS)
    if server.socket_folder != server.folder:
        shutil.rmtree(server.socket_folder, ignore_errors=True)


def tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return " / ".join(line.strip() for line in lines[-4:])
