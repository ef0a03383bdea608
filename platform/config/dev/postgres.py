"""The embedded PostgreSQL of a data folder: one server, shared by all processes that use the folder, stopped by the last of them.

Every user holds a shared lock on a file of the folder, which the kernel lets go however the process ends. Whoever comes starts the
server when it does not run; whoever leaves and could take the lock alone stops it. So two commands at once, a killed command and a
restart need no bookkeeping. After a kill -9 of the last user the server lives on until the folder's next user leaves.
"""

import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

from psycopg2 import errors, sql

from config.dev import locks
from ops.postgres.programs import MAJOR_VERSION, EmbeddedServerFailed, give_to_system_user, open_path_to, run_program, system_user
from ops.postgres.servers import START_SECONDS, SUPERUSER, Server, answers, connect, found_server, start, stop

LOG_LIMIT_BYTES = 10 * 1024 * 1024
LOOK_SECONDS = 1.0

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "max_locks_per_transaction": "1024",  # DROP SCHEMA locks every object of a cafeteria.
    "shared_buffers": "256MB",
    "wal_level": "replica",
    "summarize_wal": "on",  # Incremental base backups need it.
    "max_wal_size": "2GB",
    "max_slot_wal_keep_size": "4GB",  # An archive that nobody keeps any more must not fill the disk.
    "fsync": "on",
    "client_connection_check_interval": "2s",  # A killed worker's query ends too.
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d %a ",
    "jit": "off",
}


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
def embedded_server(data_folder: Path, *, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
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


@contextmanager
def kept_running(data_folder: Path) -> Iterator[None]:
    """Start the folder's server again whenever it dies during the block: make run's supervisor of it. Only for a user of the server."""
    over = threading.Event()
    keeper = threading.Thread(target=_keep, args=(data_folder.resolve(), over), name="postgres", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def _keep(data_folder: Path, over: threading.Event) -> None:
    folder = data_folder / "postgres"
    while not over.wait(LOOK_SECONDS):
        if found_server(folder) is None and (folder / "PG_VERSION").exists():
            with starting_or_stopping(data_folder), suppress(EmbeddedServerFailed, OSError):  # Its log says why; the next look tries again.
                if running_server(data_folder) is None:
                    start_server(data_folder, settings=SETTINGS)


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


def running_server(data_folder: Path) -> Server | None:
    """The server that runs on the data folder now, whoever started it."""
    server = found_server(data_folder / "postgres")
    return server if server is not None and answers(server, seconds=START_SECONDS) else None


def start_server(data_folder: Path, *, settings: Mapping[str, str]) -> Server:
    """Start the folder's server, its files made when there are none. Only for the holder of the start lock."""
    folder = data_folder / "postgres"
    initialise(folder)
    log = data_folder / "postgres.log"
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    return start(folder, settings=settings, log=log)


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


def create_database(server: Server, database: str) -> None:
    with closing(connect(server, "postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
            if cursor.fetchone() is None:
                with suppress(errors.DuplicateDatabase, errors.UniqueViolation):  # Another process was quicker.
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))


def stop_server(data_folder: Path) -> None:
    """Stop the folder's server. Only for the holder of the start lock."""
    if (server := running_server(data_folder)) is not None:
        stop(server)
