"""PgBouncer in transaction mode, in front of the database that is in use: a real process (Debian's package)."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
from django.db import connection

from ops.postgres.programs import system_user

PORT = 6543  # only names the socket

CONFIGURATION = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
pool_mode = transaction
default_pool_size = {size}
max_client_conn = {clients}
listen_addr =
listen_port = {listen}
unix_socket_dir = {folder}
auth_type = any
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
log_connections = 0
log_disconnections = 0
server_login_retry = 0.05
"""


@contextmanager
def running_pooler(folder: Path, *, size: int = 1, clients: int = 20) -> Iterator[Path]:
    """The folder of its socket, which has to be short and open to the system's user of PostgreSQL."""
    server = connection.settings_dict
    text = CONFIGURATION.format(
        host=server["HOST"],
        port=server["PORT"] or 5432,
        user=server["USER"] or "postgres",
        listen=PORT,
        folder=folder,
        size=size,
        clients=clients,
    )
    (folder / "pgbouncer.ini").write_text(text)
    user = system_user()  # PgBouncer does not run as root either.
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    who: dict[str, Any] = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    process = subprocess.Popen(("pgbouncer", "-q", str(folder / "pgbouncer.ini")), cwd=folder, **who)
    try:
        _wait_until_it_answers(folder, process)
        yield folder
    finally:
        process.terminate()
        process.wait(10)


def pooled_url(folder: Path) -> str:
    """The database's address for a process that goes through the pooler."""
    name = quote(str(connection.settings_dict["NAME"]), safe="")
    return f"postgresql://postgres@/{name}?host={quote(str(folder), safe='')}&port={PORT}"


def _wait_until_it_answers(folder: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg2.connect(host=str(folder), port=PORT, user="postgres", dbname=connection.settings_dict["NAME"]).close()
        except psycopg2.OperationalError:
            assert process.poll() is None, (folder / "pgbouncer.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return
