"""What a command finds when the environment says nothing, and what it is told when the environment is wrong."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.dev.environment import REPOSITORY, development_environment, kept_secret
from config.dev.postgres import running_server
from core.vault import HINT, is_key, new_key

OURS = ("COMANDA_ENV", "COMANDA_DATA", "DATABASE_URL", "SECRET_KEY", "VAULT_KEYS", "PUBLIC_URL", "PORT", "DJANGO_SETTINGS_MODULE")
NO_SECRET = "SECRET_KEY is not set. Set it to 50 or more random characters, the same on every machine."
HOLD = """
import time
from config.dev.environment import development_environment
with development_environment(["shell"]):
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def data_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An environment that says nothing but where the data is."""
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    with tempfile.TemporaryDirectory(prefix="comanda-test-") as folder:
        monkeypatch.setenv("COMANDA_DATA", f"{folder}/data")
        yield Path(folder) / "data"


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, str(REPOSITORY / "manage.py"), *arguments)
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env={**os.environ, **environment})


def test_a_command_finds_a_database_a_secret_and_an_address(data_folder: Path) -> None:
    with development_environment(["migrate"]):
        assert os.environ["DATABASE_URL"] == f"postgresql://postgres@/comanda?host={data_folder}/postgres"
        assert os.environ["PUBLIC_URL"] == "http://localhost:8000"
        assert os.environ["COMANDA_DATA"] == str(data_folder)
        assert len(os.environ["SECRET_KEY"]) == 64
        assert running_server(data_folder) is not None
    assert running_server(data_folder) is None
    assert "DATABASE_URL" not in os.environ


def test_the_secret_is_kept_for_its_owner_alone(data_folder: Path) -> None:
    with development_environment(["help"]):
        first = os.environ["SECRET_KEY"]
    with development_environment(["help"]):
        assert os.environ["SECRET_KEY"] == first
    names = sorted(path.name for path in data_folder.iterdir())
    assert names == ["secret_key", "vault_key"]
    assert {(data_folder / name).stat().st_mode & 0o777 for name in names} == {0o600}


def test_the_vaults_key_is_kept_and_may_be_several(data_folder: Path) -> None:
    with development_environment(["help"]):
        first = os.environ["VAULT_KEYS"]
    assert is_key(first)
    newer = new_key()
    (data_folder / "vault_key").write_text(f"{newer}\n{first}\n")
    with development_environment(["help"]):
        assert os.environ["VAULT_KEYS"] == f"{newer},{first}"


def test_many_who_make_the_secret_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        secrets = list(pool.map(lambda _: kept_secret(tmp_path / "secret_key"), range(16)))
    assert len(set(secrets)) == 1
    assert len(secrets[0]) == 64


def test_what_the_environment_says_stays(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"DATABASE_URL": "postgresql://app@db/comanda", "SECRET_KEY": "mine", "VAULT_KEYS": "ours", "PUBLIC_URL": "http://cafe.test:81"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with development_environment(["migrate"]):
        assert {name: os.environ[name] for name in given} == given
    assert list(data_folder.iterdir()) == []


def test_the_port_is_in_the_address(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9123")
    with development_environment(["help"]):
        assert os.environ["PUBLIC_URL"] == "http://localhost:9123"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PORT", "eighty", "PORT is 'eighty'. Set it to a whole number of 1 or more."),
        ("PORT", "70000", "PORT is 70000. Set it to a whole number from 1 to 65535."),
        (
            "COMANDA_DATA",
            "/dev/null/data",
            "The data folder /dev/null/data cannot be made (Not a directory). Set COMANDA_DATA to a folder of yours.",
        ),
    ],
)
def test_a_wrong_setting_is_said_with_the_way_out(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured) as refused, development_environment(["help"]):
        pass
    assert str(refused.value) == sentence


def test_outside_development_nothing_is_filled_in(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMANDA_ENV", "production")
    with development_environment(["migrate"]):
        assert "SECRET_KEY" not in os.environ
    assert not data_folder.exists()


@pytest.mark.parametrize("arguments", [["--help"], ["migrate", "--help"], ["makemigrations", "--check"], ["collectstatic"], []])
def test_commands_that_read_no_database_start_none(data_folder: Path, arguments: list[str]) -> None:
    with development_environment(arguments):
        assert os.environ["DATABASE_URL"] == f"postgresql://postgres@/comanda?host={data_folder}/postgres"
    assert not (data_folder / "postgres").exists()


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"COMANDA_ENV": "stage"}, "COMANDA_ENV is 'stage'. Set it to development, staging or production."),
        ({"COMANDA_ENV": "staging"}, NO_SECRET),
        ({"COMANDA_ENV": "production"}, NO_SECRET),
        (
            {"DATABASE_URL": "mysql://db/comanda"},
            "DATABASE_URL is not the address of a PostgreSQL database. Write it as postgresql://user:password@host:5432/name.",
        ),
        ({"VAULT_KEYS": "short"}, f"Key 1 in VAULT_KEYS is not a Fernet key. {HINT}"),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL is 'LOUD'. Set it to one of DEBUG, INFO, WARNING, ERROR, CRITICAL."),
    ],
)
def test_a_command_that_cannot_start_says_one_sentence(data_folder: Path, environment: dict[str, str], sentence: str) -> None:
    done = manage("check", **environment)
    assert done.stderr == f"Comanda cannot start: {sentence}\n"
    assert done.returncode == 1


@pytest.mark.parametrize("place", ["nobody@127.0.0.1:1", "nobody@nowhere.invalid"])
def test_a_database_that_is_not_there_is_said(data_folder: Path, place: str) -> None:
    done = manage("cafeterias", DATABASE_URL=f"postgresql://{place}/none")
    assert done.stderr.startswith("Comanda cannot start: the database does not let it in (")
    assert done.stderr.endswith("). Start it, or set DATABASE_URL to where it is.\n")
    assert (done.stderr.count("\n"), done.returncode) == (1, 1)


def test_the_web_process_says_the_same_sentence(data_folder: Path) -> None:
    command = (sys.executable, "-c", "import config.wsgi")
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.stderr == f"Comanda cannot start: {NO_SECRET}\n"
    assert done.returncode == 1


def test_a_terminated_command_stops_the_server_it_started(data_folder: Path) -> None:
    with subprocess.Popen((sys.executable, "-c", HOLD), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert running_server(data_folder) is not None
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    assert running_server(data_folder) is None
