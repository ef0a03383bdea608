"""The embedded server, started for real: each test on a data folder of its own."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest

from config.dev.postgres import embedded_database, embedded_server, kept_running, running_server
from ops.postgres.programs import EmbeddedServerFailed, run_program, system_user
from ops.postgres.servers import Server
from tests.processes import wait_for

HOLD = """
import sys
from pathlib import Path
from config.dev.postgres import embedded_database
with embedded_database(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def data_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="comanda-test-") as folder:
        yield Path(folder)


def ask(url: str, question: str) -> object:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(question)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def hold(data_folder: Path) -> subprocess.Popen[str]:
    """Another process that uses the folder's server until its input ends."""
    process = subprocess.Popen((sys.executable, "-c", HOLD, str(data_folder)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("postgresql://")
    return process


def release(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=30)
    assert process.returncode == 0


def postmaster(data_folder: Path) -> psutil.Process:
    server = running_server(data_folder.resolve())
    assert server is not None
    return psutil.Process(server.pid)


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_it_starts_serves_and_stops_and_a_restart_keeps_the_data(data_folder: Path) -> None:
    with embedded_database(data_folder) as url:
        ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        process = postmaster(data_folder)
    assert not alive(process)
    with embedded_database(data_folder) as url:
        assert ask(url, "SELECT answer FROM kept") == 42
    assert running_server(data_folder) is None


def test_its_settings_suit_many_schemas_and_backups(data_folder: Path) -> None:
    with embedded_database(data_folder) as url:
        names = ("max_connections", "max_locks_per_transaction", "summarize_wal", "wal_level", "fsync", "listen_addresses", "TimeZone")
        assert [ask(url, f"SHOW {name}") for name in names] == ["200", "1024", "on", "replica", "on", "", "UTC"]


def test_the_last_user_stops_it_not_the_first(data_folder: Path) -> None:
    other = hold(data_folder)
    with embedded_database(data_folder) as url:
        process = postmaster(data_folder)
        release(other)
        assert ask(url, "SELECT 1") == 1
        assert alive(process)
    assert not alive(process)


def test_a_second_user_shares_it_and_leaves_it_running(data_folder: Path) -> None:
    with embedded_database(data_folder) as url:
        release(hold(data_folder))
        assert ask(url, "SELECT 1") == 1


def test_many_at_once_share_one_server(data_folder: Path) -> None:
    seen: list[int] = []
    together = threading.Barrier(6)

    def use() -> None:
        with embedded_server(data_folder) as server:
            seen.append(server.pid)
            together.wait(60)

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(seen) == 6
    assert len(set(seen)) == 1
    assert running_server(data_folder) is None


def test_two_data_folders_run_side_by_side(data_folder: Path) -> None:
    with embedded_database(data_folder / "one") as one, embedded_database(data_folder / "two") as two:
        ask(one, "CREATE TABLE only_here ()")
        assert ask(one, "SELECT to_regclass('only_here')::text") == "only_here"
        assert ask(two, "SELECT to_regclass('only_here')::text") is None


def test_a_killed_server_is_started_again_with_what_was_committed(data_folder: Path) -> None:
    with embedded_database(data_folder) as url:
        ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        process = postmaster(data_folder)
        process.kill()
        process.wait(30)
        with embedded_database(data_folder) as again:
            assert ask(again, "SELECT answer FROM kept") == 42


def test_make_run_starts_a_killed_server_again(data_folder: Path) -> None:
    with embedded_database(data_folder, "kept") as url, kept_running(data_folder):
        ask(url, "CREATE TABLE t AS SELECT 7 AS n")
        first = postmaster(data_folder)
        first.kill()
        wait_for(lambda: (server := running_server(data_folder)) is not None and server.pid != first.pid)
        assert ask(url, "SELECT n FROM t") == 7
    assert running_server(data_folder) is None


def test_a_stale_file_with_the_id_of_another_process_is_seen_through(data_folder: Path) -> None:
    with embedded_server(data_folder) as server:
        lines = (server.folder / "postmaster.pid").read_text().splitlines()
    (data_folder / "postgres" / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    with embedded_database(data_folder) as url:
        assert ask(url, "SELECT 1") == 1


def test_a_killed_user_leaves_a_server_that_the_next_one_takes_over(data_folder: Path) -> None:
    killed = hold(data_folder)
    process = postmaster(data_folder)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=30)
    assert alive(process)
    with embedded_server(data_folder) as server:
        assert server.pid == process.pid
    assert not alive(process)


def test_a_long_path_puts_the_socket_into_a_private_short_folder(data_folder: Path) -> None:
    with embedded_server(data_folder / ("long" * 30)) as server:
        assert server.socket_folder.stat().st_mode & 0o777 == 0o700
        assert ask(server.url("postgres"), "SELECT 1") == 1
    assert not server.socket_folder.exists()


def test_a_database_is_made_once_whatever_its_name(data_folder: Path) -> None:
    for _ in range(2):
        with embedded_database(data_folder, 'a "café" / más') as url:
            assert ask(url, "SELECT current_database()") == 'a "café" / más'


def test_files_of_another_version_are_refused_with_a_way_out(data_folder: Path) -> None:
    (data_folder / "postgres").mkdir()
    (data_folder / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedServerFailed, match=r"is of PostgreSQL 16, not 18. Choose another COMANDA_DATA"):
        running_or_started(data_folder)


def test_a_setting_that_postgres_refuses_is_reported_with_its_words(data_folder: Path) -> None:
    with pytest.raises(EmbeddedServerFailed, match=r"does not start.*no_such_setting"):
        running_or_started(data_folder, no_such_setting="1")


def test_a_data_folder_that_cannot_be_made_is_reported(data_folder: Path) -> None:
    (data_folder / "file").write_text("")
    with pytest.raises(EmbeddedServerFailed, match=r"cannot be used .*Set COMANDA_DATA"):
        running_or_started(data_folder / "file" / "below")


def test_programs_run_without_a_shell_and_not_as_root() -> None:
    assert run_program("psql", "--version").stdout.startswith("psql (PostgreSQL) 18")
    user = system_user()
    assert (user is None) == (os.geteuid() != 0)
    with pytest.raises(subprocess.CalledProcessError):
        run_program("pg_ctl", "; true")


def running_or_started(data_folder: Path, **settings: str) -> Server:
    with embedded_server(data_folder, settings=settings) as server:
        return server
