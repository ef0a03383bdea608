"""What a copy of Comanda in development sets up by itself when the environment does not say it: see README, "Settings"."""

import base64
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from urllib.parse import quote

from django.core.exceptions import ImproperlyConfigured

from config import env
from config.dev import mercadopago
from config.dev.postgres import embedded_database

REPOSITORY = Path(__file__).resolve().parents[3]
DATABASE = "comanda"
WITHOUT_DATABASE = {
    "",
    "check",
    "collectstatic",
    "compilemessages",
    "diffsettings",
    "findstatic",
    "help",
    "makemessages",
    "makemigrations",
    "offsite_as_of",
    "recover_cluster",
    "version",
}
ASKS_FOR_HELP = {"--help", "-h", "--version"}


@contextmanager
def development_environment(arguments: Sequence[str] | None = None) -> Iterator[None]:
    """In development, fill in what the environment leaves open, and bring the data folder's PostgreSQL unless DATABASE_URL is set.

    Outside development it changes nothing. `arguments` are the command line after the program's name: commands that read no
    database start none. Afterwards the environment is as before and a server that only this process used is stopped.
    Raises ImproperlyConfigured with a sentence that says how to mend it.
    """
    if env.text("COMANDA_ENV", "development") != "development":
        yield
        return
    data_folder = data_folder_from_environment()
    with changed_environment(development_defaults(data_folder)):
        if env.text("DATABASE_URL"):
            yield
        elif needs_database(sys.argv[1:] if arguments is None else arguments):
            with embedded_database(data_folder, DATABASE) as url, changed_environment({"DATABASE_URL": url}), ending_on_sigterm():
                yield
        else:
            with changed_environment({"DATABASE_URL": address_without_server(data_folder)}):
                yield


def needs_database(arguments: Sequence[str]) -> bool:
    command = arguments[0] if arguments else ""
    return command not in WITHOUT_DATABASE and not ASKS_FOR_HELP.intersection(arguments)


def address_without_server(data_folder: Path) -> str:
    return f"postgresql://postgres@/{DATABASE}?host={quote(str(data_folder / 'postgres'))}"


def data_folder_from_environment() -> Path:
    """The data folder, made when it is missing."""
    folder = env.path("COMANDA_DATA", REPOSITORY / ".data")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"The data folder {folder} cannot be made ({error.strerror}). Set COMANDA_DATA to a folder of yours."
        ) from error
    return folder


def development_defaults(data_folder: Path) -> dict[str, str]:
    """What the environment leaves open, and the data folder as an absolute path."""
    defaults = {"COMANDA_DATA": str(data_folder)}
    if not env.text("SECRET_KEY"):
        defaults["SECRET_KEY"] = kept_secret(data_folder / "secret_key")
    if not env.text("VAULT_KEYS"):
        defaults["VAULT_KEYS"] = kept_vault_key(data_folder / "vault_key")
    if not env.text("BACKUP_KEYS"):
        defaults["BACKUP_KEYS"] = kept_backup_key(data_folder / "backup_key")
    if not env.text("PUBLIC_URL"):
        defaults["PUBLIC_URL"] = f"http://localhost:{port_from_environment()}"
    stand_in = mercadopago.kept_stand_in(data_folder) if mercadopago.is_wanted() else None
    if stand_in is not None:
        defaults |= stand_in.environment(public_url=env.text("PUBLIC_URL") or defaults["PUBLIC_URL"])
    return defaults


def port_from_environment() -> int:
    port = env.integer("PORT", 8000, least=1)
    if port > 65535:
        raise ImproperlyConfigured(f"PORT is {port}. Set it to a whole number from 1 to 65535.")
    return port


def new_secret_key() -> str:
    return secrets.token_urlsafe(48)


def new_vault_key() -> str:
    """What Fernet.generate_key() makes, without loading cryptography for each command."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def new_backup_key() -> str:
    """An age identity, as manage.py new_backup_key prints one."""
    from pyrage import x25519  # noqa: PLC0415  Each command reads this module; few make a key.

    return str(x25519.Identity.generate())


def kept_backup_key(path: Path) -> str:
    """As kept_vault_key."""
    return ",".join(kept_secret(path, setting="BACKUP_KEYS", make=new_backup_key).split())


def kept_vault_key(path: Path) -> str:
    """As kept_secret. Several, after a rotation, may be a line each."""
    return ",".join(kept_secret(path, setting="VAULT_KEYS", make=new_vault_key).split())


def kept_secret(path: Path, *, setting: str = "SECRET_KEY", make: Callable[[], str] = new_secret_key) -> str:
    """The secret in the file, made at first use; only its owner can read it, and two makers at once agree on one."""
    try:
        if not path.exists():
            keep_secret(path, make())
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"{path} cannot be used ({error.strerror}). Set {setting}, or COMANDA_DATA to a folder of yours."
        ) from error


def keep_secret(path: Path, secret: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".secret-") as file:  # Made with mode 0600.
        file.write(secret)
        file.flush()
        with suppress(FileExistsError):
            os.link(file.name, path)


@contextmanager
def changed_environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the command in order, so that its server is stopped; a command with a handler of its own keeps it."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
